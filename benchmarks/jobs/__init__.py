"""What a tracked job costs on top of a bare Celery task."""
