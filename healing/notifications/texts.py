"""What people read: sentences that say what happened, why, and what to do."""

from __future__ import annotations

from datetime import UTC, datetime

from django.conf import settings
from django.urls import reverse

from healing.faults import Severity as FaultSeverity
from healing.models import Approval, Halt, HealingEvent
from healing.notifications.message import Effect, Message, Severity
from healing.policies.notifications import Occasion
from healing.redaction import redact

#: A kind of our own: a question was answered. Only incidents hear of it.
DECIDED = "decided"
_LONGEST = 1500


def detected(event: HealingEvent) -> Message:
    """Something is wrong; nobody knows why yet."""
    return _of(event, Occasion.DETECTED, f"{target(event)}: {event.symptom}", event.message, event.detected_at)


def approval(row: Approval, occasion: Occasion, now: datetime) -> Message:
    """Somebody has to decide, or has little time left to."""
    event, minutes = row.event, max(1, round((row.expires_at - now).total_seconds() / 60))
    if occasion == Occasion.APPROVAL_EXPIRING:
        title = f"{_about(minutes)} left to decide: {row.strategy.title}"
    else:
        title = f"Your decision is needed: {row.strategy.title}"
    text = [f"{target(event)}: {_cause(event)}", row.reason, f"Nothing is done if nobody decides in {_about(minutes)}."]
    facts = [("Proposed", row.strategy.title), ("Risk", row.risk), ("Expires", _time(row.expires_at))]
    severity: Severity = "critical" if occasion == Occasion.APPROVAL_EXPIRING else _severity(event)
    return _of(event, occasion, title, _text(text), row.created_at, facts=facts, severity=severity)


def decided(row: Approval) -> Message:
    """The question was answered."""
    who = row.decided_by_name or "somebody"
    title = f"{who} decided: {row.get_state_display()}: {row.strategy.title}"
    at = row.decided_at or row.created_at
    return _of(row.event, DECIDED, title, title, at, severity="info", effect="acknowledge")


def healed(event: HealingEvent) -> Message:
    """It is well again, by us or by itself."""
    how = "is healed" if event.outcome == "healed" else "is well again by itself"
    text = [event.outcome_reason, f"The fault was: {_cause(event)}"]
    title = f"{target(event)} {how}"
    return _of(event, Occasion.HEALED, title, _text(text), _end(event), severity="info", effect="resolve")


def declined(event: HealingEvent) -> Message:
    """A person decided that nothing is done."""
    title = f"{target(event)}: nothing is done"
    return _of(event, Occasion.DECLINED, title, event.outcome_reason, _end(event), severity="info", effect="resolve")


def escalated(event: HealingEvent) -> Message:
    """A person must take over."""
    text = [event.outcome_reason, f"What is known: {_cause(event)}", "Open the event to see what was tried."]
    title = f"{target(event)} needs you"
    return _of(event, Occasion.ESCALATED, title, _text(text), _end(event), severity="critical")


def storm(cluster: str, faults: int, now: datetime) -> Message:
    """Many faults at once: nothing is done unasked."""
    where = f" in cluster {cluster}" if len(settings.CLUSTERS) > 1 else ""
    text = (
        f"{faults} different things are at fault at once{where}. That looks like one cause behind them all, so ReCiSt "
        "contains and proposes, and does nothing unasked until it is over. Look at the newest events together."
    )
    return Message(
        kind=Occasion.STORM,
        title=f"Many faults at once{where}: {faults}",
        text=text,
        at=_iso(now),
        incident=f"recist/{cluster}/storm",
        path=reverse("dashboard:now"),
        severity="critical",
        cluster=cluster,
        facts=[("Cluster", cluster)],
    )


def halted(halt: Halt) -> Message:
    """The kill switch was thrown."""
    where = f"in cluster {halt.cluster}" if halt.cluster else "everywhere"
    who = halt.created_by or "Somebody"
    return Message(
        kind=Occasion.HALTED,
        title=f"Automation is halted {where}",
        text=_text([f"{who} halted it: {halt.reason}", "Nothing is done until somebody lifts the halt."]),
        at=_iso(halt.created_at),
        incident=f"recist/halt/{halt.pk}",
        path=reverse("dashboard:now"),
        severity="warning",
        cluster=halt.cluster,
        facts=[("Halted by", who)],
    )


def target(event: HealingEvent) -> str:
    """The workload in a few words."""
    where = f"{event.target_namespace}/" if event.target_namespace else ""
    return f"{event.target_kind} {where}{event.target_name}"


def _of(
    event: HealingEvent,
    kind: str,
    title: str,
    text: str,
    at: datetime,
    *,
    facts: list[tuple[str, str]] | None = None,
    severity: Severity | None = None,
    effect: Effect = "trigger",
) -> Message:
    more = [("Target", target(event))]
    if len(settings.CLUSTERS) > 1:
        more.append(("Cluster", event.cluster))
    if event.cause:
        more.append(("Cause", event.cause))
    if event.policy_name:
        more.append(("Policy", event.policy_name))
    return Message(
        kind=str(kind),
        title=_line(title),
        text=redact(text)[:_LONGEST],
        at=_iso(at),
        incident=f"recist/{event.cluster}/{event.name}",
        path=reverse("dashboard:event", args=[event.name]),
        severity=severity or _severity(event),
        effect=effect,
        cluster=event.cluster,
        namespace=event.target_namespace,
        event=event.name,
        facts=[*(facts or ()), *more],
    )


def _severity(event: HealingEvent) -> Severity:
    return "critical" if event.severity in (FaultSeverity.HIGH, FaultSeverity.CRITICAL) else "warning"


def _cause(event: HealingEvent) -> str:
    if not event.cause:
        return f"{event.symptom}. {event.message}".strip()
    sure = f" ({event.confidence:.0%} sure)" if event.confidence is not None else ""
    return f"{event.cause}{sure}. {event.message}".strip()


def _end(event: HealingEvent) -> datetime:
    return event.finished_at or event.last_seen_at


def _text(sentences: list[str]) -> str:
    return "\n".join(sentence.strip() for sentence in sentences if sentence.strip())


def _line(text: str) -> str:
    return redact(" ".join(text.split()))[:200]


def _about(minutes: int) -> str:
    if minutes >= 120:
        return f"{round(minutes / 60)} hours"
    return f"{minutes} minute{'s' if minutes != 1 else ''}"


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
