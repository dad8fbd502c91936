"""What an action is. One file an action; `healing.actions.registry` knows them all.

Life of an action: `Action.plan` reads the live cluster and says exactly what would change (nothing is touched);
guardrails and people judge the plan; `healing.actions.runner` writes an `ActionRun` with the state found, lets the
API server dry-run it, executes it at most once, and can undo it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from healing.actions import operations
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, ObjectRef
from healing.redaction import redact_json


class CannotPlan(Exception):
    """The action makes no sense here (target gone, no earlier revision, ...); the message says why."""


class UndoRefused(Exception):
    """Somebody else has changed the object since: what they did is left alone; the message says so."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the diff: ``path`` is dotted (``spec.template.spec.containers[api].image``)."""

    object: ObjectRef
    path: str
    before: Any
    after: Any

    def for_people(self) -> dict[str, Any]:
        """As it is shown and kept on the timeline: JSON without secrets."""
        told = {"object": str(self.object), "path": self.path, "before": self.before, "after": self.after}
        return dict(redact_json(told))


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """What an action touches, for people and guardrails. ``None``: not applicable."""

    pods: int = 0
    ready_replicas: int | None = None
    desired_replicas: int | None = None
    #: ready replicas that surely remain while the action runs
    remaining_ready: int | None = None
    disruption_budget: str = ""  # name and allowance, in words
    disruptions_allowed: int | None = None  # by the strictest budget
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

    @property
    def undo_operations(self) -> tuple[dict[str, Any], ...]:
        """What `Action.undo` sends, in order; part of the pre-state, because it is made of what was found."""
        return tuple(self.pre_state.get("undo", ()))

    def as_json(self) -> dict[str, Any]:
        """JSON for a strategy's step, for an action's row and for pages."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        """The inverse of `as_json`."""
        return cls(
            **{
                **value,
                "action": ActionName(value["action"]),
                "target": ObjectRef(**value["target"]),
                "changes": tuple(Change(**{**c, "object": ObjectRef(**c["object"])}) for c in value["changes"]),
                "operations": tuple(value["operations"]),
                "risk": Risk(value["risk"]),
                "blast_radius": BlastRadius(**value["blast_radius"]),
            }
        )

    def does_the_same_as(self, other: Plan) -> bool:
        """Whether both send the same operations to the same object, whatever changed elsewhere meanwhile.

        A plan made anew that does the same is the old plan: an autoscaler's write or a status annotation raises the
        generation, and is no reason to ask a person again."""
        return (self.action, self.target, _plain(self.operations)) == (
            other.action,
            other.target,
            _plain(other.operations),
        )

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


def _plain(value: Any) -> Any:
    """As JSON keeps it: tuples are lists."""
    return json.loads(json.dumps(value, sort_keys=True, default=str))


P = TypeVar("P", bound=BaseModel)


class Parameters(BaseModel):
    """Base of all parameters: unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Action(Generic[P]):
    """Base of all actions. Stateless; subclasses are registered once.

    An action only has to say in `plan` which operations it needs and which undo them (`healing.actions.operations`);
    sending, checking and undoing them is the same for all.
    """

    name: ClassVar[ActionName]
    title: ClassVar[str]
    #: kinds a target may have
    kinds: ClassVar[frozenset[str]]
    #: (verb, kind) pairs the app needs: the shipped Role is made from them. "evict" and "log" are subresources.
    permissions: ClassVar[tuple[tuple[str, str], ...]]
    parameters: ClassVar[type[Parameters]]

    def plan(self, cluster: Cluster, target: ObjectRef, parameters: P, *, timeout_seconds: float) -> Plan:
        """Read the live state and say what would change. Raises `CannotPlan` or `healing.ports.errors`."""
        raise NotImplementedError

    def dry_run(self, cluster: Cluster, plan: Plan, *, timeout_seconds: float) -> None:
        """Have the API server check every operation with ``dryRun=All``. Raises `healing.ports.errors`."""
        for operation in plan.operations:
            operations.send(cluster, operation, dry_run=True, timeout_seconds=timeout_seconds)

    def execute(self, cluster: Cluster, plan: Plan, *, timeout_seconds: float) -> dict[str, Any]:
        """Send the operations; returns JSON that `is_applied` and `undo` may need. May be called again after a part
        of them was sent."""
        written = []
        for operation in plan.operations:
            generation = plan.generation if operations.addresses(operation, plan.target) else 0
            after = operations.send(cluster, operation, generation=generation, timeout_seconds=timeout_seconds)
            written.append(operations.written(operation, after))
        return {"written": written}

    def is_applied(self, cluster: Cluster, plan: Plan, *, timeout_seconds: float) -> bool:
        """Whether the live state shows that an `execute` we do not remember has happened."""
        return all(operations.is_done(cluster, o, timeout_seconds=timeout_seconds) for o in plan.operations)

    def undo(self, cluster: Cluster, plan: Plan, result: dict[str, Any], *, timeout_seconds: float) -> str:
        """Put back the state found before, where nobody else has changed it since; says what was done (empty: it was
        back already).

        Without a ``result`` the plan may have been executed in part: what is not there was never sent, and is left out.
        Raises `UndoRefused` or `healing.ports.errors`."""
        pairs = list(zip(plan.operations, plan.undo_operations, strict=True)) if plan.undo_operations else []
        put_back = 0
        for done, undo in reversed(pairs):
            if operations.is_undone(cluster, undo, timeout_seconds=timeout_seconds):
                continue
            if not operations.is_done(cluster, done, timeout_seconds=timeout_seconds):
                if not result or operations.is_hint(done):
                    continue
                raise UndoRefused(
                    f"{operations.object_of(done)} was changed by someone else since; it is left as it is now."
                )
            operations.send(cluster, undo, timeout_seconds=timeout_seconds)
            put_back += 1
        return plan.undo_summary if put_back or not pairs else ""
