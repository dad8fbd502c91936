"""The status of a policy's resource: what was read of it, whether it is in force, and what came of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from healing.models import Policy


@dataclass(frozen=True, slots=True)
class Tally:
    """A policy's events: under way, ended, healed; and when the last one ended."""

    active: int = 0
    ended: int = 0
    healed: int = 0
    last_at: datetime | None = None


def desired_status(policy: Policy, current: dict[str, Any], tally: Tally, now: datetime) -> dict[str, Any]:
    """What the resource's status should say; times move only with what they are about."""
    status: dict[str, Any] = {
        "observedGeneration": policy.generation,
        "activeHealings": tally.active,
        "totalHealings": tally.ended,
        "successfulHealings": tally.healed,
        "conditions": [
            _condition(policy, current, now, *_accepted(policy)),
            _condition(policy, current, now, *_ready(policy)),
        ],
    }
    for name in ("lastHealing", "lastHealingTime"):
        if tally.last_at is not None:
            status[name] = _time(tally.last_at)
        elif name in current:
            status[name] = current[name]
    return status


def _accepted(policy: Policy) -> tuple[str, str, str, str]:
    if policy.error:
        return "Accepted", "False", "InvalidSpec", policy.error
    return "Accepted", "True", "Valid", "The spec was read and is valid."


def _ready(policy: Policy) -> tuple[str, str, str, str]:
    if not policy.spec:
        return "Ready", "False", "NoValidSpec", "No valid spec was ever read: the policy covers nothing."
    if not policy.enabled:
        return "Ready", "False", "SwitchedOff", "It is switched off in ReCiSt: it selects nothing."
    if policy.spec.get("paused"):
        return "Ready", "False", "Paused", "spec.paused is true: faults are recorded, nothing is done."
    if policy.error:
        return "Ready", "True", "LastGoodSpec", "The last valid spec stays in force until this one is corrected."
    return "Ready", "True", "InForce", "The policy is in force."


def _condition(
    policy: Policy, current: dict[str, Any], now: datetime, kind: str, wanted: str, reason: str, message: str
) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = current.get("conditions") or []
    before: dict[str, Any] = next((entry for entry in conditions if entry.get("type") == kind), {})
    has_turned = before.get("status") != wanted
    return {
        "type": kind,
        "status": wanted,
        "reason": reason,
        "message": message[:4096],
        "observedGeneration": policy.generation,
        "lastTransitionTime": _time(now) if has_turned else before.get("lastTransitionTime", _time(now)),
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
