"""What a strategy comes to in a given case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from healing.metacognition.case import Case
from healing.policies.spec import ActionName
from healing.ports.cluster import ObjectRef


@dataclass(frozen=True, slots=True)
class Step:
    """One action to be."""

    action: ActionName
    target: ObjectRef
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Blueprint:
    """``restores``: it goes back to something that existed, instead of making up a value. ``seconds``: how long it
    usually takes to show. ``changed_seconds``: how long before the fault was seen what it takes back was done; None:
    unknown, or the template's revisions say."""

    title: str
    rationale: str
    steps: tuple[Step, ...]
    restores: bool
    seconds: float
    changed_seconds: float | None = None


Builder = Callable[[Case], Blueprint]
