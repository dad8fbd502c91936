"""A scenario, read and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from healing.sandbox.apps.model import TrafficSource
from healing.sandbox.ports import Object
from healing.sandbox.world import NodeSpec


class ScenarioError(ValueError):
    """A file that cannot be used. ``problems``: one ``file:line: reason`` each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens ``at_seconds`` after the world has come up."""

    at_seconds: float
    action: Literal["fault", "remove", "apply", "patch", "delete"]
    #: of the injection (fault, remove) or just a name
    id: str
    body: Any
    params: dict[str, Any] = field(default_factory=dict)
    user: str = "dev@example.com"


@dataclass(frozen=True, slots=True)
class History:
    """What a Deployment's container was like one revision ago."""

    namespace: str
    deployment: str
    container: str
    image: str = ""
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is right after a step (``after``), or that nothing may be done at all (``healthy``)."""

    after: str = ""
    healthy: bool = False
    causes: tuple[str, ...] = ()
    object: dict[str, str] = field(default_factory=dict)
    detected_seconds: float = 60.0
    fixes: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    well_services: tuple[str, ...] = ()
    well_workloads: tuple[str, ...] = ()
    well_seconds: float = 60.0


@dataclass(slots=True)
class Scenario:
    name: str
    path: Path
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    seed: int = 1
    nodes: int | list[NodeSpec] = 3
    manifests: list[Object] = field(default_factory=list)
    catalogue: dict[str, Any] = field(default_factory=dict)
    history: list[History] = field(default_factory=list)
    traffic: list[TrafficSource] = field(default_factory=list)
    timeline: list[Step] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)
