"""One row of the table of `tests.actions.test_every_action`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from healing.ports import ObjectRef


@dataclass(frozen=True)
class Stage:
    """A target with parameters. ``is_done`` looks at the cluster; ``is_as_before`` after undo (None: nothing to put
    back). ``spoil`` is another person's change that makes the plan stale."""

    action: str
    target: ObjectRef
    is_done: Callable[[], bool]
    is_as_before: Callable[[], bool] | None
    spoil: Callable[[], None]
    parameters: dict[str, Any] = field(default_factory=dict)
    writes: int = 1
    #: how it is written, where that is not PATCH
    method: str = "PATCH"
    clean_up: Callable[[], None] = lambda: None
