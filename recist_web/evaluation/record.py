"""What the product's database says of a cluster's events, as plain data. Times are seconds since the epoch."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from healing.clocks import healing_seconds, wound_clocks
from healing.models import ActionRun, ActionState, Approval, ApprovalState, HealingEvent

_CARRIED_OUT = frozenset({ActionState.APPLIED, ActionState.UNDOING, ActionState.UNDONE, ActionState.UNDO_FAILED})
_BY_PEOPLE = frozenset({ApprovalState.APPROVED, ApprovalState.REJECTED, ApprovalState.OVERRIDDEN})
_AGREED = frozenset({ApprovalState.APPROVED, ApprovalState.OVERRIDDEN})
_FINDINGS_KEPT = 3
_TIMELINE_KEPT = 60


def events_of(cluster: str) -> list[dict[str, Any]]:
    """Every event of the cluster, oldest first."""
    found = HealingEvent.objects.filter(cluster=cluster).order_by("detected_at", "pk")
    rows = found.prefetch_related("phase_runs", "actions__strategy__approvals", "approvals", "timeline")
    return [_event(row) for row in rows]


def _event(event: HealingEvent) -> dict[str, Any]:
    now = datetime.now(UTC)
    clocks = wound_clocks(event, event.phase_runs.all(), now)
    return {
        "name": event.name,
        "target": _ref(event.target_kind, event.target_namespace, event.target_name),
        "subject": _slim(event.subject),
        "symptom": event.symptom,
        "message": event.message,
        "source": event.source,
        "detectedAt": _seconds(event.detected_at),
        "signals": [
            {"symptom": signal["symptom"], "at": _seconds(datetime.fromisoformat(signal["at"]))}
            for signal in event.signals
        ],
        "lastSeenAt": _seconds(event.last_seen_at),
        "phase": str(event.phase),
        "status": str(event.status),
        "outcome": str(event.outcome),
        "outcomeReason": event.outcome_reason,
        "containedAt": _seconds(event.contained_at),
        "diagnosedAt": _seconds(event.diagnosed_at),
        "healedAt": _seconds(event.healed_at),
        "finishedAt": _seconds(event.finished_at),
        # What other events and the cluster took is in it, what people took is not.
        "healingSeconds": round(healing_seconds(event, clocks, now), 3),
        "waitedSeconds": round(sum(clock.waited_seconds for clock in clocks), 3),
        "othersSeconds": round(sum(clock.others_seconds for clock in clocks), 3),
        "clusterSeconds": round(sum(clock.cluster_seconds for clock in clocks), 3),
        "phaseSeconds": {
            str(clock.wound): round(clock.elapsed_seconds, 3)
            for clock in clocks
            if clock.state not in ("ahead", "skipped")
        },
        "runSeconds": _run_seconds(event),
        "attempts": event.attempt,
        "confidence": event.confidence,
        "findings": _findings(event.diagnosis),
        "actions": [_action(row) for row in event.actions.all()],
        "approvals": _approvals(event.approvals.all()),
        # Whether the policy wanted a person to agree, however sure the product was.
        "askedByPolicy": any(
            entry.data.get("byPolicy") for entry in event.timeline.all() if entry.kind == "approval-requested"
        ),
        "timeline": [
            {"at": _seconds(entry.at), "kind": entry.kind, "message": entry.message}
            for entry in list(event.timeline.all())[:_TIMELINE_KEPT]
        ],
    }


def _run_seconds(event: HealingEvent) -> dict[str, float]:
    """How long the event was in each of its phases."""
    seconds: dict[str, float] = {}
    for run in event.phase_runs.all():
        if run.finished_at is not None:
            took = (run.finished_at - run.started_at).total_seconds()
            seconds[run.phase] = round(seconds.get(run.phase, 0.0) + took, 3)
    return seconds


def _findings(diagnosis: dict[str, Any]) -> list[dict[str, Any]]:
    """The causes it named, best first."""
    found = (diagnosis or {}).get("findings", ())[:_FINDINGS_KEPT]
    return [
        {"cause": f["cause"], "object": _slim(f["object"]), "confidence": round(float(f["confidence"]), 3)}
        for f in found
    ]  # fmt: skip


def _action(row: ActionRun) -> dict[str, Any]:
    strategy = row.strategy
    return {
        "action": row.action,
        "target": _slim(row.target),
        "purpose": "contain" if strategy is None else "heal",
        "strategy": "" if strategy is None else f"{strategy.attempt}/{strategy.key}",
        "agreed": strategy is not None and any(a.state in _AGREED for a in strategy.approvals.all()),
        "carriedOut": row.state in _CARRIED_OUT,
        "state": str(row.state),
        "appliedAt": _seconds(row.applied_at),
        "undoneAt": _seconds(row.undone_at),
        "error": row.error,
    }


def _approvals(rows: Iterable[Approval]) -> list[dict[str, Any]]:
    return [
        {
            "askedAt": _seconds(row.created_at),
            "decidedAt": _seconds(row.decided_at),
            "state": str(row.state),
            "byPerson": row.state in _BY_PEOPLE,
            "reason": row.reason,
        }
        for row in sorted(rows, key=lambda row: row.created_at)
    ]


def _ref(kind: str, namespace: str, name: str) -> dict[str, str]:
    return {"kind": kind, "namespace": namespace, "name": name}


def _slim(reference: dict[str, Any]) -> dict[str, str]:
    if not reference:
        return {}
    return _ref(str(reference.get("kind", "")), str(reference.get("namespace") or ""), str(reference.get("name", "")))


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else round(moment.timestamp(), 3)
