"""Kills an installation at random instants and looks whether anything is lost, torn or left behind."""
