"""Brings a scenario to life: objects, history, traffic, then the timeline, in real time."""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections.abc import Callable, Sequence

from healing.sandbox.apps.runtime import AppRuntime
from healing.sandbox.faults import FaultError, FaultInjector
from healing.sandbox.ports import ApiError, GitOpsOwner, Object
from healing.sandbox.scenarios.model import History, Scenario, Step
from healing.sandbox.scenarios.readiness import not_up
from healing.sandbox.scenarios.steps import ClusterWithEviction, Hands, person

logger = logging.getLogger(__name__)
#: what must exist before what
_ORDER = ("CustomResourceDefinition", "Namespace", "StorageClass", "PriorityClass", "ServiceAccount", "ResourceQuota",
          "LimitRange", "ConfigMap", "Secret", "PersistentVolume", "PersistentVolumeClaim", "Service")  # fmt: skip
_SETTLE_SECONDS = 60.0


class ScenarioRunner:
    """`set_up` makes the world; `run` (a `Controller`) also plays the timeline. Both are for one use.

    ``own`` hands objects to the world's GitOps tools. ``hold``: the timeline waits for `go`.
    """

    def __init__(
        self,
        scenario: Scenario,
        cluster: ClusterWithEviction,
        runtime: AppRuntime,
        injector: FaultInjector,
        *,
        clock: Callable[[], float] = time.time,
        settle_seconds: float = _SETTLE_SECONDS,
        own: Callable[[Sequence[GitOpsOwner]], None] | None = None,
        hold: bool = False,
    ) -> None:
        self.scenario = scenario
        self._cluster = cluster
        self._runtime = runtime
        self._clock = clock
        self._settle_seconds = settle_seconds
        self._own = own
        self._hands = Hands(cluster, runtime, injector)
        self._drains: list[asyncio.Task[None]] = []
        #: whether `set_up` is over
        self.is_set_up = False
        #: set when the timeline may begin
        self._may_go = asyncio.Event()
        if not hold:
            self._may_go.set()
        #: when the timeline began; None until the world is up
        self.started_at: float | None = None
        #: when its last step had been taken
        self.ended_at: float | None = None
        #: (step, time, what went wrong or "")
        self.played: list[tuple[Step, float, str]] = []
        #: what did not come up, or could not be made, in words; the scenario means little then
        self.problems: list[str] = []

    async def run(self) -> None:
        await self.set_up()
        await self._may_go.wait()
        await self.play()

    def go(self) -> None:
        """Let the timeline begin: its times count from now (or from when the world is up)."""
        self._may_go.set()

    async def set_up(self) -> None:
        """Create everything and wait (at most a minute) until all workloads are up; `problems` says what is not."""
        scenario, user = self.scenario, person("platform@example.com")
        self._runtime.reseed(scenario.seed)
        if scenario.catalogue:
            self._runtime.catalogue.extend(scenario.catalogue, str(scenario.path))
        if self._runtime.traffic is not None:
            self._runtime.traffic.sources.extend(scenario.traffic)
        manifests = sorted(scenario.manifests, key=_rank)
        self._hands.ensure_namespaces(manifests, user)
        pasts = {(h.namespace, h.deployment): h for h in scenario.history}
        with_past: list[Object] = []
        for manifest in manifests:
            meta = manifest["metadata"]
            past = pasts.get((meta.get("namespace", ""), meta["name"]))
            if manifest["kind"] == "Deployment" and past is not None:
                self._create(_earlier(manifest, past))
                with_past.append(manifest)
            else:
                self._create(manifest)
        if with_past:
            await self._until(lambda: all(self._has_revision(m) for m in with_past), 10.0)
            for manifest in with_past:
                self._create(manifest)
        if scenario.gitops and self._own is not None:
            self._own(scenario.gitops)
        # programs look up names: the cluster's DNS has to be up with them
        manifests += self._cluster.list("deployments.apps", "kube-system")
        await self._until(lambda: not not_up(self._cluster, manifests), self._settle_seconds)
        self._report(not_up(self._cluster, manifests))
        self.is_set_up = True

    async def play(self) -> None:
        """The timeline, from now on. A step that fails is logged and noted, and the rest goes on.

        A drain takes its time while later steps are taken; `ended_at` does not wait for it.
        """
        self.started_at = self._clock()
        for step in sorted(self.scenario.timeline, key=lambda s: s.at_seconds):
            await asyncio.sleep(max(0.0, self.started_at + step.at_seconds - self._clock()))
            if step.action == "drain":
                self._drains.append(asyncio.create_task(self._drain(step), name=step.id))
                self.played.append((step, self._clock(), ""))
            else:
                self.played.append((step, self._clock(), await self._try(step)))
        self.ended_at = self._clock()
        await asyncio.gather(*self._drains, return_exceptions=True)

    async def take(self, step: Step) -> None:
        """Take a step that is not of the timeline (of a remedy). Raises `FaultError`, `ApiError` or `KeyError`."""
        await self._hands.take(step)

    async def _try(self, step: Step) -> str:
        try:
            await self._hands.take(step)
        except (FaultError, ApiError, KeyError) as error:
            logger.warning("scenario %s, step %s: %s", self.scenario.name, step.id, error)
            return str(error) or type(error).__name__
        return ""

    async def _drain(self, step: Step) -> None:
        if problem := await self._try(step):
            self.played.append((step, self._clock(), problem))

    def _create(self, manifest: Object) -> None:
        try:
            self._hands.apply(manifest, person("platform@example.com"))
        except ApiError as error:
            meta = manifest["metadata"]
            self._report([f"{manifest['kind']} {meta.get('namespace', '')}/{meta['name']} was refused: {error}"])

    def _report(self, problems: Sequence[str]) -> None:
        for problem in problems:
            logger.warning("scenario %s: %s", self.scenario.name, problem)
        self.problems.extend(problems)

    def _has_revision(self, manifest: Object) -> bool:
        meta = manifest["metadata"]
        found = self._cluster.get("deployments.apps", meta.get("namespace"), meta["name"])
        annotations = (found or {}).get("metadata", {}).get("annotations") or {}
        return "deployment.kubernetes.io/revision" in annotations

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        deadline = self._clock() + seconds
        while not condition():
            if self._clock() >= deadline:
                return False
            await asyncio.sleep(0.05)
        return True


def _rank(manifest: Object) -> int:
    kind = manifest["kind"]
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _earlier(manifest: Object, past: History) -> Object:
    """The Deployment as it was, asking for no pods: only its revision is wanted."""
    body = copy.deepcopy(manifest)
    body["spec"]["replicas"] = 0
    for container in body["spec"]["template"]["spec"]["containers"]:
        if container["name"] == past.container:
            if past.image:
                container["image"] = past.image
            for name, value in past.env.items():
                container.setdefault("env", []).append({"name": name, "value": value})
    return body
