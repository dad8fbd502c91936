"""The whole product as processes, as a user has it: sandbox, Valkey, web, workers, beat, watcher."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self, TypeVar

import httpx

from recist_web.people import DEMO_PASSWORD
from recist_web.supervisor import tree
from recist_web.supervisor.child import Child
from recist_web.supervisor.launch import SandboxRequest, Target, Tree
from recist_web.supervisor.ports import free_port
from tests.parts.kubectl import Kubectl

_Found = TypeVar("_Found")


class LiveTree:
    """A running tree of one test session. Use as a context manager."""

    def __init__(
        self, directory: Path, database_url: str | None, *, scenario: str = "demo", faults: bool = False
    ) -> None:
        """`database_url`: an empty database; None is SQLite in `directory`. `faults`: the scenario's own."""
        environment = dict(os.environ)
        environment.pop("DATABASE_URL", None)
        if database_url:
            environment["DATABASE_URL"] = database_url
        self.said: list[str] = []
        self._tree = Tree(directory, free_port(), self.said.append, environment=environment)
        self.url = self._tree.url
        self.directory = directory
        self.kubeconfig = directory / "sandbox" / "kubeconfig"
        self._wanted = SandboxRequest(scenario, self.kubeconfig, faults)
        self.target: Target

    def __enter__(self) -> Self:
        self._tree.__enter__()
        try:
            wait_for_sandbox = self._tree.start_sandbox(self._wanted)
            self._tree.start_valkey()
            self.manage("migrate", "--verbosity", "0")
            self.manage("shell", "--no-imports", "-c", "from recist_web.people import *; ensure_demo_people()")
            self.target = wait_for_sandbox()
            self._tree.start_product(self.target)
        except BaseException:
            self._tree.__exit__()
            raise
        self.kubectl = Kubectl(self.kubeconfig)
        return self

    def __exit__(self, *_: object) -> None:
        self._tree.__exit__()

    def manage(self, *arguments: str) -> str:
        """Run a management command with the tree's environment; what it prints."""
        done = subprocess.run(
            tree.python(tree.MANAGE, *arguments),
            env=dict(self._tree.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"manage.py {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def process(self, name: str) -> Child:
        """web, worker-fast, worker, beat, watcher, sandbox or valkey. What is killed is started again by `wait_for`."""
        return self._tree.supervisor.child(name)

    def look_after(self) -> None:
        """Start again what has died, once its pause is over."""
        self._tree.supervisor.look_after()

    def wait_for(self, look: Callable[[], _Found | None], what: str, seconds: float = 60.0) -> _Found:
        """Poll until `look` finds something, and keep the processes running meanwhile."""
        deadline = time.monotonic() + seconds
        while True:
            self._tree.supervisor.look_after()
            if found := look():
                return found
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s\n{self.last_words()}"
            time.sleep(0.1)

    def is_ready(self) -> bool:
        return self._tree.is_ready()

    def last_words(self) -> str:
        """The end of each process's log, for a failed test's message."""
        lines = list(self.said[-10:])
        for child in self._tree.supervisor.children:
            lines += [f"--- {child.spec.name} (exit code {child.exit_code})", *list(child.last_lines)[-8:]]
        return "\n".join(lines)

    @contextlib.contextmanager
    def http(self, user: str = "approver") -> Iterator[httpx.Client]:
        """A client signed in as one of the demo's people, as a browser would be: `with live_tree.http() as client:`."""
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False, follow_redirects=True) as client:
            client.get("/login/")
            form = {"username": user, "password": DEMO_PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
            response = client.post("/login/", data=form, headers={"Referer": self.url})
            assert "sessionid" in client.cookies, f"{user} could not sign in: {response.status_code}"
            client.headers.update({"X-CSRFToken": client.cookies["csrftoken"], "Referer": self.url})
            yield client
