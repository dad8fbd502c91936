"""Everything that can go wrong around the product, each as one function that puts things right again."""

from __future__ import annotations

import fcntl
import resource
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import redis
from celery import Celery

from tests.chaos.arena import Arena
from tests.chaos.drill import Disturbance
from tests.chaos.proxy import Mode, Proxy

#: what works on events, and what shows them
WORKERS = ("worker-fast", "worker", "worker-2")
PRODUCT = ("web", "worker-fast", "worker", "worker-2", "beat", "watcher", "watcher-2")


def pause(arena: Arena, seconds: float) -> None:
    """Time passes; what has died is started again, as by a Deployment."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        arena.look_after()
        time.sleep(0.1)


def wait_until_running(arena: Arena, names: Sequence[str]) -> None:
    arena.wait_for(lambda: all(arena.child(name).exit_code is None for name in names), "they run again", 60)


def caught(arena: Arena, names: Sequence[str], seconds: float = 30.0) -> None:
    """Stop these processes in the middle of a run: stopped, they are looked at, and go on if nothing is running."""
    deadline = time.monotonic() + seconds
    while True:
        for name in names:
            arena.kill(name, signal.SIGSTOP)
        time.sleep(0.05)  # what they had already sent to the database has arrived by then
        running = arena.rows("SELECT id FROM healing_healingevent WHERE status = 'running'")
        if running or time.monotonic() > deadline:
            return
        for name in names:
            arena.kill(name, signal.SIGCONT)
        pause(arena, 0.1)


def killed(*names: str, at_work: bool = False) -> Callable[[Arena], None]:
    """``at_work``: while one of them runs a phase."""

    def act(arena: Arena) -> None:
        if at_work:
            caught(arena, names)
        for name in names:
            arena.kill(name)
        wait_until_running(arena, names)

    return act


def leader_killed(arena: Arena) -> None:
    leader = arena.wait_for(arena.leader, "a watcher leads", 60)
    arena.kill(leader)
    arena.wait_for(lambda: arena.leader() not in (None, leader) or None, "the other one leads", 60)


def leader_stopped(arena: Arena) -> None:
    """It stands still until the other one leads, then goes on and finds that it leads no more: of two that fight for
    the Lease one has it."""
    leader = arena.wait_for(arena.leader, "a watcher leads", 60)
    arena.kill(leader, signal.SIGSTOP)
    try:
        arena.wait_for(lambda: arena.leader() not in (None, leader) or None, "the other one leads", 60)
    finally:
        arena.kill(leader, signal.SIGCONT)
    pause(arena, 5)
    assert arena.leader() != leader, "it took the Lease from one who holds it"


def workers_stopped(seconds: float) -> Callable[[Arena], None]:
    """Longer than their leases: others work meanwhile, then these come back in the middle of what they did."""

    def act(arena: Arena) -> None:
        caught(arena, WORKERS)
        # The last one goes on at once, and shares what the others hold; which of them runs what is chance.
        arena.kill(WORKERS[-1], signal.SIGCONT)
        try:
            pause(arena, seconds)
        finally:
            for name in WORKERS[:-1]:
                arena.kill(name, signal.SIGCONT)

    return act


def valkey_flushed(arena: Arena) -> None:
    url = arena._tree.environment["REDIS_URL"]
    with redis.Redis.from_url(url) as client:
        for _ in range(3):
            client.flushall()
            pause(arena, 1)


def valkey_restarted(arena: Arena) -> None:
    arena.kill("valkey")
    pause(arena, 5)


def postgres_restarted(seconds: float) -> Callable[[Arena], None]:
    def act(arena: Arena) -> None:
        arena.postgres.kill()
        pause(arena, seconds)
        arena.postgres.revive()

    return act


def behind(which: str, mode: Mode, seconds: float, delay_seconds: float = 0.0) -> Callable[[Arena], None]:
    """The server behind that proxy is gone, silent or slow for a while."""

    def act(arena: Arena) -> None:
        proxy: Proxy = getattr(arena, which)
        proxy.set(mode, delay_seconds)
        try:
            pause(arena, seconds)
        finally:
            proxy.set("open")

    return act


def watches_cut(arena: Arena) -> None:
    for _ in range(5):
        assert arena.api.cut() > 0
        pause(arena, 2)


def index_taken(arena: Arena) -> None:
    """The vector index cannot be had: its owner dies, and another one holds it for a while."""
    lock = Path(arena._tree.environment["QDRANT_PATH"]) / "owner.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        for name in ("worker", "worker-2"):
            arena.kill(name)
        arena.wait_for(lambda: _locked(file.fileno()), "the index has no owner", 20)
        pause(arena, 20)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def disk_full(arena: Arena) -> None:
    """No process of the product can write a single byte to a file, as on a full disk (sockets and pipes work)."""
    pids = [arena.process(name).pid for name in PRODUCT]
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[pid][1]))
    try:
        pause(arena, 20)
    finally:
        for pid in pids:
            if arena_has(arena, pid):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, before[pid])


def arena_has(arena: Arena, pid: int) -> bool:
    return any(child.pid == pid and child.exit_code is None for child in arena._tree.supervisor.children)


def strange_messages(arena: Arena) -> None:
    """What workers of another version send: tasks nobody knows, arguments that are new, runs long over."""
    app = Celery(broker=arena._tree.environment["REDIS_URL"])
    app.conf.broker_transport_options = {"global_keyprefix": "recist-celery:"}
    events = arena.rows("SELECT id, run_id, phase FROM healing_healingevent WHERE finished_at IS NULL")
    for queue in ("containment", "diagnosis", "healing", "knowledge", "default"):
        app.send_task("healing.tasks.of_the_next_version", args=[1], queue=queue)
        app.send_task("healing.tasks.run_phase", args=["not a number", 7], queue=queue)
    for event in events:
        for queue in ("containment", "diagnosis", "healing"):
            args = [event["id"], str(event["run_id"])]
            app.send_task("healing.tasks.run_phase", args=args, kwargs={"priority": 3}, queue=queue)
            app.send_task("healing.tasks.run_phase", args=args, queue=queue)
    app.close()


def clock_jumps(*seconds: float) -> Callable[[Arena], None]:
    """The clock of every process of the product jumps; what measures durations goes on."""

    def act(arena: Arena) -> None:
        try:
            for wrong_by in seconds:
                arena.set_clocks(wrong_by, wrong_by)
                pause(arena, 12)
        finally:
            arena.set_clocks(0, 0)

    return act


def clocks_apart(seconds: float, for_seconds: float) -> Callable[[Arena], None]:
    """One worker's clock is so far ahead of those of all the others, which are behind by half of it."""

    def act(arena: Arena) -> None:
        arena.set_clocks(-seconds / 2, seconds / 2)
        try:
            pause(arena, for_seconds)
        finally:
            arena.set_clocks(0, 0)

    return act


def old_and_new(arena: Arena) -> None:
    """A rolling upgrade, half way: beside the old worker, alone with it, and beside it again."""
    pause(arena, 5)
    for name in WORKERS[:-1]:
        arena.kill(name, signal.SIGSTOP)
    try:
        pause(arena, 20)
    finally:
        for name in WORKERS[:-1]:
            arena.kill(name, signal.SIGCONT)
    pause(arena, 5)
    arena.kill(WORKERS[-1])


def all_disturbances(minute_seconds: float = 60.0) -> list[Disturbance]:
    """In the order of the table; ``minute_seconds``: how long what is gone for a minute is gone."""
    half = minute_seconds / 2
    return [
        Disturbance("worker killed", killed("worker")),
        Disturbance("all workers killed in the middle of a run", killed(*WORKERS, at_work=True), bad_pod="cart"),
        Disturbance("web killed", killed("web")),
        Disturbance("beat killed", killed("beat")),
        Disturbance("leading watcher killed", leader_killed),
        Disturbance("everything of the product killed", killed(*PRODUCT), bad_pod="catalog"),
        Disturbance("leading watcher stopped, then goes on", leader_stopped),
        Disturbance("workers stopped past their leases, then go on", workers_stopped(half)),
        Disturbance("Valkey flushed three times", valkey_flushed),
        Disturbance("Valkey killed", valkey_restarted),
        Disturbance("PostgreSQL crashed, back after 5 s", postgres_restarted(5)),
        Disturbance("PostgreSQL gone for half a minute", postgres_restarted(half)),
        Disturbance("API server gone for a minute", behind("api", "refuse", minute_seconds), bad_pod="orders"),
        Disturbance("API server silent for half a minute", behind("api", "hang", half)),
        Disturbance("API server's answers 1 s late for a minute", behind("api", "slow", minute_seconds, 1.0)),
        Disturbance("watches cut five times", watches_cut),
        Disturbance("Prometheus gone", behind("prometheus", "refuse", half)),
        Disturbance("Prometheus silent", behind("prometheus", "hang", half)),
        Disturbance("Loki gone", behind("loki", "refuse", half)),
        Disturbance("Loki's answers 5 s late", behind("loki", "slow", half, 5.0)),
        Disturbance("vector index not to be had", index_taken),
        Disturbance("disk full", disk_full),
        Disturbance("messages of another version", strange_messages),
        Disturbance("clocks jump an hour ahead, and back", clock_jumps(3600.0)),
        Disturbance("clocks are set back by an hour, and right again", clock_jumps(-3600.0)),
        Disturbance("two workers with clocks ten minutes apart", clocks_apart(600.0, half), bad_pod="payments"),
    ]


#: needs an arena whose second worker runs older code
ROLLING_UPGRADE = Disturbance("old and new code together", old_and_new)
