"""What Celery tells of its tasks: how long messages waited and tasks ran, and whose lines the log's are."""

from __future__ import annotations

import time
from typing import Any

import structlog
from celery import signals

from healing import shared_clock, telemetry
from recist_web import tracing

_SENT_AT = "recist_sent_at"
_STARTED = "recist_started"


def _publishing(headers: dict[str, Any] | None = None, **_: Any) -> None:
    if headers is not None:
        headers[_SENT_AT] = shared_clock.now().timestamp()


def _starting(task_id: str = "", task: Any = None, **_: Any) -> None:
    request = task.request
    setattr(request, _STARTED, time.monotonic())
    # Threads are used again: nothing of the task before may stand in this one's lines.
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(task=task.name, task_id=task_id)
    sent_at = getattr(request, _SENT_AT, None)
    if sent_at and not request.eta:
        queue = str((request.delivery_info or {}).get("routing_key") or "")
        telemetry.observe(
            "recist_queue_wait_seconds", queue, value=max(0.0, shared_clock.now().timestamp() - float(sent_at))
        )


def _ended(task: Any = None, state: str | None = None, **_: Any) -> None:
    started = getattr(task.request, _STARTED, None)
    telemetry.count("recist_tasks_total", task.name, (state or "unknown").lower())
    if started is not None:
        telemetry.observe("recist_task_duration_seconds", task.name, value=time.monotonic() - started)
    if state == "SUCCESS":
        telemetry.mark("recist_task_last_success_timestamp_seconds", task.name, value=time.time())


def _stopping(**_: Any) -> None:
    telemetry.flush()


def _trace_worker(**_: Any) -> None:
    tracing.install("worker")


def _trace_beat(**_: Any) -> None:
    tracing.install("beat")


def connect() -> None:
    """Once in every process that sends or runs tasks."""
    signals.worker_init.connect(_trace_worker, dispatch_uid="recist", weak=False)
    signals.beat_init.connect(_trace_beat, dispatch_uid="recist", weak=False)
    signals.before_task_publish.connect(_publishing, dispatch_uid="recist", weak=False)
    signals.task_prerun.connect(_starting, dispatch_uid="recist", weak=False)
    signals.task_postrun.connect(_ended, dispatch_uid="recist", weak=False)
    signals.worker_shutdown.connect(_stopping, dispatch_uid="recist", weak=False)
