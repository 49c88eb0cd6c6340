"""Corrspace: correlative multi-scale microscopy with a record of how every number came to be."""

from corr_project.celery import app as celery_app

__all__ = ("celery_app",)
