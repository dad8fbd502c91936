"""Why a change of a policy was not made. Nothing is changed then; the message says what to do."""

from __future__ import annotations

from collections.abc import Sequence

from healing.policies.difference import FieldChange
from healing.policies.ownership import FieldConflict


class ChangeRefused(Exception):
    """``slug`` names the reason for programs."""

    slug = "refused"


class Gone(ChangeRefused):
    """There is no such policy (any more)."""

    slug = "not-found"


class NameTaken(ChangeRefused):
    """There is a policy of that name."""

    slug = "exists"


class NotAllowed(ChangeRefused):
    """The person may not."""

    slug = "forbidden"


class ReadOnly(ChangeRefused):
    """A GitOps tool owns the resource and would put the change back."""

    slug = "owned-by-gitops"


class Stale(ChangeRefused):
    """It was changed since it was read; ``changes``: what happened to it meanwhile."""

    slug = "changed-meanwhile"

    def __init__(self, message: str, changes: Sequence[FieldChange] = (), revision: int = 0) -> None:
        super().__init__(message)
        self.changes = list(changes)
        self.revision = revision


class Conflicts(ChangeRefused):
    """Fields that somebody else has set in the resource."""

    slug = "field-conflict"

    def __init__(self, found: Sequence[FieldConflict]) -> None:
        fields = "; ".join(str(conflict) for conflict in found)
        super().__init__(f"Others have set what you change, and nothing was written: {fields}. Take these fields over?")
        self.found = list(found)


class ClusterRefused(ChangeRefused):
    """The API server did not take it: not allowed, not valid, or the resource says the same thing elsewhere."""

    slug = "cluster-refused"


class ClusterAway(ChangeRefused):
    """The cluster does not answer."""

    slug = "cluster-away"
