"""Wiring only: settings, URLs, ASGI, Celery, health checks, and the module that joins ports and adapters."""

from recist_web.celery import app as celery_app

__all__ = ["celery_app"]
