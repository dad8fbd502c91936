"""The schedule and the queues name what exists."""

from __future__ import annotations

from healing.lifecycle import WORK, Phase, queue_of
from recist_web.celery import PHASE_QUEUES, QUEUES, app
from recist_web.supervisor.tree import WORKERS


def test_beat_sends_tasks_that_exist_to_queues_that_are_served() -> None:
    app.loader.import_default_modules()
    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in app.tasks
        assert entry["options"]["queue"] in QUEUES


def test_every_queue_is_served_by_one_worker_of_the_tree() -> None:
    assert sorted(queue for worker in WORKERS for queue in worker.queues) == sorted(QUEUES)


def test_every_phase_that_runs_has_a_queue() -> None:
    assert {queue_of(phase) for phase in WORK} == set(PHASE_QUEUES)


def test_the_embedded_qdrant_has_one_owner() -> None:
    """Learning writes to it, planning recalls from it, upkeep repairs it."""
    needs = {
        queue_of(Phase.LEARNING),
        queue_of(Phase.PLANNING),
        app.conf.beat_schedule["index-pending"]["options"]["queue"],
    }
    assert len([worker for worker in WORKERS if needs & set(worker.queues)]) == 1


def test_messages_are_json_and_acknowledged_late() -> None:
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_acks_late is True
    assert app.conf.task_reject_on_worker_lost is True
    assert app.conf.worker_prefetch_multiplier == 1
