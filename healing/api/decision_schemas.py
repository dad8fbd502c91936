"""What decisions are sent as, beyond those of `healing.api.schemas`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from healing.api.schemas import ApprovalItem, CamelSchema

Id = Field(gt=0, lt=2**63)


class Edit(CamelSchema):
    """Other parameters for the strategy whose plan ``digest`` names: one object a step, within the action's schema."""

    parameters: list[dict[str, Any]] = Field(min_length=1, max_length=20)
    digest: str = Field(max_length=64)
    strategy_id: int | None = Field(None, gt=0, lt=2**63, description="Empty: the proposed one.")
    comment: str = Field("", max_length=2000)


class Hold(CamelSchema):
    """Stops the clock of a question."""

    seconds: int = Field(ge=60, le=7200)
    reason: str = Field(min_length=1, max_length=2000)


class TakeOver(CamelSchema):
    """Why, or what was done."""

    reason: str = Field("", max_length=2000)


class Fix(CamelSchema):
    """What the person did; it is remembered for the next time."""

    what: str = Field(min_length=1, max_length=2000)


class TakeBack(CamelSchema):
    """Why an action is taken back."""

    reason: str = Field(min_length=1, max_length=2000)


class TakeoverItem(CamelSchema):
    """In whose hands an event is, or was."""

    event: str
    by: str
    reason: str
    at: datetime
    claimed_at: datetime | None
    fix: str
    ended_at: datetime | None
    end: str


class GroupItem(CamelSchema):
    """Open approvals of one cause and strategy. ``digest`` covers the digest of every plan in it."""

    cluster: str
    cause: str
    strategy: str
    digest: str
    approvals: list[ApprovalItem]


class GroupList(CamelSchema):
    """What waits, grouped."""

    items: list[GroupItem]


class ApproveGroup(CamelSchema):
    """``digest`` of the group that was read; ``approvals`` the ids in it."""

    approvals: list[int] = Field(min_length=1, max_length=100)
    digest: str = Field(max_length=64)
    comment: str = Field("", max_length=2000)


class GroupResult(CamelSchema):
    """What became of one approval; ``error`` empty: it was approved."""

    approval: int
    event: str
    state: str
    error: str


class GroupResults(CamelSchema):
    """One for each, in the order of the ids."""

    approved: int
    failed: int
    items: list[GroupResult]
