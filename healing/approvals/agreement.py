"""Autonomy is earned: how often people agreed with what was proposed, by policy and cause, and when that justifies a
step up. Words for people who decide about it; nothing changes by itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from healing import shared_clock
from healing.lifecycle import Outcome
from healing.models import Approval, ApprovalState, HealingEvent, Policy
from healing.policies.spec import PolicySpec, Risk

LOOKS_BACK = timedelta(days=90)
#: So many decisions at least, and agreement of at least that much with 95 % confidence.
ENOUGH_CASES = 20
ENOUGH_AGREEMENT = 0.8
_Z = 1.96
_AGREED, _OVERRIDDEN, _REJECTED = "agreed", "overridden", "rejected"
_SAID = {
    ApprovalState.APPROVED: _AGREED,
    ApprovalState.OVERRIDDEN: _OVERRIDDEN,
    ApprovalState.EDITED: _OVERRIDDEN,
    ApprovalState.TAKEN: _OVERRIDDEN,
    ApprovalState.REJECTED: _REJECTED,
}


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one policy and one cause. ``healed``: of the agreed ones, those that were verified."""

    policy_id: int | None
    cause: str
    risk: str
    agreed: int
    overridden: int
    rejected: int
    healed: int

    @property
    def cases(self) -> int:
        """How often a person decided."""
        return self.agreed + self.overridden + self.rejected

    @property
    def at_least(self) -> float:
        """Lower bound of the share of agreement (Wilson, 95 %)."""
        return lower_bound(self.agreed, self.cases)

    @property
    def is_justified(self) -> bool:
        """Whether the record speaks for asking less."""
        return (
            self.cases >= ENOUGH_CASES
            and self.at_least >= ENOUGH_AGREEMENT
            and lower_bound(self.healed, self.agreed) >= 0.5
        )

    @property
    def says(self) -> str:
        """The record in a sentence."""
        text = f"People agreed with {self.agreed} of {self.cases} proposals ({self.at_least:.0%} at least)"
        if self.overridden or self.rejected:
            text += f"; {self.overridden} changed or taken over, {self.rejected} rejected"
        return f"{text}. {self.healed} of the {self.agreed} healed."


def lower_bound(successes: int, trials: int, z: float = _Z) -> float:
    """Of the Wilson interval: how large the true share is at least. 0 without trials."""
    if trials <= 0:
        return 0.0
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, (centre - spread) / (1 + z * z / trials))


def agreements(policy: Policy | None = None, now: datetime | None = None) -> list[Agreement]:
    """The record of the last 90 days, of one policy or all; those with most cases first. Questions that nobody
    answered, or that went away, say nothing."""
    since = (now or shared_clock.now()) - LOOKS_BACK
    rows = Approval.objects.filter(state__in=list(_SAID), decided_at__gte=since)
    if policy is not None:
        rows = rows.filter(event__policy=policy)
    counts: dict[tuple[int | None, str], Counter[str]] = {}
    risks: dict[tuple[int | None, str], list[str]] = {}
    for policy_id, cause, state, outcome, risk in rows.values_list(
        "event__policy", "event__cause", "state", "event__outcome", "risk"
    ):
        key = (policy_id, cause)
        said = _SAID[ApprovalState(state)]
        counts.setdefault(key, Counter())[said] += 1
        risks.setdefault(key, []).append(risk)
        if said == _AGREED and outcome == Outcome.HEALED:
            counts[key]["healed"] += 1
    found = [
        Agreement(
            policy_id,
            cause,
            _highest(risks[policy_id, cause]),
            count[_AGREED],
            count[_OVERRIDDEN],
            count[_REJECTED],
            count["healed"],
        )
        for (policy_id, cause), count in counts.items()
    ]
    return sorted(found, key=lambda record: (-record.cases, record.cause))


def advice(policy: Policy, records: Iterable[Agreement], now: datetime | None = None) -> str:
    """Whether a step up is justified, in words; says what is missing where it is not."""
    spec, now = policy.parsed(), now or shared_clock.now()
    records = list(records)
    if spec.autonomy == "observe":
        seen = HealingEvent.objects.filter(policy=policy, detected_at__gte=now - LOOKS_BACK)
        diagnosed = seen.exclude(cause="").count()
        if diagnosed < ENOUGH_CASES:
            return (
                f"It only observes. {diagnosed} of its events were diagnosed so far; read {ENOUGH_CASES} of them and "
                "see whether you agree, then let it propose."
            )
        return f"It has diagnosed {diagnosed} events. If you agree with them, let it propose: people decide then."
    total = _sum(policy, records)
    if total.cases == 0:
        return "Nobody has decided about any of its proposals yet, so there is no record."
    if not total.is_justified:
        return f"{total.says} {_missing(total)}"
    return f"{total.says} {_step_up(spec, total)}"


def _step_up(spec: PolicySpec, total: Agreement) -> str:
    if spec.autonomy == "propose":
        return "That justifies a step up: set autonomy to heal. What is risky is asked about all the same."
    most = spec.approval.auto_approve_max_risk
    if spec.approval.mode == "always":
        return "That justifies a step up: set approval.mode to riskBased."
    if spec.approval.mode == "riskBased" and Risk(total.risk).rank > most.rank and most is Risk.LOW:
        return "That justifies a step up: set approval.autoApproveMaxRisk to medium."
    return "There is no step up that would be wise: what is left to ask about is of high risk."


def _missing(total: Agreement) -> str:
    if total.cases < ENOUGH_CASES:
        return f"That is too little to say: a step up needs {ENOUGH_CASES} decisions."
    if total.at_least < ENOUGH_AGREEMENT:
        return f"That does not justify a step up: agreement has to be {ENOUGH_AGREEMENT:.0%} at least."
    return "That does not justify a step up: too few of them healed."


def _sum(policy: Policy, records: list[Agreement]) -> Agreement:
    total = [sum(getattr(r, name) for r in records) for name in ("agreed", "overridden", "rejected", "healed")]
    return Agreement(policy.pk, "", _highest([r.risk for r in records]), *total)


def _highest(risks: Iterable[str]) -> str:
    known = [Risk(risk) for risk in risks if risk in list(Risk)]
    return str(max(known, key=lambda risk: risk.rank, default=Risk.LOW))
