"""Whether workers, beat and watchers are there and do their work."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from healing.detection import heartbeat
from healing.telemetry import counting
from recist_web.celery import PHASE_QUEUES, QUEUES, app
from recist_web.doctor.report import Finding, error, ok, warning

_INSPECT_SECONDS = 2.0
_BEAT_SECONDS = 30.0
_LAG_SECONDS = 5.0


def queues() -> Iterator[Finding]:
    answers = app.control.inspect(timeout=_INSPECT_SECONDS).active_queues() or {}
    served: dict[str, list[str]] = {name: [] for name in QUEUES}
    for worker, consumed in answers.items():
        for queue in consumed:
            served.setdefault(str(queue["name"]), []).append(worker)
    lacking = [name for name in QUEUES if not served[name]]
    if not answers:
        yield error("workers", "No worker answers.", "Start them: celery -A recist_web worker -Q " + ",".join(QUEUES))
        return
    for name in lacking:
        what = "nothing goes through this phase" if name in PHASE_QUEUES else "its upkeep or messages stand still"
        yield error("workers", f"Queue {name} has no worker: {what}.", f"Start one with -Q {name}.")
    if not lacking:
        yield ok("workers", f"{len(answers)} workers serve all {len(QUEUES)} queues")


def beat() -> Iterator[Finding]:
    with counting.connect() as client:
        marks = counting.read(client)["recist_task_last_success_timestamp_seconds"]
    last = marks.get(("healing.tasks.sweep",))
    advice = "Start one: celery -A recist_web beat. Its tasks run on the queue default."
    if last is None:
        yield error("beat", "The sweeper has not run since Valkey was started.", advice)
        return
    age = time.time() - last
    if age > _BEAT_SECONDS:
        yield error("beat", f"The sweeper ran {age:.0f} s ago; it should every second.", advice)
    else:
        yield ok("beat", f"the sweeper ran {age:.0f} s ago")


def watchers(names: Sequence[str]) -> Iterator[Finding]:
    now = datetime.now(UTC)
    for name, sign in heartbeat.read_all(list(names)).items():
        part = f"cluster {name}: watcher"
        if sign is None or sign.age(now) > heartbeat.SILENT_AFTER:
            last = (
                f"its last sign of life is {sign.age(now).total_seconds():.0f} s old" if sign else "none has ever told"
            )
            yield error(part, f"No watcher is at work ({last}): no fault is found.", "Start one: manage.py watch")
            continue
        if not sign.is_leader and not sign.leader:
            yield error(part, "A watcher runs, and none holds the Lease.", _lease(sign.problems))
        elif not sign.synced and sign.is_leader:
            yield warning(part, f"{sign.leader or sign.identity} is still reading the cluster.", "Wait a moment.")
        else:
            yield ok(part, f"{sign.leader or sign.identity} watches {sign.objects} objects")
        for what, why in sign.problems.items():
            yield warning(part, f"{what}: {why}", "It is tried again all the time; see to what it says.")
        if sign.lag_seconds is not None and sign.lag_seconds > _LAG_SECONDS:
            yield warning(part, f"Changes are judged {sign.lag_seconds:.1f} s late.", "Give the watcher more CPU.")


def _lease(problems: dict[str, str]) -> str:
    said = "; ".join(problems.values())
    return said or "May it get, create and patch Leases in POD_NAMESPACE?"
