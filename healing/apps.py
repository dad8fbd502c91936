"""The healing app."""

from django.apps import AppConfig


class HealingConfig(AppConfig):
    """Phases, engine and their record."""

    name = "healing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect what writes the audit trail of people and roles."""
        from healing.audit import hooks  # noqa: PLC0415 - models are ready only now

        hooks.connect()
