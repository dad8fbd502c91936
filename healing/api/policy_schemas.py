"""What the policies' operations take and answer with. The spec's schema is the resource's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from healing.api.schemas import CLUSTER, NAME, CamelSchema
from healing.policies.spec import PolicySpec


class PolicyItem(CamelSchema):
    """A policy; ``source`` cluster: a change is applied to its SelfHealingPolicy resource first."""

    id: int
    cluster: str
    namespace: str
    name: str
    enabled: bool
    source: str
    spec: dict[str, Any]
    error: str = Field(description="Why the resource's newest spec was refused; the spec here stays in force.")
    revision: int = Field(description="Counts changes; also the ETag.")
    managed_by: str = Field(description="The GitOps tool that owns the resource; such a policy is read-only here.")
    read_only_because: str = ""
    updated_at: datetime


class PolicyList(CamelSchema):
    """``next``: the cursor of the following page; null: this is the last."""

    items: list[PolicyItem]
    next: str | None


class NewPolicy(CamelSchema):
    """A policy to make; with a namespace it gets a SelfHealingPolicy resource where the cluster knows the type."""

    name: str = Field(max_length=253, pattern=NAME)
    namespace: str = Field("", max_length=63, pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$")
    enabled: bool = True
    cluster: str = Field("", max_length=63, pattern=CLUSTER, description="Empty: the default cluster.")
    spec: PolicySpec


class PolicyChange(CamelSchema):
    """The policy's new content, whole."""

    enabled: bool = True
    spec: PolicySpec
    take_over: list[str] = Field(
        default_factory=list,
        max_length=200,
        description="Fields to take from other field managers, e.g. thresholds.cpu.",
    )


class PolicyPatch(CamelSchema):
    """What is to be changed; objects are merged, lists and labels replaced."""

    enabled: bool | None = None
    spec: dict[str, Any] = Field(default_factory=dict)
    take_over: list[str] = Field(default_factory=list, max_length=200)


class Restore(CamelSchema):
    """How an earlier revision is brought back."""

    take_over: list[str] = Field(default_factory=list, max_length=200)


class FieldChangeItem(CamelSchema):
    """One field before and after."""

    field: str
    before: Any = None
    after: Any = None


class RevisionItem(CamelSchema):
    """One state in a policy's history; ``origin`` cluster: ``actor`` is the resource's field manager."""

    number: int
    at: datetime
    kind: str
    origin: str
    actor: str
    note: str
    enabled: bool
    spec: dict[str, Any]
    error: str
    changes: list[FieldChangeItem]


class RevisionList(CamelSchema):
    """Newest first."""

    items: list[RevisionItem]


class Draft(CamelSchema):
    """A policy as it would be. ``policyId``: the one that is edited; none: a new one."""

    spec: PolicySpec
    enabled: bool = True
    cluster: str = Field("", max_length=63, pattern=CLUSTER, description="Empty: the default cluster.")
    policy_id: int | None = Field(None, ge=1, lt=2**63)


class MatchItem(CamelSchema):
    """A workload that the draft covers; ``governedBy``: another policy that is more specific."""

    kind: str
    namespace: str
    name: str
    replicas: int | None
    governed_by: str


class PreviewItem(CamelSchema):
    """What the draft covers now."""

    matches: list[MatchItem]
    total: int
    missing_namespaces: list[str]
    problems: list[str]


class JudgementItem(CamelSchema):
    """What a policy says about a case."""

    verdict: str
    strategy: str
    reasons: list[str]
    limits: list[str]


class ReplayRow(CamelSchema):
    """One case that comes out differently."""

    key: str
    title: str
    old: JudgementItem
    new: JudgementItem


class Turn(CamelSchema):
    """How many cases go from which verdict to which."""

    old: str
    new: str
    count: int


class ReplayPart(CamelSchema):
    """``total`` cases, of which ``changed`` come out differently."""

    total: int
    turns: list[Turn]
    changed: list[ReplayRow]


class ReplayItem(CamelSchema):
    """The draft over what has happened."""

    events: ReplayPart
    evaluation: ReplayPart
