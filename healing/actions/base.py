"""What an action is. One file an action; `healing.actions.registry` knows them all.

Life of an action: `Action.plan` reads the live cluster and says exactly what would change (nothing is touched);
guardrails and people judge the plan; `healing.actions.runner` writes an `ActionRun` with the state found, lets the
API server dry-run it, executes it at most once, and can undo it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel

from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, ObjectRef


class CannotPlan(Exception):
    """The action makes no sense here (target gone, no earlier revision, ...); the message says why."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the diff: ``path`` is dotted (``spec.template.spec.containers[api].image``)."""

    object: ObjectRef
    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """What an action touches, for people and guardrails. ``None``: not applicable."""

    pods: int = 0
    ready_replicas: int | None = None
    desired_replicas: int | None = None
    #: ready replicas that surely remain while the action runs
    remaining_ready: int | None = None
    disruption_budget: str = ""  # name and allowance, in words
    autoscaler: str = ""  # name of an HPA that owns the replicas
    managed_by: str = ""  # Argo CD, Flux, Helm: who else writes this object


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, bound to the state it was made for. ``operations`` is what `Action.execute` sends.

    ``target`` carries the uid; ``generation`` is the target's when planned (0: it has none).
    """

    action: ActionName
    target: ObjectRef
    generation: int
    summary: str
    changes: tuple[Change, ...]
    operations: tuple[dict[str, Any], ...]
    pre_state: dict[str, Any]
    risk: Risk
    risk_reason: str
    reversible: bool
    undo_summary: str
    blast_radius: BlastRadius = BlastRadius()
    parameters: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """JSON for a strategy's step and for pages."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """SHA-256 over what will be sent and to whom (not over prose)."""
        content = {
            "action": self.action,
            "target": asdict(self.target),
            "generation": self.generation,
            "operations": self.operations,
            "parameters": self.parameters,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


P = TypeVar("P", bound=BaseModel)


class Action(Generic[P]):
    """Base of all actions. Stateless; subclasses are registered once."""

    name: ClassVar[ActionName]
    title: ClassVar[str]
    #: kinds a target may have
    kinds: ClassVar[frozenset[str]]
    #: (verb, kind) pairs the app needs: the shipped Role is made from them
    permissions: ClassVar[tuple[tuple[str, str], ...]]
    parameters: ClassVar[type[BaseModel]]

    def plan(self, cluster: Cluster, target: ObjectRef, parameters: P, *, timeout_seconds: float) -> Plan:
        """Read the live state and say what would change. Raises `CannotPlan` or `healing.ports.errors`."""
        raise NotImplementedError

    def dry_run(self, cluster: Cluster, plan: Plan, *, timeout_seconds: float) -> None:
        """Have the API server check every operation with ``dryRun=All``. Raises `healing.ports.errors`."""
        raise NotImplementedError

    def execute(self, cluster: Cluster, plan: Plan, *, timeout_seconds: float) -> dict[str, Any]:
        """Send the operations; returns JSON that `is_applied` and `undo` may need."""
        raise NotImplementedError

    def is_applied(self, cluster: Cluster, plan: Plan, *, timeout_seconds: float) -> bool:
        """Whether the live state shows that an `execute` we do not remember has happened."""
        raise NotImplementedError

    def undo(self, cluster: Cluster, plan: Plan, result: dict[str, Any], *, timeout_seconds: float) -> str:
        """Put back the state found before, where nobody else has changed it since; says what was done."""
        raise NotImplementedError
