"""Two candidates and one Lease, against the sandbox's API."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from healing.cluster.kubernetes import KubernetesCluster
from healing.detection.leader import LEASE_NAME, LeaderElector, Timing
from healing.ports import errors
from tests.cluster.sandbox import RunningSandbox, eventually
from tests.detection.elect import TIMING


class Candidate:
    """The process; ``said`` are its lines, with the time they came."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: queue.Queue[tuple[str, float]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() in ("leads", "follows"):  # and not a log record
                self.said.put((line.strip(), time.monotonic()))

    def next(self, seconds: float = 60.0) -> tuple[str, float]:
        return self.said.get(timeout=seconds)


@contextlib.contextmanager
def candidate(
    sandbox: RunningSandbox, namespace: str, identity: str, lease_seconds: float = TIMING.lease_seconds
) -> Iterator[Candidate]:
    command = [sys.executable, "-m", "tests.detection.elect", str(sandbox.kubeconfig), namespace, identity]
    command.append(str(lease_seconds))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    try:
        yield Candidate(process)
    finally:
        process.kill()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


def test_one_leads_and_the_other_takes_over_when_it_is_killed(
    sandbox: RunningSandbox, live: KubernetesCluster, namespace: str
) -> None:
    with candidate(sandbox, namespace, "one") as one:
        assert one.next()[0] == "leads"
        with candidate(sandbox, namespace, "two") as two:
            eventually(lambda: live.get("Lease", namespace, LEASE_NAME)["spec"]["holderIdentity"] == "one")
            with pytest.raises(queue.Empty):
                two.next(1.0)
            one.process.kill()
            one.process.wait(60)
            last = live.get("Lease", namespace, LEASE_NAME)["spec"]
            assert two.next()[0] == "leads"
            now = live.get("Lease", namespace, LEASE_NAME)["spec"]
            assert (last["holderIdentity"], now["holderIdentity"]) == ("one", "two")
            waited = datetime.fromisoformat(now["acquireTime"]) - datetime.fromisoformat(last["renewTime"])
            assert waited.total_seconds() >= TIMING.lease_seconds
            assert now["leaseTransitions"] == 1


def test_a_leader_that_stops_hands_over_at_once(sandbox: RunningSandbox, namespace: str) -> None:
    with candidate(sandbox, namespace, "one", 30.0) as one:
        assert one.next()[0] == "leads"
        with candidate(sandbox, namespace, "two", 30.0) as two:
            with pytest.raises(queue.Empty):
                two.next(1.5)  # time to start and to see the Lease
            one.process.terminate()
            stopped_at = time.monotonic()
            said, at = two.next()
            assert said == "leads"
            assert at - stopped_at < 15, "it did not wait for the Lease to run out"


def test_a_leader_that_cannot_renew_stops_acting_before_another_may_start(
    live: KubernetesCluster, namespace: str
) -> None:
    class Cut:
        """The connection of one candidate only."""

        broken = False

        def __getattr__(self, name: str) -> object:
            if self.broken:
                raise errors.Unavailable("cut off")
            return getattr(live, name)

    cut = Cut()
    timing = Timing(lease_seconds=2.0, renew_within_seconds=1.0, retry_seconds=0.1)
    one = LeaderElector(cut, namespace, "one", timing=timing)  # type: ignore[arg-type]
    two = LeaderElector(live, namespace, "two", timing=timing)
    stop = threading.Event()
    threads = [threading.Thread(target=elector.run, args=(stop,)) for elector in (one, two)]
    threads[0].start()
    eventually(one.is_leader)
    threads[1].start()
    both = []
    cut.broken = True
    deadline = time.monotonic() + 60
    while not two.is_leader() and time.monotonic() < deadline:
        both.append(one.is_leader() and two.is_leader())
        time.sleep(0.005)
    assert two.is_leader()
    assert not one.is_leader()
    assert not any(both)
    cut.broken = False
    time.sleep(0.3)
    assert not one.is_leader(), "it does not take back what another holds"
    stop.set()
    for thread in threads:
        thread.join(60)


def test_a_missing_namespace_is_made(live: KubernetesCluster) -> None:
    elector = LeaderElector(live, "not-there-yet", "one")
    stop = threading.Event()
    thread = threading.Thread(target=elector.run, args=(stop,))
    thread.start()
    eventually(elector.is_leader)
    stop.set()
    thread.join(60)
    assert live.get("Lease", "not-there-yet", LEASE_NAME)["spec"]["holderIdentity"] == ""
    live.delete("Namespace", "", "not-there-yet")
