"""The kill switch, thrown and lifted by people: each is one row, one audit entry, and a ring on every page.

Who may is asked by the callers (a page, an API operation and the admin say no in ways of their own)."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from healing import audit, dispatch, shared_clock
from healing.models import Halt


class AlreadyHalted(Exception):
    """Somebody was first."""


def halt(row: Halt, *, by: str, actor: audit.Actor) -> None:
    """Save the new ``row``: nothing is done there any more until it is lifted. Raises `AlreadyHalted`."""
    row.created_by = by
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            after = {"cluster": row.cluster, "reason": row.reason}
            audit.record("halt.set", actor=actor, target=f"halt {row.pk}", cluster=row.cluster, after=after)
            _ring()
    except IntegrityError as error:
        raise AlreadyHalted from error


def lift(row: Halt, *, by: str, actor: audit.Actor) -> bool:
    """Automation goes on. False: it was lifted already."""
    with transaction.atomic():
        if not Halt.objects.filter(pk=row.pk, lifted_at=None).update(lifted_at=shared_clock.now(), lifted_by=by):
            return False
        before = {"cluster": row.cluster, "reason": row.reason, "since": row.created_at.isoformat()}
        audit.record("halt.lifted", actor=actor, target=f"halt {row.pk}", cluster=row.cluster, before=before)
        _ring()
    return True


def _ring() -> None:
    """Every open page reads its banners anew."""
    dispatch.after_commit("doorbell", lambda: dispatch.ring_doorbell("", 0))
