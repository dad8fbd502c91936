"""One evaluation: worlds and product as one supervised tree, and the conductor that leads the scenarios through it."""

from __future__ import annotations

import json
import queue
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import httpx

from healing.models import HealingEvent
from recist_web.environment import PROJECT_DIR, variables
from recist_web.evaluation.machine import Load
from recist_web.evaluation.selection import Chosen
from recist_web.people import Login, ensure_demo_people
from recist_web.supervisor.child import Child, Spec
from recist_web.supervisor.database import keep_in, migrate
from recist_web.supervisor.errors import CannotStartError, StoppedError
from recist_web.supervisor.launch import Target, Tree
from recist_web.supervisor.tree import MANAGE, STAGE_CLUSTER, python

_HOST_START_SECONDS = 90.0
_POLL_SECONDS = 0.2
_CONDUCTOR_STOP_SECONDS = 20.0
#: worlds a hosting process holds at a time before a second one is worth its memory
_WORLDS_PER_HOST = 8


@dataclass(frozen=True, slots=True)
class Options:
    """How to run. ``directory`` None: a temporary one, gone at the end. ``port`` is the dashboard's."""

    parallel: int
    port: int
    approve: Literal["auto", "none"] = "auto"
    directory: Path | None = None
    keep: bool = False
    #: how long a healthy world is watched after its last step
    observe_seconds: float = 60.0
    hosts: int = 0
    echo: bool = False
    #: when a language model is asked, where one is configured (``llmConfig.consult``)
    consult: Literal["whenUnsure", "always"] = "whenUnsure"


@dataclass(slots=True)
class Outcome:
    """``records`` in the order of their names. ``interrupted``: somebody stopped it; some records may be missing."""

    records: list[dict[str, Any]] = field(default_factory=list)
    interrupted: bool = False
    machine: dict[str, Any] = field(default_factory=dict)


class Evaluation:
    """Use as a context manager; nothing is left running. Raises `CannotStartError`."""

    def __init__(self, chosen: Sequence[Chosen], options: Options, say: Callable[[str], None]) -> None:
        self._chosen = list(chosen)
        self._options = options
        self._say = say
        self._stack = ExitStack()
        self._controls: list[str] = []
        self._logins: Sequence[Login] = ()
        self._load = Load()

    def __enter__(self) -> Self:
        directory = self._options.directory or Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="recist-evaluation-"))
        )
        try:
            self._tree = self._stack.enter_context(
                Tree(
                    directory,
                    self._options.port,
                    self._say,
                    echo=self._options.echo,
                    environment={**variables(), "AUTONOMY_FIRST_DAY": "off"},  # healing is what is measured
                )
            )
        except BaseException:
            self._stack.close()
            raise
        self._worlds = directory / "worlds"
        self._worlds.mkdir(exist_ok=True)
        self._records = directory / "records"
        self._records.mkdir(exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, ended: Callable[[dict[str, Any]], None]) -> Outcome:
        """``ended`` is called with the record of each scenario when it ends."""
        tree, supervisor = self._tree, self._tree.supervisor
        supervisor.stop_on_signals()
        outcome = Outcome()
        try:
            wait_for_hosts = self._start_hosts()
            tree.start_valkey()
            keep_in(tree.var)
            migrate()
            self._check_empty()
            self._logins = ensure_demo_people()
            targets = wait_for_hosts()
            tree.start_product(targets, watchers=self._watchers())
            self._say(f"The dashboard: {tree.url}/")
            started = time.monotonic()
            conductor = self._start_conductor(lambda name: self._one(name, outcome, ended))
            while conductor.exit_code is None and not supervisor.stopping:
                time.sleep(_POLL_SECONDS)
                supervisor.look_after()
                self._load.sample()
            outcome.interrupted = supervisor.stopping
            if conductor.exit_code is None:
                conductor.ask_to_stop()
            conductor.wait_or_kill(time.monotonic() + _CONDUCTOR_STOP_SECONDS)
            if conductor.exit_code and not outcome.interrupted:
                words = "\n".join(f"    {line}" for line in conductor.last_lines)
                raise CannotStartError(f"The conductor ended with exit code {conductor.exit_code}:\n{words}")
            outcome.machine = self._machine(time.monotonic() - started)
        except StoppedError:
            outcome.interrupted = True
        outcome.records.sort(key=lambda record: str(record["name"]))
        return outcome

    def stay(self) -> None:
        """Leave everything up until somebody stops it."""
        self._say(f"\nThe dashboard stays up: {self._tree.url}/")
        for login in self._logins:
            self._say(f"  sign in as  {login.name:<9} password  {login.password}   ({login.may})")
        self._say("Ctrl-C stops everything.")
        self._tree.supervisor.run()

    # the parts

    def _check_empty(self) -> None:
        if HealingEvent.objects.exists():
            raise CannotStartError(
                "The database has healing events already: an evaluation begins with an empty memory. Let DATABASE_URL "
                "name an empty database, or unset it: a fresh one is made then."
            )

    def _watchers(self) -> int:
        return 2 if self._options.parallel > _WORLDS_PER_HOST else 1

    def _start_hosts(self) -> Callable[[], list[Target]]:
        count = min(len(self._chosen), self._options.hosts or -(-self._options.parallel // _WORLDS_PER_HOST))
        answers: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
        children = [self._start_host(number, count, answers) for number in range(count)]

        def wait() -> list[Target]:
            found: dict[int, dict[str, Any]] = {}
            deadline = time.monotonic() + _HOST_START_SECONDS
            while len(found) < count:
                if self._tree.supervisor.stopping:
                    raise StoppedError
                dead = next((c for c in children if c.exit_code is not None), None)
                if dead is not None or time.monotonic() > deadline:
                    words = "\n".join(f"    {line}" for line in (dead or children[0]).last_lines)
                    raise CannotStartError(f"The worlds' process did not start:\n{words}")
                try:
                    number, answer = answers.get(timeout=0.1)
                except queue.Empty:
                    continue
                found[number] = answer
            self._controls = [found[number]["control"] for number in range(count)]
            urls = {name: world for answer in found.values() for name, world in answer["worlds"].items()}
            return [
                Target(c.name, self._kubeconfig(c.name), None, urls[c.name]["prometheus"], urls[c.name]["loki"])
                for c in self._chosen
            ]

        return wait

    def _start_host(self, number: int, count: int, answers: queue.Queue[tuple[int, dict[str, Any]]]) -> Child:
        name = f"worlds-{number + 1}"
        plan = {
            "worlds": {
                c.name: {"scenario": str(c.scenario.path.absolute()), "kubeconfig": str(self._admin_kubeconfig(c.name))}
                for c in self._chosen[number::count]
            }
        }
        path = self._worlds / f"{name}.json"
        path.write_text(json.dumps(plan), encoding="utf-8")

        def listen(line: str) -> None:
            if line.startswith('{"control"'):
                answers.put((number, json.loads(line)))

        command = python("-m", "healing.sandbox.hosting", str(path))
        spec = Spec(name, command, self._tree.environment, PROJECT_DIR, stage=STAGE_CLUSTER, stop_seconds=5.0)
        return self._tree.supervisor.start(replace(spec, on_line=listen))

    def _start_conductor(self, ended: Callable[[str], None]) -> Child:
        """Not under the supervisor: an evaluation that breaks must not begin anew."""
        count = len(self._controls)
        entries = [
            {
                "name": c.name,
                "file": str(c.scenario.path.absolute()),
                "host": number % count,
                "adminKubeconfig": str(self._admin_kubeconfig(c.name)),
                "kubeconfig": str(self._kubeconfig(c.name)),
                "split": c.split,
                "family": c.family,
                "observeSeconds": self._options.observe_seconds,
                "consult": self._options.consult,
            }
            for number, c in enumerate(self._chosen)
        ]
        # The longest first: at the end no processor shall wait for one that began late.
        length = {c.name: max((s.at_seconds for s in c.scenario.timeline), default=0.0) for c in self._chosen}
        entries.sort(key=lambda entry: (-length[str(entry["name"])], str(entry["name"])))
        plan = {
            "hosts": self._controls,
            "scenarios": entries,
            "parallel": self._options.parallel,
            "approve": self._options.approve,
            "keep": self._options.keep,
            "directory": str(self._records),
        }
        path = self._worlds / "conduct.json"
        path.write_text(json.dumps(plan), encoding="utf-8")

        def listen(line: str) -> None:
            if line.startswith('{"ended"'):
                ended(json.loads(line)["ended"])

        command = python(MANAGE, "evaluate", "--conduct", str(path))
        spec = Spec("conductor", command, self._tree.environment, PROJECT_DIR, on_line=listen)
        return Child(spec, self._tree.var / "log", self._say if self._options.echo else None)

    def _one(self, name: str, outcome: Outcome, ended: Callable[[dict[str, Any]], None]) -> None:
        record = json.loads((self._records / f"{name}.json").read_text(encoding="utf-8"))
        outcome.records.append(record)
        ended(record)

    def _machine(self, wall_seconds: float) -> dict[str, Any]:
        loops = []
        for url in self._controls:
            try:
                answer = httpx.get(f"{url}/worlds", timeout=10.0, trust_env=False).json()
            except httpx.HTTPError:
                continue
            loops.append({**answer["loop"], "cpuSeconds": answer["cpuSeconds"]})
        pids: Mapping[str, int] = {child.spec.name: child.pid for child in self._tree.supervisor.children}
        return {
            **self._load.report(pids, wall_seconds),
            "parallel": self._options.parallel,
            "hosts": loops,
            "restarts": dict(self._tree.supervisor.restarts),
        }

    def _admin_kubeconfig(self, name: str) -> Path:
        return (self._worlds / f"{name}.admin").absolute()

    def _kubeconfig(self, name: str) -> Path:
        return (self._worlds / f"{name}.kubeconfig").absolute()
