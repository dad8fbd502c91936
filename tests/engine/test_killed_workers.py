"""A worker is killed with SIGKILL in the middle of each phase; every event is healed all the same, once.

The cluster's API is slowed down, so that a phase takes long enough to be caught. A worker seen in a phase is stopped
(SIGSTOP), looked at again while it cannot move, and killed only if the phase is still unfinished: no luck involved.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from tests.parts.live_tree import LiveTree
from tests.parts.plugin import Parts

pytestmark = [pytest.mark.tree, pytest.mark.timeout(420)]

NAMESPACE = "shop"
#: phase in which the worker dies, the workload whose event it is, the process that runs the phase
DEATHS = {
    "Containing": ("cart", "worker-fast"),
    "Diagnosing": ("catalog", "worker"),
    "Planning": ("notifications", "worker"),
    "Healing": ("orders", "worker"),
    "Verifying": ("payments", "worker"),
    "Learning": ("inventory", "worker"),
}


@dataclass
class Product:
    """The running tree, its database and its cluster."""

    tree: LiveTree
    database: psycopg.Connection[dict[str, Any]]
    sandbox: httpx.Client

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        return self.database.execute(query, values).fetchall()

    def event(self, workload: str) -> dict[str, Any] | None:
        query = "SELECT * FROM healing_healingevent WHERE target_name = %s ORDER BY id LIMIT 1"
        return next(iter(self.rows(query, workload)), None)

    def is_in(self, workload: str, phase: str) -> bool:
        event = self.event(workload)
        return event is not None and (event["phase"], event["status"]) == (phase, "running")

    def deployment(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.tree.kubectl("get", "deployment", name, "-n", NAMESPACE, "-o", "json")))


@pytest.fixture(scope="module")
def product(test_parts: Parts) -> Iterator[Product]:
    url = test_parts.new_database("killed")
    if url is None:
        pytest.fail("This test needs PostgreSQL: it reads the product's database while the product runs.")
    with LiveTree(test_parts.directory / "killed", url) as tree:
        base = str(tree.target.prometheus_url).removesuffix("/prometheus")
        with (
            psycopg.connect(url, autocommit=True, row_factory=dict_row) as database,
            httpx.Client(base_url=base, trust_env=False, timeout=60) as sandbox,
        ):
            yield Product(tree, database, sandbox)


def slow_api(product: Product, seconds: float) -> None:
    fault = {"kind": "latency", "path": "/api", "seconds": seconds}
    assert product.sandbox.post("/sandbox/v1/api/faults", json=fault).is_success


def break_workload(product: Product, workload: str) -> None:
    body = {"fault": "bad-image", "params": {"namespace": NAMESPACE, "workload": workload}}
    response = product.sandbox.post("/sandbox/v1/faults", json=body)
    assert response.status_code == 201, response.text


def kill_if_in(product: Product, workload: str, phase: str, process: str) -> bool:
    """Kill the process if it is in the workload's phase right now."""
    if not product.is_in(workload, phase):
        return False
    pid = product.tree.process(process).pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.05)  # what it had already sent to the database has arrived by then
    if product.is_in(workload, phase):
        os.kill(pid, signal.SIGKILL)
        return True
    os.kill(pid, signal.SIGCONT)
    return False


def kill_in_every_phase(product: Product, seconds: float) -> None:
    """Kill a worker once in each phase, each on the event of another workload."""
    waiting, deadline = dict(DEATHS), time.monotonic() + seconds
    while waiting:
        product.tree.look_after()
        for phase, (workload, process) in list(waiting.items()):
            if kill_if_in(product, workload, phase, process):
                del waiting[phase]
            event = product.event(workload)
            missed = event is not None and event["finished_at"] is not None and phase in waiting
            assert not missed, f"{workload} went through {phase} too fast to be caught; make the API slower"
        if time.monotonic() > deadline:
            events = product.rows("SELECT target_name, phase, status, outcome_reason FROM healing_healingevent")
            pytest.fail(f"never seen: {waiting}\n{events}\n{product.tree.last_words()}")
        time.sleep(0.005)


def what_happened(product: Product, event: dict[str, Any], phase: str) -> str:
    query = "SELECT kind FROM healing_timelineentry WHERE event_id = %s AND phase = %s ORDER BY seq"
    kinds = [str(row["kind"]) for row in product.rows(query, event["id"], phase)]
    assert "worker-lost" in kinds, kinds
    return " -> ".join(kinds[kinds.index("worker-lost") :])


def test_every_event_survives_a_worker_killed_in_every_phase(product: Product, says: Callable[[str], None]) -> None:
    """Prints one line for each phase: where the worker died, what came next, how the event ended."""
    generations = {name: product.deployment(name)["metadata"]["generation"] for name, _ in DEATHS.values()}
    slow_api(product, 0.05)
    for workload, _ in DEATHS.values():
        break_workload(product, workload)
    kill_in_every_phase(product, seconds=150)
    for phase, (workload, process) in DEATHS.items():

        def finished(workload: str = workload) -> dict[str, Any] | None:
            event = product.event(workload)
            return event if event is not None and event["finished_at"] is not None else None

        event = product.tree.wait_for(finished, f"{workload} ends after a kill in {phase}", seconds=150)
        took = (event["finished_at"] - event["detected_at"]).total_seconds()
        ending = f"{event['phase']}/{event['outcome']} {took:.0f} s after detection"
        says(f"killed {process} in {phase} ({workload}): {what_happened(product, event, phase)}; {ending}")
        assert (event["phase"], event["outcome"]) == ("Completed", "healed"), product.tree.last_words()
        # Each action that is written down was one change of the spec, and there was no other one but the fault.
        # (The rollback ends the pause with the same patch: undoing the pause finds nothing left to do.)
        actions = product.rows(
            "SELECT action, state, applied_at FROM healing_actionrun WHERE event_id = %s", event["id"]
        )
        applied = [row["action"] for row in actions if row["applied_at"] is not None]
        assert len(applied) == len(set(applied)), actions
        changes = product.deployment(workload)["metadata"]["generation"] - generations[workload]
        assert changes == 1 + len(applied), (workload, changes, actions)
        seqs = product.rows("SELECT seq FROM healing_timelineentry WHERE event_id = %s ORDER BY seq", event["id"])
        assert [row["seq"] for row in seqs] == list(range(1, event["seq"] + 1))
