"""Plays a world and looks ahead in it as the product does, every minute, by the same queries."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from healing.forecasting import budget, fill, recur
from healing.forecasting.model import MINUTES, Foreseen
from healing.forecasting.owners import Owners
from healing.forecasting.record import LOOKS_TO_OPEN
from healing.models import WarningKind
from healing.ports.cluster import Cluster, ObjectList, ObjectRef
from healing.ports.metrics import Sample, Series
from healing.queries import trends
from healing.queries.model import in_namespaces
from healing.queries.requests import RequestReader
from healing.sandbox.compose import Sandbox, build
from healing.sandbox.ports import User
from healing.sandbox.scenarios import load_scenario
from healing.sandbox.virtual_time import run_virtual
from recist_web.evaluation.foresight.scores import Scores
from recist_web.evaluation.foresight.worlds import Happening, World

_EPOCH = 1_790_000_000.0
_PERSON = User("someone@example.com", ("system:masters",), "kubectl")
_LOOK_EVERY_SECONDS = 60.0
#: Looks may miss by this part of what was foretold.
_LATE = 0.5
_FULL = 0.98
#: A container that ended with so much of its limit in use ended for want of memory, whether the kernel killed it or a
#: probe that it was too slow to answer. A counter of kills does not tell: each container begins one of its own.
_ENDED_FULL = 0.9
#: As far back as the look before, and two scrapes more.
_MOST = (
    "max by (namespace, pod, container) "
    f'(max_over_time(container_memory_working_set_bytes{{container!=""}}[{_LOOK_EVERY_SECONDS + 30:.0f}s]))'
)
#: Requests that were made after a warning of an error budget say whether it was right.
_AFTER_SECONDS = 300
_TARGET, _ALARM = 0.999, 0.05

#: kind, namespace, name, part
Key = tuple[str, ...]


@dataclass(slots=True)
class Warned:
    """A warning as people would see it: first shown at, and what each look foretold (at, earliest, likeliest, latest),
    as seconds of the world's clock."""

    first_at: float
    foretold: list[tuple[float, float, float, float | None]] = field(default_factory=list)


@dataclass(slots=True)
class Seen:
    """What a world has shown in its life."""

    warnings: dict[Key, Warned] = field(default_factory=dict)
    #: when each limit was reached
    reached: dict[Key, float] = field(default_factory=dict)
    ended_at: float = 0.0


def play(world: World) -> Seen:
    """The world's life in virtual time."""
    return run_virtual(_play(world))


async def _play(world: World) -> Seen:
    loop = asyncio.get_running_loop()

    def clock() -> float:
        return _EPOCH + loop.time()

    sandbox = build(load_scenario(world.scenario), clock=clock)
    life = asyncio.create_task(sandbox.run())
    try:
        while sandbox.runner is None or sandbox.runner.started_at is None:
            assert not life.done(), "the world did not come up"
            await asyncio.sleep(0.25)
        happening = [asyncio.create_task(_happen(sandbox, one)) for one in world.happenings]
        seen = Seen()
        watch = _Watch(sandbox, seen)
        end = loop.time() + world.seconds
        while loop.time() < end:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            watch.look(clock())
        for task in happening:
            task.cancel()
        seen.ended_at = clock()
        return seen
    finally:
        life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life


async def _happen(sandbox: Sandbox, one: Happening) -> None:
    await asyncio.sleep(one.at_seconds)
    for resource, body in one.make:
        sandbox.cluster.create(resource, "shop", copy.deepcopy(body), user=_PERSON)
    for resource, name in one.remove:
        sandbox.cluster.delete(resource, "shop", name, user=_PERSON)
    if one.restart:
        stamp = {"kubectl.kubernetes.io/restartedAt": datetime.now(UTC).isoformat() + str(one.at_seconds)}
        sandbox.cluster.mutate(
            "deployments.apps",
            "shop",
            one.restart,
            lambda body: body["spec"]["template"]["metadata"].setdefault("annotations", {}).update(stamp),
            user=_PERSON,
        )
    if one.fault:
        injected = sandbox.injector.inject(one.fault, {"namespace": "shop", **one.parameters})
        if one.until_seconds:
            await asyncio.sleep(one.until_seconds - one.at_seconds)
            sandbox.injector.remove(injected.id)


class _Watch:
    """The product's looks, and what really is."""

    def __init__(self, sandbox: Sandbox, seen: Seen) -> None:
        self._metrics = WorldMetrics(sandbox)
        self._cluster = cast("Cluster", _Cluster(sandbox))
        self._seen = seen
        self._looks: dict[Key, int] = {}
        self._starts: dict[Key, float] = {}
        self._namespaces = sorted(
            n["metadata"]["name"]
            for n in sandbox.cluster.list("namespaces")
            if not n["metadata"]["name"].startswith("kube-")
        )

    def look(self, at: float) -> None:
        now = datetime.fromtimestamp(at, UTC)
        self._metrics.now = now
        objective = budget.Objective(_TARGET, _ALARM)
        found = [
            *fill.look(self._metrics, self._namespaces, MINUTES, now),
            *recur.look(self._metrics, self._namespaces, MINUTES, now),
            *budget.look(self._metrics, dict.fromkeys(self._namespaces, objective), Owners(self._cluster)),
        ]
        self._warn(found, at)
        self._truth(at, objective)

    def _warn(self, found: list[Foreseen], at: float) -> None:
        for one in found:
            key = key_of(one)
            self._looks[key] = self._looks.get(key, 0) + 1
            if self._looks[key] >= LOOKS_TO_OPEN:
                warned = self._seen.warnings.setdefault(key, Warned(at))
                latest = one.breach.latest_seconds
                warned.foretold.append(
                    (
                        at,
                        at + one.breach.earliest_seconds,
                        at + one.breach.seconds,
                        None if latest is None else at + latest,
                    )
                )

    def _truth(self, at: float, objective: budget.Objective) -> None:
        reached = self._seen.reached
        for filling in fill.FILLINGS:
            where = f'namespace=~"{"|".join(self._namespaces)}"'
            limits = {self._labels(s, filling): s.value for s in self._metrics.query(filling.limit.text(where=where))}
            for sample in self._metrics.query(filling.used.text(where=where)):
                labels = self._labels(sample, filling)
                if labels in limits and sample.value >= _FULL * limits[labels]:
                    subject, part = filling.place(labels)
                    reached.setdefault((str(filling.kind), subject.namespace, subject.name, part), at)
        self._restarts(at)
        self._burn(at, objective)

    def _restarts(self, at: float) -> None:
        reached = self._seen.reached
        names = trends.CONTAINER_STARTS.labels
        where = in_namespaces(self._namespaces)
        restarted = set()
        for sample in self._metrics.query(trends.CONTAINER_STARTS.text(where=where)):
            container = tuple(sample.labels.get(name, "") for name in names)
            if self._starts.get(container, sample.value) != sample.value:
                restarted.add(container)
            self._starts[container] = sample.value
        if not restarted:
            return
        limits = {
            tuple(s.labels.get(name, "") for name in names): s.value
            for s in self._metrics.query(trends.MEMORY_LIMIT.text(where=where))
        }
        for sample in self._metrics.query(_MOST):
            container = tuple(sample.labels.get(name, "") for name in names)
            if container in restarted and sample.value >= _ENDED_FULL * limits.get(container, math.inf):
                reached.setdefault((str(WarningKind.MEMORY), *container), at)
        for container in restarted:
            key = (str(WarningKind.RESTARTS), *container)
            if key in self._seen.warnings:
                reached.setdefault(key, at)

    def _burn(self, at: float, objective: budget.Objective) -> None:
        """A budget is gone in weeks; its warning is right if, of the requests made after it, too many fail."""
        due = [
            key
            for key, warned in self._seen.warnings.items()
            if key[0] == WarningKind.ERROR_BUDGET
            and key not in self._seen.reached
            and at - warned.first_at >= _AFTER_SECONDS
        ]
        if not due:
            return
        loads = budget.by_workload(
            RequestReader(self._metrics),
            dict.fromkeys(self._namespaces, objective),
            Owners(self._cluster),
            _AFTER_SECONDS,
        )
        for place, load in loads.items():
            key = key_of_place(WarningKind.ERROR_BUDGET, place)
            if key in due and load.errors > (1 - objective.target) * load.requests:
                self._seen.reached[key] = at

    @staticmethod
    def _labels(sample: Sample, filling: fill.Filling) -> fill.Labels:
        return tuple(sample.labels.get(name, "") for name in filling.used.labels)


def key_of(one: Foreseen) -> Key:
    """A place where a warning stands."""
    return key_of_place(one.kind, one.subject, one.part)


def key_of_place(kind: WarningKind, place: ObjectRef, part: str = "") -> Key:
    """The same, of the place itself."""
    return str(kind), place.namespace, place.name, part


def count(world: World, seen: Seen, scores: Scores) -> None:
    """Add one world's life to the scores."""
    scores.worlds += 1
    wanted = str(world.foretold) if world.foretold else ""
    if wanted:
        scores.foretold[wanted] += 1
        warned_first = [
            seen.reached[key] - warned.first_at
            for key, warned in seen.warnings.items()
            if key[0] == wanted and key in seen.reached
        ]
        if any(lead >= 0 for lead in warned_first):
            scores.warned[wanted] += 1
            if wanted != WarningKind.ERROR_BUDGET:  # which is gone weeks after the world has ended
                scores.lead_seconds.append(max(warned_first))
        else:
            scores.misses.append(f"{world.name}: nobody was warned of {wanted}")
    elif world.foretold is None:
        scores.healthy += 1
        scores.healthy_quiet += not seen.warnings
    for key, warned in seen.warnings.items():
        _judge(world, key, warned, seen, scores)


def _judge(world: World, key: Key, warned: Warned, seen: Seen, scores: Scores) -> None:
    at = seen.reached.get(key)
    last = warned.foretold[-1]
    if at is not None:
        scores.right += 1
        if key[0] in (WarningKind.MEMORY, WarningKind.VOLUME, WarningKind.QUOTA):
            looks = [look for look in warned.foretold if look[0] < at]
            scores.intervals += len(looks)
            slack = _LOOK_EVERY_SECONDS  # the truth is looked at as seldom
            scores.inside_interval += sum(
                early - slack <= at and (late is None or at <= late + slack) for _, early, _, late in looks
            )
        return
    due = last[0] + (1 + _LATE) * (last[2] - last[0])
    if seen.ended_at < due and seen.ended_at - last[0] < 2 * _LOOK_EVERY_SECONDS:
        return  # the world ended before anybody could know
    scores.wrong += 1
    scores.misses.append(f"{world.name}: {' '.join(key)} was foretold and did not happen")


class WorldMetrics:
    """The world's Prometheus without HTTP."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._engine = sandbox.signals.prometheus.engine
        self.now = datetime.fromtimestamp(_EPOCH, UTC)

    def query(self, promql: str, *, at: datetime | None = None, timeout_seconds: float | None = None) -> list[Sample]:
        when = (at or self.now).timestamp()
        value = self._engine.instant(promql, round(when * 1000))
        assert isinstance(value, list)
        return [Sample(dict(one[0]), one[1], when) for one in value]  # type: ignore[index]

    def query_range(
        self, promql: str, *, start: datetime, end: datetime, step_seconds: float, timeout_seconds: float | None = None
    ) -> list[Series]:
        found = self._engine.range(
            promql, round(start.timestamp() * 1000), round(end.timestamp() * 1000), round(step_seconds * 1000)
        )
        return [
            Series(dict(one.labels), tuple((t / 1000, v) for t, v in zip(one.times, one.values, strict=True)))
            for one in found
        ]


class _Cluster:
    """The world's API, as far as owners are looked up."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._cluster = sandbox.cluster

    def list(self, kind: str, namespace: str, *, timeout_seconds: float) -> ObjectList:
        resource = {"Pod": "pods", "ReplicaSet": "replicasets.apps"}[kind]
        return ObjectList(list(self._cluster.list(resource, namespace)), "")
