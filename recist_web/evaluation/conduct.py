"""Leads every scenario through its life: a process of its own, with the product's environment.

It prints one line of JSON for each scenario that ends, and leaves the record of each in the plan's directory.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from recist_web.evaluation.approver import Approver, ensure_evaluators
from recist_web.evaluation.glance import glance
from recist_web.evaluation.hosts import Hosts
from recist_web.evaluation.life import Life

_LOOK_SECONDS = 0.5


class Conductor:
    """Runs the plan's scenarios, so many at a time."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self._plan = plan
        self._hosts = Hosts(plan["hosts"])
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="prepare")
        self._waiting = [Life(entry, self._hosts, self._pool) for entry in plan["scenarios"]]
        self._running: list[Life] = []
        self._stop = threading.Event()
        self._approver = Approver(ensure_evaluators(), self._leaves) if plan["approve"] == "auto" else None

    def stop(self, *_: object) -> None:
        self._stop.set()

    def run(self) -> None:
        while (self._waiting or self._running) and not self._stop.is_set():
            started = time.monotonic()
            while self._waiting and len(self._running) < self._plan["parallel"]:
                self._running.append(self._waiting.pop(0))
            self._round()
            self._stop.wait(max(0.05, _LOOK_SECONDS - (time.monotonic() - started)))
        for life in self._running:
            life.give_up("the evaluation was stopped")
            self._end(life)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _round(self) -> None:
        statuses = self._hosts.statuses()
        events = glance([life.name for life in self._running if life.is_playing])
        if self._approver is not None:
            self._approver.look([life.name for life in self._running if life.is_playing])
        for life in list(self._running):
            life.look(statuses.get(life.name), events.get(life.name, []))
            if life.is_over:
                self._running.remove(life)
                self._end(life)

    def _end(self, life: Life) -> None:
        record = life.record()
        path = Path(self._plan["directory"]) / f"{life.name}.json"
        path.write_text(json.dumps(record), encoding="utf-8")
        if not self._plan["keep"]:
            life.stop_world()
        sys.stdout.write(json.dumps({"ended": life.name}) + "\n")
        sys.stdout.flush()

    def _leaves(self, cluster: str, target: dict[str, str]) -> bool:
        life = next((life for life in self._running if life.name == cluster), None)
        return life is None or life.must_not_act_on(target)


def conduct(path: Path) -> None:
    """Run the plan of this file (`recist_web.evaluation.run` writes it), until its end or a signal."""
    conductor = Conductor(json.loads(path.read_text(encoding="utf-8")))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, conductor.stop)
    conductor.run()
