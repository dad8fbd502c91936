"""Entries of a policy's history. Written in the transaction of the change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from healing.models import Policy, PolicyRevision
from healing.policies.difference import FieldChange, compare


@dataclass(frozen=True, slots=True)
class State:
    """What a revision is about."""

    spec: dict[str, Any]
    enabled: bool
    error: str

    @classmethod
    def of(cls, policy: Policy) -> State:
        """The row's, now."""
        return cls(dict(policy.spec), policy.enabled, policy.error)


@dataclass(frozen=True, slots=True)
class Author:
    """Who changed it, and where."""

    name: str
    origin: PolicyRevision.Origin
    note: str = ""


def changes_between(before: State, after: State) -> list[FieldChange]:
    """Fields of the spec, and the switch."""
    found = compare(before.spec, after.spec)
    if before.enabled != after.enabled:
        found.insert(0, FieldChange("enabled", before.enabled, after.enabled))
    return found


def append(policy: Policy, before: State | None, author: Author, *, kind: PolicyRevision.Kind) -> PolicyRevision:
    """The next entry; the row has been saved or is saved by this. Its lock is the caller's."""
    after = State.of(policy)
    policy.revision += 1
    policy.save()
    return PolicyRevision.objects.create(
        policy=policy,
        cluster=policy.cluster,
        namespace=policy.namespace,
        name=policy.name,
        number=policy.revision,
        kind=kind,
        origin=author.origin,
        actor=author.name,
        note=author.note,
        spec=after.spec,
        enabled=after.enabled,
        error=after.error,
        changes=[c.as_json() for c in changes_between(before or State({}, after.enabled, ""), after)] if before else [],
        uid=policy.uid,
        generation=policy.generation,
    )
