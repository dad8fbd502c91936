"""Worlds to be warned in, and healthy ones. What differs between two of a kind is drawn from the world's seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from healing.models import WarningKind
from healing.sandbox.ports import Object
from healing.sandbox.scenarios import BUNDLED

MIB = 2**20
#: Deployments of the shop with their memory limits in MiB.
_WORKLOADS: Mapping[str, int] = MappingProxyType({"cart": 128, "catalog": 320, "orders": 512, "payments": 448})


@dataclass(frozen=True, slots=True)
class Happening:
    """At a second of the timeline: a fault (until a second, if it is taken back), objects to be made or removed (by
    resource and name), or a Deployment that is restarted by a person."""

    at_seconds: float
    fault: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    make: tuple[tuple[str, Object], ...] = ()
    remove: tuple[tuple[str, str], ...] = ()
    until_seconds: float = 0.0
    restart: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """``foretold``: what has to be warned of; empty: nothing may be. ``seconds``: how long it is played."""

    name: str
    scenario: Path
    seconds: float
    foretold: WarningKind | None = None
    happenings: tuple[Happening, ...] = ()


def worlds(seeds: int) -> Iterator[World]:
    """So many of each kind, and every bundled healthy world."""
    for seed in range(seeds):
        for build in _BUILDERS:
            yield build(random.Random(f"{build.__name__}/{seed}"), seed)  # noqa: S311 - a simulated world, no secrets
    for path in sorted((BUNDLED / "evaluation").glob("healthy-*.yaml")):
        yield World(path.stem, path, 900.0)


def _leak(rng: random.Random, seed: int) -> World:
    """A leak that reaches the limit after 8 to 40 minutes."""
    workload = rng.choice(sorted(_WORKLOADS))
    until = rng.uniform(480, 2400)
    speed = 0.8 * _WORKLOADS[workload] * MIB / until
    happening = Happening(
        rng.uniform(0, 120), "memory-leak", {"workload": workload, "bytes_per_second": speed, "scope": "revision"}
    )
    return World(f"leak-{seed}", BUNDLED / "shop.yaml", until * 1.6 + 420, WarningKind.MEMORY, (happening,))


def _slow_errors(rng: random.Random, seed: int) -> World:
    """Errors too few for an alarm, that go on."""
    workload = rng.choice(["cart", "catalog", "orders"])
    happening = Happening(1200, "errors", {"workload": workload, "error_rate": rng.uniform(0.02, 0.04)})
    return World(f"errors-{seed}", BUNDLED / "shop.yaml", 3600, WarningKind.ERROR_BUDGET, (happening,))


def _quota(rng: random.Random, seed: int) -> World:
    """Somebody makes an object now and then and never cleans up."""
    hard, pause = rng.randint(30, 60), rng.uniform(20, 60)
    made = tuple(
        Happening(10 + number * pause * rng.uniform(0.8, 1.2), make=(_report(number),)) for number in range(hard - 2)
    )
    happenings = (_objects_at_most(hard), *sorted(made, key=lambda h: h.at_seconds))
    return World(f"quota-{seed}", BUNDLED / "shop.yaml", hard * pause + 120, WarningKind.QUOTA, happenings)


def _tides(rng: random.Random, seed: int) -> World:
    """Objects are made and cleaned up in the rhythm of the day, here of 8 to 15 minutes, and leave room at its height.
    What rises for the first time may be taken for a trend; later it has been seen to turn."""
    hard, period, seconds = rng.randint(50, 70), rng.uniform(480, 900), 4200.0
    low, high = 0.2 * hard, rng.uniform(0.5, 0.7) * hard
    happenings, there = [_objects_at_most(hard)], 0
    for second in range(5, int(seconds), 5):
        share = (1 - math.cos(2 * math.pi * second / period)) / 2
        wanted = round(low + share * (high - low))
        made = tuple(_report(number) for number in range(there, wanted))
        removed = tuple(("configmaps", f"report-{number}") for number in range(wanted, there))
        if made or removed:
            happenings.append(Happening(second, make=made, remove=removed))
        there = wanted
    return World(f"tides-{seed}", BUNDLED / "shop.yaml", seconds, None, tuple(happenings))


def _objects_at_most(hard: int) -> Happening:
    quota = {"metadata": {"name": "objects"}, "spec": {"hard": {"count/configmaps": str(hard)}}}
    return Happening(1, make=(("resourcequotas", quota),))


def _report(number: int) -> tuple[str, Object]:
    return "configmaps", {"metadata": {"name": f"report-{number}"}, "data": {"n": str(number)}}


def _restarts(rng: random.Random, seed: int) -> World:
    """A container that ends every few minutes, and stands up again: no crash loop."""
    workload, every = rng.choice(["cart", "payments"]), rng.uniform(180, 420)
    crashes = tuple(
        Happening(60 + number * every * rng.uniform(0.95, 1.05), "harmless-restart", {"workload": workload, "pods": 1})
        for number in range(7)
    )
    return World(f"restarts-{seed}", BUNDLED / "shop.yaml", 7 * every + 60, WarningKind.RESTARTS, crashes)


def _waves(rng: random.Random, seed: int) -> World:
    """Users come and go; nothing runs out."""
    factor, at = rng.uniform(1.2, 2.0), rng.uniform(300, 900)
    spike = Happening(at, "traffic-spike", {"service": "gateway", "factor": factor})
    return World(f"waves-{seed}", BUNDLED / "shop.yaml", 2400, None, (spike,))


def _cache(rng: random.Random, seed: int) -> World:
    """Memory grows, and stops well under the limit: a cache that fills."""
    workload = rng.choice(sorted(_WORKLOADS))
    size, seconds = rng.uniform(0.1, 0.3) * _WORKLOADS[workload] * MIB, rng.uniform(300, 900)
    # Three leaks that end one after the other: their sum rises ever slower, and then stays.
    happenings = []
    for number, part in enumerate((0.5, 0.3, 0.2), 1):
        until = seconds * number / 3
        parameters = {"workload": workload, "bytes_per_second": part * size / until, "scope": "workload"}
        happenings.append(Happening(60, "memory-leak", parameters, until_seconds=60 + until))
    return World(f"cache-{seed}", BUNDLED / "shop.yaml", 2400, None, tuple(happenings))


def _rollouts(rng: random.Random, seed: int) -> World:
    """Restarted by people now and then."""
    restarts = tuple(Happening(rng.uniform(200, 500) * (number + 1), restart="cart") for number in range(3))
    return World(f"rollouts-{seed}", BUNDLED / "shop.yaml", 1800, None, restarts)


_BUILDERS: tuple[Callable[[random.Random, int], World], ...] = (
    _leak,
    _slow_errors,
    _quota,
    _tides,
    _restarts,
    _waves,
    _cache,
    _rollouts,
)
