"""Celery: one queue a phase, so that a slow diagnosis never delays a containment.

A task carries an id and nothing else; the engine loads the row, claims it and runs the phase. Beat's tasks are
idempotent and cheap; their schedule is the table below, where it can be seen at a glance.
"""

import os
from typing import Any

from celery.signals import worker_ready
from kombu import Queue

from recist_web import celery_clock, task_signals
from recist_web.signs_of_life import WorkerSign

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "recist_web.settings")

PHASE_QUEUES = ("containment", "diagnosis", "healing", "knowledge")
QUEUES = (*PHASE_QUEUES, "notifications", "default")

app = celery_clock.SharedClockCelery("recist", task_cls=celery_clock.SharedClockTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = [Queue(name) for name in QUEUES]
# For the probes of a cluster.
app.steps["consumer"].add(WorkerSign)
app.conf.worker_consumer = "recist_web.signs_of_life:PatientConsumer"
app.conf.beat_scheduler = "recist_web.signs_of_life:BeatSign"
task_signals.connect()
celery_clock.connect()
app.autodiscover_tasks(["healing", "healing.notifications", "knowledge"])


@worker_ready.connect
def _load_the_language_model(sender: Any, **_: Any) -> None:
    """Its library takes seconds to import: before the first diagnosis needs it, where a model is configured."""
    from django.conf import settings  # noqa: PLC0415 -- the module is imported before Django is set up

    if settings.LLM_MODEL and "diagnosis" in sender.app.amqp.queues.consume_from:
        from healing.llm.client import warm_up  # noqa: PLC0415 -- workers only

        warm_up()


def _every(seconds: float, task: str, queue: str = "default") -> dict[str, object]:
    # A tick that no worker took in time is worthless: the next one does the same work.
    return {"task": task, "schedule": seconds, "options": {"queue": queue, "expires": max(1.0, seconds)}}


app.conf.beat_schedule = {
    "sweep": _every(1.0, "healing.tasks.sweep"),
    "expire": _every(2.0, "healing.tasks.expire"),
    "count_finished": _every(5.0, "healing.tasks.count_finished"),
    # Asks the cluster, so it must not stand before a containment.
    "withdraw_recovered": _every(5.0, "healing.tasks.withdraw_recovered", queue="healing"),
    "notify": _every(1.0, "healing.notifications.tasks.tick", queue="notifications"),
    "match_alerts": _every(5.0, "healing.tasks.match_alerts", queue="healing"),
    "release_due": _every(5.0, "healing.tasks.release_due", queue="healing"),
    "undo_asked": _every(5.0, "healing.tasks.undo_asked", queue="healing"),
    "release_strays": _every(60.0, "healing.tasks.release_strays", queue="healing"),
    "remember_config": _every(30.0, "healing.tasks.remember_config", queue="knowledge"),
    "forecast": _every(30.0, "healing.tasks.forecast", queue="knowledge"),
    # Where the embedded Qdrant lives: no other process may open it.
    "index-pending": _every(10.0, "knowledge.tasks.index_pending", queue="knowledge"),
    "prune": _every(3600.0, "healing.tasks.prune"),
    "knowledge-upkeep": _every(3600.0, "knowledge.tasks.upkeep", queue="knowledge"),
}
