"""The part of a policy that is about warnings before the wound."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from healing.policies.sections import SpecModel, Switch, Whole


class Forecasts(SpecModel):
    """Warnings before the wound."""

    enabled: Switch = Field(True, description="Whether trends are watched.")
    horizon_seconds: Annotated[Whole, Field(ge=60, le=30 * 86_400)] = Field(
        86_400, description="Warn of what would happen within this time."
    )
    act: Literal["warn", "propose"] = Field(
        "warn", description="warn: say it; propose: also prepare the fix and ask a person. Nothing is done unasked."
    )
    availability_target: Annotated[float, Field(gt=0.0, lt=1.0, strict=True)] = Field(
        0.999, description="Share of requests that must succeed in 30 days: what is left is the error budget."
    )
