"""A process that carries plans out in children of its own and has them killed, by SIGKILL, in the middle of it.

Started once (Django takes its time): `python -m tests.actions.killed`. It reads a job a line from stdin, forks, and
answers with the child's exit: ``{"event": pk, "plan": Plan JSON, "kubeconfig": path, "before" | "after": writes}``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import django

from recist_web.environment import PROJECT_DIR


def main() -> None:
    """Serve jobs until stdin ends."""
    django.setup()
    from healing.actions import runner  # noqa: F401 -- loaded once, for all children

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _carry_out(json.loads(line))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _carry_out(job: dict[str, Any]) -> None:
    from healing.actions.base import Plan
    from healing.actions.runner import Runner
    from healing.cluster.config import ClusterConfig
    from healing.cluster.kubernetes import KubernetesCluster
    from healing.deadline import Deadline
    from healing.models import HealingEvent
    from tests.actions.counting import Counting

    class Dying(Counting):
        def die(self) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

    cluster = Dying(KubernetesCluster(ClusterConfig(Path(job["kubeconfig"]))))
    cluster.die_before, cluster.die_after = job.get("before"), job.get("after")
    event = HealingEvent.objects.get(pk=job["event"])
    Runner(cluster, Deadline.after(60), lambda: None).apply(event, Plan.from_json(job["plan"]), key="k")


class Mortals:
    """The process, from the test's side."""

    def __init__(self, database: dict[str, Any]) -> None:
        """``database``: the settings of the test's own connection; PostgreSQL."""
        who = f"{quote(database['USER'])}:{quote(str(database['PASSWORD'] or ''))}"
        where = f"{database['HOST']}:{database['PORT']}" if not database["HOST"].startswith("/") else ""
        query = f"?host={quote(database['HOST'])}&port={database['PORT']}" if not where else ""
        url = f"postgres://{who}@{where}/{database['NAME']}{query}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.actions.killed"],
            cwd=PROJECT_DIR,
            env={**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "recist_web.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def carry_out(self, **job: Any) -> int:
        """The exit code of the process that did it; -9: it was killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(60)


if __name__ == "__main__":
    main()
