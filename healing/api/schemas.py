"""What the API answers with. camelCase, as in the resources; times are ISO 8601 in UTC; seconds are in the names."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from ninja import Schema
from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from healing.redaction import redact_json

#: A cluster's name, or empty: all in a list, the default one elsewhere.
CLUSTER = r"^([a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?)?$"


class CamelSchema(Schema):
    """Base: Python's names inside, camelCase outside, nothing unknown accepted."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True, extra="forbid")


class ObjectName(CamelSchema):
    """Names an object of the cluster; cluster-scoped kinds have no namespace."""

    kind: str
    namespace: str = ""
    name: str


class EventItem(CamelSchema):
    """An event in a list."""

    name: str
    cluster: str
    target: ObjectName
    symptom: str
    message: str
    severity: str
    phase: str
    status: str
    cause: str
    confidence: float | None
    outcome: str
    outcome_reason: str
    occurrences: int
    detected_at: datetime
    finished_at: datetime | None
    waited_seconds: float
    policy: str
    page: str = Field(description="Address of the event's page.")


class PhaseItem(CamelSchema):
    """The clock of one of the four phases."""

    phase: str
    state: str
    elapsed_seconds: float
    waited_seconds: float
    budget_seconds: float
    over_budget: bool


class TimelineItem(CamelSchema):
    """One thing that happened; ``seq`` has no gaps."""

    seq: int
    at: datetime
    phase: str
    kind: str
    actor_kind: str
    actor: str
    source: str
    message: str
    data: dict[str, Any]


class StrategyItem(CamelSchema):
    """One way to heal the event; ``steps`` hold the exact plans, ``digest`` names them in decisions."""

    id: int
    attempt: int
    key: str
    title: str
    rationale: str
    origin: str
    risk: str
    score: float
    confidence: float
    state: str
    state_reason: str
    digest: str
    #: without secrets: plans hold whole templates, to be put back
    steps: Annotated[list[dict[str, Any]], BeforeValidator(redact_json)]
    arguments: list[dict[str, Any]]


class ApprovalItem(CamelSchema):
    """A question to people; decide it with its ``digest``."""

    id: int
    event: str
    strategy_id: int
    strategy: str
    digest: str
    risk: str
    reason: str
    state: str
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    decided_by: str
    comment: str
    required: int = Field(description="Different people who have to agree.")
    approved_by: list[str] = Field(description="Who has agreed so far.")
    held_until: datetime | None
    held_by: str
    hold_reason: str


class ActionItem(CamelSchema):
    """An action on the cluster with its diff ``[{"path", "before", "after"}]``."""

    id: int
    action: str
    target: dict[str, Any]
    parameters: dict[str, Any]
    state: str
    diff: list[dict[str, Any]]
    error: str
    created_at: datetime
    applied_at: datetime | None
    undone_at: datetime | None


class EventDetail(EventItem):
    """Everything about an event."""

    signals: list[dict[str, Any]]
    cause_object: dict[str, Any]
    diagnosis: dict[str, Any]
    story: list[str]
    phases: list[PhaseItem]
    healing_seconds: float
    timeline: list[TimelineItem]
    strategies: list[StrategyItem]
    approvals: list[ApprovalItem]
    actions: list[ActionItem]
    knowledge_ref: str


class EventPage(CamelSchema):
    """Events, newest first."""

    items: list[EventItem]
    next: str | None = Field(description="Cursor of the next page; null: this is the last.")


class ApprovalPage(CamelSchema):
    """Approvals, newest first."""

    items: list[ApprovalItem]
    next: str | None = Field(description="Cursor of the next page; null: this is the last.")


class Report(CamelSchema):
    """A fault that a person has seen."""

    target: ObjectName
    message: str = Field(min_length=1, max_length=2000, description="What is wrong, in your words.")
    severity: str = Field("high", pattern="^(low|medium|high|critical)$")
    cluster: str = Field("", max_length=63, pattern=CLUSTER, description="Empty: the default cluster.")


class Approve(CamelSchema):
    """``digest`` of the approval that was read: what it names is what runs."""

    digest: str = Field(max_length=64)
    comment: str = Field("", max_length=2000)


class Reject(CamelSchema):
    """A reason is required: the next proposal learns from it."""

    comment: str = Field(min_length=1, max_length=2000)


class Override(CamelSchema):
    """Another strategy of the same event, with the digest of its plan."""

    strategy_id: int = Field(ge=0, lt=2**63)
    digest: str = Field(max_length=64)
    comment: str = Field("", max_length=2000)


NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"


class PartItem(CamelSchema):
    """A part of the app in plain words."""

    name: str
    ok: bool
    says: str


class Health(CamelSchema):
    """``ok``: every part does its work."""

    ok: bool
    parts: list[PartItem]
