"""The healing app."""

from django.apps import AppConfig


class HealingConfig(AppConfig):
    """Phases, engine and their record."""

    name = "healing"
    default_auto_field = "django.db.models.BigAutoField"
