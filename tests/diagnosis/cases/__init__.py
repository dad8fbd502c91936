"""Clusters in trouble, one a function, each with the cause and the object that has to be named first; and healthy ones.

tests/diagnosis/test_cases.py diagnoses them as they are built, and
tests/diagnosis/make_snapshots.py writes them as snapshot files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.diagnosis.world import World


@dataclass(frozen=True)
class Case:
    """``expected``: (cause, kind, name) of the first finding; None: nothing is wrong."""

    name: str
    expected: tuple[str, str, str] | None
    build: Callable[[World], None]

    def world(self) -> World:
        """The cluster, built anew."""
        world = World()
        world.complete("Service", "ConfigMap", "Deployment", "Pod", "Event", "PersistentVolume")
        self.build(world)
        return world


CASES: dict[str, Case] = {}


def case(
    cause: str, kind: str, name: str, *, called: str = ""
) -> Callable[[Callable[[World], None]], Callable[[World], None]]:
    """Register a faulty cluster."""

    def register(build: Callable[[World], None]) -> Callable[[World], None]:
        key = called or build.__name__.replace("_", "-")
        assert key not in CASES
        CASES[key] = Case(key, (cause, kind, name), build)
        return build

    return register


def healthy(build: Callable[[World], None]) -> Callable[[World], None]:
    """Register a cluster of which nothing must be said."""
    key = "healthy-" + build.__name__.replace("_", "-")
    assert key not in CASES
    CASES[key] = Case(key, None, build)
    return build


def all_cases() -> dict[str, Case]:
    """Every case, by name."""
    from tests.diagnosis.cases import network, nodes, programs, releases, scaling, storage, well  # noqa: F401

    return CASES
