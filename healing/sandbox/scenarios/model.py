"""A scenario, read and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from healing.sandbox.apps.model import TrafficSource
from healing.sandbox.ports import GitOpsOwner, Object
from healing.sandbox.world import NodeSpec

ActionOfStep = Literal["fault", "remove", "apply", "patch", "delete", "restart", "drain", "uncordon", "traffic"]


class ScenarioError(ValueError):
    """A file that cannot be used. ``problems``: one ``file:line: reason`` each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of whoever is to be judged: the sandbox knows no healer, so they are given to it. None: not checked."""

    causes: frozenset[str] | None = None
    actions: frozenset[str] | None = None
    #: what is wrong with a SelfHealingPolicy, a reason each
    check_policy: Callable[[Object], list[str]] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens ``at_seconds`` after the world has come up (0 in a remedy).

    ``body``: the fault's name (fault), an injection's id (remove), manifests (apply), a reference (patch, delete,
    restart), a node's name (drain, uncordon), or the fields of a traffic source (traffic).
    """

    at_seconds: float
    action: ActionOfStep
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
    """What is right after a step (``after``), or that nothing may be done at all (``healthy``).

    References are ``{"kind", "namespace", "name"}`` with what is left open left out.
    """

    after: str = ""
    healthy: bool = False
    causes: tuple[str, ...] = ()
    object: dict[str, str] = field(default_factory=dict)
    detected_seconds: float = 60.0
    fixes: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    must_not_act: bool = False
    remedy: tuple[Step, ...] = ()
    also_affected: tuple[dict[str, str], ...] = ()
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
    #: from one scrape of a node or program by Prometheus to the next
    scrape_seconds: float = 2.0
    manifests: list[Object] = field(default_factory=list)
    catalogue: dict[str, Any] = field(default_factory=dict)
    history: list[History] = field(default_factory=list)
    traffic: list[TrafficSource] = field(default_factory=list)
    gitops: list[GitOpsOwner] = field(default_factory=list)
    #: SelfHealingPolicy manifests for whoever runs a healer on this world; the sandbox leaves them alone
    policies: list[Object] = field(default_factory=list)
    timeline: list[Step] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether nothing may be done in it at all."""
        return any(expectation.healthy for expectation in self.expectations)

    @property
    def namespaces(self) -> list[str]:
        """Namespaces its objects are in, sorted; those that are only used too."""
        steps = [m for step in self.timeline if step.action == "apply" for m in step.body]
        found = {str(m["metadata"].get("namespace") or "") for m in (*self.manifests, *steps)}
        found |= {str(m["metadata"]["name"]) for m in self.manifests if m["kind"] == "Namespace"}
        return sorted(found - {""})
