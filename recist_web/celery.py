"""Celery: one queue a phase, so that a slow diagnosis never delays a containment.

A task carries an id and nothing else; the engine loads the row, claims it and runs the phase. Beat's tasks are
idempotent and cheap; their schedule is the table below, where it can be seen at a glance.
"""

import os

from celery import Celery
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "recist_web.settings")

PHASE_QUEUES = ("containment", "diagnosis", "healing", "knowledge")
QUEUES = (*PHASE_QUEUES, "default")

app = Celery("recist")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = [Queue(name) for name in QUEUES]
app.autodiscover_tasks(["healing", "knowledge"])


def _every(seconds: float, task: str, queue: str = "default") -> dict[str, object]:
    # A tick that no worker took in time is worthless: the next one does the same work.
    return {"task": task, "schedule": seconds, "options": {"queue": queue, "expires": max(1.0, seconds)}}


app.conf.beat_schedule = {
    "sweep": _every(1.0, "healing.tasks.sweep"),
    "expire": _every(2.0, "healing.tasks.expire"),
    # Asks the cluster, so it must not stand before a containment.
    "withdraw_recovered": _every(5.0, "healing.tasks.withdraw_recovered", queue="healing"),
    "release_due": _every(5.0, "healing.tasks.release_due", queue="healing"),
    "remember_config": _every(30.0, "healing.tasks.remember_config", queue="knowledge"),
    # Where the embedded Qdrant lives: no other process may open it.
    "index-pending": _every(10.0, "knowledge.tasks.index_pending", queue="knowledge"),
}
