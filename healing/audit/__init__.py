"""The audit trail: who did what, from where; append-only and sealed."""

from healing.audit.record import Actor, record

__all__ = ["Actor", "record"]
