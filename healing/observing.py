"""What of the engine's life is counted for /metrics; each is said once its transaction is durable."""

from __future__ import annotations

from datetime import datetime

from healing import clocks, dispatch, telemetry
from healing.models import HealingEvent, PhaseRun


def opened(event: HealingEvent) -> None:
    """A fault has become an event."""
    labels = event.cluster, event.symptom, event.severity, str(event.source)
    dispatch.after_commit("metrics", lambda: telemetry.count("recist_events_opened_total", *labels))


def phase_left(run: PhaseRun) -> None:
    """An event has left a phase."""
    if run.finished_at is None:
        return
    phase, state, seconds = run.phase, run.state, (run.finished_at - run.started_at).total_seconds()
    dispatch.after_commit(
        "metrics", lambda: telemetry.observe("recist_phase_run_duration_seconds", phase, state, value=seconds)
    )


def ended(event: HealingEvent, now: datetime) -> None:
    """An event has ended: its outcome, and the four clocks against their budgets."""
    dispatch.after_commit("metrics", lambda: _ended(event, now))


def _ended(event: HealingEvent, now: datetime) -> None:
    outcome = str(event.outcome)
    telemetry.count("recist_events_finished_total", event.cluster, outcome, event.cause)
    found = clocks.wound_clocks(event, event.phase_runs.all(), now)
    for clock in found:
        if clock.state in ("done", "failed"):
            telemetry.observe("recist_phase_duration_seconds", str(clock.wound), value=clock.elapsed_seconds)
    telemetry.observe("recist_healing_duration_seconds", outcome, value=clocks.healing_seconds(event, found, now))
    if event.contained_at is not None:
        seconds = (event.contained_at - event.detected_at).total_seconds()
        telemetry.observe("recist_signal_to_contained_seconds", value=max(0.0, seconds))
