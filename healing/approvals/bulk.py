"""One decision for a group of events: all that it will do is shown, and the decision is bound to all of it.

The group's digest covers the digest of every plan in it. Each approval is then decided by itself, so that one that has
moved on meanwhile fails alone, and says why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import QuerySet

from healing.access import Capability, grants_of
from healing.approvals import service
from healing.approvals.errors import DecisionError
from healing.audit import Actor
from healing.engine import WrongPhase
from healing.models import Approval, ApprovalState

MAX_GROUP = 100


class GroupChanged(DecisionError):
    """The group is not the one that was read."""

    def __init__(self) -> None:
        super().__init__("The group has changed since you opened it: another plan, or one is decided. Read it again.")


@dataclass(frozen=True, slots=True)
class Group:
    """Open approvals of one cause and one strategy."""

    cluster: str
    cause: str
    strategy: str
    approvals: tuple[Approval, ...]

    @property
    def digest(self) -> str:
        """What a decision about all of them is bound to."""
        return digest_of(self.approvals)

    @property
    def ids(self) -> str:
        """For an address."""
        return ",".join(str(approval.pk) for approval in self.approvals)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one of them: ``error`` empty: approved (``state`` open: others have to agree too)."""

    approval: Approval
    state: str
    error: str = ""


def digest_of(approvals: Collection[Approval]) -> str:
    """SHA-256 over who is asked about what, in any order."""
    lines = sorted(f"{approval.pk}:{approval.digest}" for approval in approvals)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def groups(user: User) -> list[Group]:
    """What this person may see that waits, grouped by cause and strategy; the largest first."""
    found: dict[tuple[str, str, str], list[Approval]] = {}
    for approval in _visible(user).order_by("expires_at", "pk")[:1000]:
        key = approval.strategy.key.partition("-edited-")[0]
        found.setdefault((approval.event.cluster, approval.event.cause, key), []).append(approval)
    rows = [
        Group(cluster, cause, approvals[0].strategy.title, tuple(approvals[:MAX_GROUP]))
        for (cluster, cause, _), approvals in found.items()
    ]
    return sorted(rows, key=lambda group: -len(group.approvals))


def chosen(user: User, ids: Sequence[int]) -> list[Approval]:
    """The open ones among these that the person may see."""
    return list(_visible(user).filter(pk__in=list(ids)[:MAX_GROUP]).order_by("pk"))


def approve_all(
    ids: Sequence[int], *, by: User, group_digest: str, comment: str = "", actor: Actor | None = None
) -> list[Result]:
    """Approve each. Raises `GroupChanged` before any is decided if the group is not the one that was read."""
    approvals = chosen(by, ids)
    if not approvals or len(approvals) != len(set(ids)) or digest_of(approvals) != group_digest:
        raise GroupChanged
    return [_approve(approval, by, comment, actor) for approval in approvals]


def _approve(approval: Approval, by: User, comment: str, actor: Actor | None) -> Result:
    try:
        decided = service.approve(approval.pk, by=by, digest=approval.digest, comment=comment, actor=actor)
    except (DecisionError, WrongPhase) as error:
        return Result(approval, ApprovalState(approval.state), str(error))
    return Result(decided, decided.state)


def _visible(user: User) -> QuerySet[Approval]:
    places = grants_of(user).places(Capability.VIEW, cluster="event__cluster", namespace="event__target_namespace")
    return Approval.objects.filter(places, state=ApprovalState.OPEN).select_related("event", "strategy")
