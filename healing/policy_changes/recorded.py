"""Cases to replay: the last events of a cluster, and those of the recorded evaluation."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.urls import reverse

from healing.actions.base import Plan
from healing.models import HealingEvent, Strategy, StrategyState
from healing.policies.spec import Risk, Thresholds
from healing.policy_changes.judging import Case, Proposal, simple_plan
from healing.ports.cluster import ObjectRef

log = structlog.get_logger(__name__)

EVENTS = 100
#: Symptoms of metrics, and the threshold each is about.
_THRESHOLDS = {"HighCpu": "cpu", "HighMemory": "memory", "HighLatency": "latency_ms", "HighErrorRate": "error_rate"}
_STORM = timedelta(minutes=5)
#: What the recorded evaluation keeps of a decision is its sentence (`healing.metacognition.decision`).
_DECIDED = re.compile(
    r"^'(?P<title>.*?)' is worth (?P<score>\d\.\d+) \(confidence (?P<confidence>\d+)%, risk (?P<risk>\w+)\)"
)
_AT_ONCE = re.compile(r"(\d+) different things are at fault")
_NO_POLICY_OF_OURS = re.compile(r"is managed by|language model disagree")

Key = tuple[str, str, str]


def last_events(cluster: str, labels: Mapping[Key, Mapping[str, str]], count: int = EVENTS) -> list[tuple[Case, int]]:
    """(case, id of the policy that governed it or 0) of the newest events, newest first. ``labels``: of the workloads
    that are there now."""
    rows = list(
        HealingEvent.objects.filter(cluster=cluster)
        .defer("diagnosis")
        .prefetch_related("strategies", "actions")
        .order_by("-detected_at")[:count]
    )
    return [(_case(row, rows, labels), row.policy_id or 0) for row in rows]


def _case(event: HealingEvent, others: Iterable[HealingEvent], labels: Mapping[Key, Mapping[str, str]]) -> Case:
    target = ObjectRef(event.target_kind, event.target_namespace, event.target_name, event.target_uid)
    decided_at = event.diagnosed_at or event.detected_at
    same = [o for o in others if o.pk != event.pk and o.fingerprint == event.fingerprint and o.detected_at < decided_at]
    hour = decided_at - timedelta(hours=1)
    times = [a.applied_at for o in same for a in o.actions.all() if a.strategy_id and a.applied_at]
    applied = [at for at in times if at <= decided_at]
    return Case(
        key=event.name,
        title=f"{event.symptom} · {event.target_name}",
        at=decided_at,
        target=target,
        labels=_known_labels(event, labels),
        confidence=event.confidence or 0.0,
        proposals=tuple(_proposals(event)),
        measured=tuple(_measured(event.signals)),
        seen_otherwise=any(s.get("symptom") not in _THRESHOLDS for s in event.signals),
        actions_last_hour=sum(1 for at in applied if at >= hour),
        seconds_since_action=(decided_at - max(applied)).total_seconds() if applied else None,
        failed_healings=_failures(same),
        faults_at_once=_at_once(event, decided_at, others),
        outcome=event.outcome or event.phase,
        url=reverse("dashboard:event", args=[event.name]),
    )


def _known_labels(event: HealingEvent, labels: Mapping[Key, Mapping[str, str]]) -> Mapping[str, str] | None:
    """As they are now; else at least those by which it was selected then."""
    now = labels.get((event.target_kind, event.target_namespace, event.target_name))
    if now is not None:
        return now
    selected = (event.policy_snapshot or {}).get("targetLabels") or {}
    return dict(selected) if selected else None


def _proposals(event: HealingEvent) -> Iterable[Proposal]:
    first = min((s.attempt for s in event.strategies.all()), default=0)
    for strategy in event.strategies.all():
        if strategy.attempt != first or not strategy.steps or _is_infeasible(strategy):
            continue
        try:
            plans = tuple(Plan.from_json(step["plan"]) for step in strategy.steps)
            yield Proposal(strategy.title, strategy.score, Risk(strategy.risk), plans)
        except (KeyError, TypeError, ValueError) as error:
            log.debug("a plan of an older release cannot be replayed", strategy=strategy.pk, error=str(error))


def _is_infeasible(strategy: Strategy) -> bool:
    """Refused by the API server or by what was found; what a policy refused is judged anew."""
    return strategy.state == StrategyState.REFUSED and strategy.state_reason.startswith("Dry run")


def _measured(signals: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, float | None, float | None]]:
    for signal in signals:
        name = _THRESHOLDS.get(str(signal.get("symptom")))
        if name is not None:
            data = signal.get("data") or {}
            yield name, _number(data.get("value")), _number(data.get("threshold"))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _failures(same: Iterable[HealingEvent]) -> int:
    count = 0
    for event in sorted(same, key=lambda e: e.detected_at, reverse=True):
        if event.outcome == "healed":
            break
        if event.outcome == "escalated" and any(s.state in ("failed", "undone") for s in event.strategies.all()):
            count += 1
    return count


def _at_once(event: HealingEvent, at: datetime, others: Iterable[HealingEvent]) -> int:
    causes = set()
    for other in others:
        is_open = other.finished_at is None or other.finished_at > at
        if other.diagnosed_at and at - _STORM < other.detected_at <= at and is_open:
            about = other.cause_object or {}
            causes.add((about.get("kind"), about.get("namespace"), about.get("name")))
    return max(1, len(causes))


@lru_cache(maxsize=1)
def evaluation() -> tuple[Case, ...]:
    """The events of the recorded evaluation; empty where its results are not at hand."""
    path = Path(settings.BASE_DIR) / "docs" / "evaluation" / "results.json.gz"
    try:
        with gzip.open(path) as file:
            results = json.load(file)
    except (OSError, ValueError) as error:
        log.info("the recorded evaluation cannot be replayed", error=str(error))
        return ()
    return tuple(
        case
        for scenario in results.get("scenarios") or ()
        for case in (_recorded(scenario, event) for event in scenario.get("events") or ())
        if case is not None
    )


def _recorded(scenario: Mapping[str, Any], event: Mapping[str, Any]) -> Case | None:
    try:
        decided = next((e for e in event["timeline"] if e["kind"] == "decided"), None)
        approvals = event.get("approvals") or ()
        reason = approvals[0]["reason"] if approvals else ""
        at_once = _AT_ONCE.search(reason)
        defaults = Thresholds()
        symptoms = [str(s.get("symptom")) for s in event.get("signals") or ()]
        return Case(
            key=f"{scenario['name']}/{event['name']}",
            title=f"{scenario['title']}: {event['symptom']}",
            at=datetime.fromtimestamp(scenario["startedAt"] + event["detectedAt"], UTC),
            target=ObjectRef.from_json(event["target"]),
            labels=None,
            confidence=float(event.get("confidence") or 0.0),
            proposals=_recorded_proposals(event, decided, reason),
            # Values were not kept; they were over the thresholds of the evaluation's policy, which are the defaults.
            measured=tuple(
                (_THRESHOLDS[name], None, getattr(defaults, _THRESHOLDS[name]))
                for name in symptoms
                if name in _THRESHOLDS
            ),
            seen_otherwise=any(name not in _THRESHOLDS for name in symptoms),
            faults_at_once=int(at_once[1]) if at_once else 1,
            outcome=event.get("outcome") or event.get("phase") or "",
        )
    except (KeyError, TypeError, ValueError) as error:
        log.debug("a recorded event cannot be replayed", error=str(error))
        return None


def _recorded_proposals(
    event: Mapping[str, Any], decided: Mapping[str, Any] | None, reason: str
) -> tuple[Proposal, ...]:
    match = _DECIDED.match(decided["message"]) if decided else None
    if match is None:
        return ()
    risk = Risk(match["risk"])
    # Actions of later attempts are no part of the first decision; they follow an action that was undone or failed.
    plans, seen_end = [], False
    for action in event.get("actions") or ():
        if action.get("purpose") != "heal" or seen_end:
            continue
        plan = simple_plan(action["action"], ObjectRef.from_json(action["target"]), risk)
        if plan is not None:
            plans.append(plan)
        seen_end = action.get("state") in ("undone", "failed")
    anyway = (reason,) if _NO_POLICY_OF_OURS.search(reason) else ()
    return (Proposal(match["title"], float(match["score"]), risk, tuple(plans), anyway),) if plans else ()
