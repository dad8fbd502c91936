"""Injects faults by name and remembers which ones are on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from healing.sandbox.apps.runtime import AppRuntime
from healing.sandbox.faults import behaviours, network, objects, rollouts, services
from healing.sandbox.faults.base import Fault, FaultError, Injection, Scene, World, describe
from healing.sandbox.ports import ApiError, Cluster

_FAMILIES = (rollouts.FAULTS, objects.FAULTS, behaviours.FAULTS, services.FAULTS, network.FAULTS)
FAULTS: dict[str, Fault] = {fault.name: fault for family in _FAMILIES for fault in family}


class FaultInjector:
    """One world's faults."""

    def __init__(self, cluster: Cluster, runtime: AppRuntime, world: World | None) -> None:
        self._cluster = cluster
        self._runtime = runtime
        self._world = world
        self._ids = itertools.count(1)
        self.injections: dict[str, Injection] = {}

    @staticmethod
    def available() -> list[dict[str, Any]]:
        return describe(FAULTS.values())

    @staticmethod
    def check(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Complete parameters, or `FaultError`; does not look at the world."""
        fault = FAULTS.get(name)
        if fault is None:
            raise FaultError(f"no fault named {name!r}; there are {', '.join(sorted(FAULTS))}")
        return fault.check(params)

    def inject(self, name: str, params: Mapping[str, Any], injection_id: str = "") -> Injection:
        """Raises `FaultError` when the fault or its target does not exist, or the API refuses the change."""
        values = self.check(name, params)
        chosen = injection_id or f"{name}-{next(self._ids)}"
        if chosen in self.injections and self.injections[chosen].active:
            raise FaultError(f"a fault with the id {chosen!r} is active; remove it first")
        scene = Scene(self._cluster, self._runtime, self._world, chosen, values)
        try:
            target, summary, undo = FAULTS[name].inject(scene)
        except ApiError as error:
            raise FaultError(f"the API refused: {error}") from error
        injection = Injection(chosen, name, values, self._runtime.clock(), target, summary, undo)
        self.injections[chosen] = injection
        return injection

    def remove(self, injection_id: str) -> Injection | None:
        """Take a fault back; None if there is none with this id."""
        injection = self.injections.get(injection_id)
        if injection is None or not injection.active:
            return None
        injection.active = False
        injection.undo()
        return injection

    def active(self) -> list[Injection]:
        return [injection for injection in self.injections.values() if injection.active]
