"""Every metric that is counted where it happens, in whichever process. docs/observability.md explains each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Definition:
    """``buckets``: upper bounds of a histogram, without infinity."""

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


#: The phases' budgets (5, 15, 20) and the whole one (60) are bounds, so that "in time" can be read off exactly.
_PHASES = (0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0)
_HEALINGS = (5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 300.0, 900.0, 3600.0)
_MOMENTS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_ANSWERS = (0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 15.0)

_ALL = (
    Definition(
        "recist_phase_duration_seconds",
        "histogram",
        "How long the four phases of a healing took, without the time of people, other healings and the cluster",
        ("phase",),
        _PHASES,
    ),
    Definition(
        "recist_phase_run_duration_seconds",
        "histogram",
        "How long events stayed in each phase of the resource, by how that ended",
        ("phase", "state"),
        _HEALINGS,
    ),
    Definition(
        "recist_healing_duration_seconds",
        "histogram",
        "From detection to the end, without the time people took",
        ("outcome",),
        _HEALINGS,
    ),
    Definition(
        "recist_signal_to_contained_seconds",
        "histogram",
        "From the first sign of a fault to the end of its containment",
        (),
        _PHASES,
    ),
    Definition(
        "recist_events_opened_total", "counter", "Healing events opened", ("cluster", "symptom", "severity", "source")
    ),
    Definition("recist_events_finished_total", "counter", "Healing events ended", ("cluster", "outcome", "cause")),
    Definition("recist_actions_total", "counter", "Actions on clusters by how they ended", ("action", "result")),
    Definition("recist_guardrail_refusals_total", "counter", "Times a limit spoke against a plan", ("limit", "kind")),
    Definition("recist_approvals_total", "counter", "Questions to people by how they were closed", ("state",)),
    Definition("recist_llm_calls_total", "counter", "Questions to language models", ("model", "state")),
    Definition("recist_llm_tokens_total", "counter", "Tokens of language models", ("model", "kind")),
    Definition("recist_llm_cost_usd_total", "counter", "What language models cost, where known", ("model",)),
    Definition(
        "recist_llm_duration_seconds", "histogram", "How long language models took to answer", ("model",), _ANSWERS
    ),
    Definition("recist_notifications_total", "counter", "Messages that were sent or given up", ("channel", "state")),
    Definition("recist_tasks_total", "counter", "Celery tasks run", ("task", "state")),
    Definition("recist_task_duration_seconds", "histogram", "How long Celery tasks ran", ("task",), _MOMENTS),
    Definition("recist_queue_wait_seconds", "histogram", "How long messages waited for a worker", ("queue",), _MOMENTS),
    Definition("recist_task_last_success_timestamp_seconds", "gauge", "When a task of beat ended well last", ("task",)),
)
COUNTED: Mapping[str, Definition] = {definition.name: definition for definition in _ALL}
