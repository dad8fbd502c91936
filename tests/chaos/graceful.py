"""SIGTERM, as a rolling upgrade sends it: work is finished or handed back, nobody waits; and what /readyz says.

Steps of test_live.py."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.chaos import disturbances
from tests.chaos.arena import LEASE, LEASE_NAMESPACE, Arena
from tests.chaos.drill import Disturbance, drill

#: What the chart grants a pod (terminationGracePeriodSeconds).
GRACE_SECONDS = 60.0


def ends_well(arena: Arena, name: str) -> int:
    """Its exit code after SIGTERM."""
    child = arena.child(name)
    os.kill(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while child.exit_code is None:
        assert time.monotonic() < deadline, f"{name} did not end: {list(child.last_lines)}"
        time.sleep(0.05)
    return int(child.exit_code)


def workers_finish_or_hand_back(arena: Arena) -> None:
    """Two rounds of an upgrade: each worker ends by itself in the middle of the work, the others go on."""
    codes: dict[str, int] = {}

    def upgrade(tree: Arena) -> None:
        for name in disturbances.WORKERS:
            codes[name] = ends_well(tree, name)
            disturbances.wait_until_running(tree, [name])

    row = drill(arena, Disturbance("upgrade", upgrade), workloads=2, prefix="upgrade", patience_seconds=120)
    assert codes == dict.fromkeys(disturbances.WORKERS, 0)
    assert not row.problems, "\n".join([*row.problems, arena.last_words()])
    lost = arena.rows(
        "SELECT message FROM healing_timelineentry WHERE kind = 'worker-lost' AND event_id > %s", row.first
    )
    assert lost == [], "a worker that had time to finish left its run to the sweeper"


def watcher_gives_the_lease_back(arena: Arena) -> None:
    leader = arena.wait_for(arena.leader, "a watcher leads", 60)
    lease = arena.cluster.get("Lease", LEASE_NAMESPACE, LEASE)
    assert ends_well(arena, leader) == 0
    told_at = time.monotonic()
    holder = lease["spec"]["holderIdentity"]

    def is_anothers() -> bool:
        now = arena.cluster.get("Lease", LEASE_NAMESPACE, LEASE)["spec"]
        return bool(now["holderIdentity"]) and now["holderIdentity"] != holder

    arena.wait_for(is_anothers, "another one leads", 30)
    # Not given back, it would run out after this long.
    assert time.monotonic() - told_at < lease["spec"]["leaseDurationSeconds"]


def web_answers_what_it_has_begun(arena: Arena) -> None:
    """A request whose second half comes after SIGTERM is still answered; new connections are refused."""
    arena.wait_for(arena.is_ready, "web is ready", 60)
    web = arena.child("web")
    with socket.create_connection(("127.0.0.1", arena._tree.port), timeout=10) as connection:
        connection.sendall(b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 7\r\n")
        connection.sendall(b"Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\na=b")
        time.sleep(1.5)  # it has been read as far as it goes
        os.kill(web.pid, signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(b"&c=d")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 403"), answer  # no CSRF token: refused by us, not by the network
    deadline = time.monotonic() + GRACE_SECONDS
    while web.exit_code is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    arena.wait_for(arena.is_ready, "web is ready again", 60)


@contextmanager
def gone(arena: Arena, store: str) -> Iterator[None]:
    if store == "valkey":
        arena.kill("valkey", signal.SIGSTOP)
        try:
            yield
        finally:
            arena.kill("valkey", signal.SIGCONT)
    else:
        arena.postgres.kill()
        try:
            yield
        finally:
            arena.postgres.revive()


def readyz_says_what_is_missing(arena: Arena) -> None:
    for store, part in (("valkey", "valkey"), ("postgres", "database")):
        _readyz_without(arena, store, part)


def _readyz_without(arena: Arena, store: str, part: str) -> None:
    arena.wait_for(arena.is_ready, "web is ready", 60)

    def readiness() -> tuple[int, dict[str, Any]]:
        response = httpx.get(f"{arena.url}/readyz", timeout=20, trust_env=False)
        return response.status_code, response.json()["parts"]

    with gone(arena, store):
        code, parts = readiness()
        assert code == 503
        assert parts[part]["ok"] is False
        assert parts[part]["error"]
        others = [name for name in parts if name not in (part, "migrations")]
        assert all(parts[name]["ok"] for name in others), parts
        assert httpx.get(f"{arena.url}/livez", timeout=20, trust_env=False).status_code == 200
    arena.wait_for(lambda: readiness()[0] == 200, "it is ready again without a restart", 60)


def signs_of_life_tell_the_truth(arena: Arena) -> None:
    """Without Valkey workers and beat are alive and not ready: no probe would restart them."""
    names = ("worker-fast", "worker", "second", "beat")
    var = Path(arena._tree.environment["VAR_DIR"])
    pids = {name: arena.child(name).pid for name in disturbances.PRODUCT}

    def age(sign: str, name: str) -> float:
        return time.time() - (var / sign / name).stat().st_mtime

    arena.wait_for(lambda: all(age("ready", name) < 8 for name in names), "all of them are ready", 60)
    arena.kill("valkey")  # nobody starts it again as long as nobody waits by `arena.wait_for`
    gone_at = time.monotonic()
    while time.monotonic() < gone_at + 14:
        time.sleep(0.2)
    without = time.monotonic() - gone_at
    told = {name: (age("alive", name), age("ready", name)) for name in names}
    assert all(alive < 8 for alive, _ in told.values()), told
    assert all(ready > without - 6 for _, ready in told.values()), told
    arena.wait_for(lambda: all(age("ready", name) < 8 for name in names), "they are ready again by themselves", 60)
    assert {name: arena.child(name).pid for name in pids} == pids, "none was restarted"
