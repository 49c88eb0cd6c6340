"""Backup of an installation under load, and restore into an empty one; see ``docs/howto/backup.md``."""
