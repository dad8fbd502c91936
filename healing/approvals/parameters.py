"""Parameters as people edit them: checked against the schemas of their actions, before anything is planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from healing.actions import registry
from healing.approvals.errors import DecisionError, EditRefused
from healing.models import Strategy


def checked_steps(base: Strategy, parameters: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Steps with new parameters (no plans yet), and what changes in words. Raises `EditRefused` or `DecisionError`."""
    if len(parameters) != len(base.steps):
        raise DecisionError(f"'{base.title}' has {len(base.steps)} step(s): give the parameters of each, in order.")
    steps, changes, errors = [], [], []
    for number, (step, wanted) in enumerate(zip(base.steps, parameters, strict=True)):
        try:
            checked = registry.get(step["action"]).parameters.model_validate(
                {name: value for name, value in wanted.items() if name not in registry.EVERY_ACTIONS_PARAMETERS}
            )
        except ValidationError as error:
            prefix = f"{number + 1}." if len(parameters) > 1 else ""
            errors += [
                {"field": prefix + ".".join(map(str, e["loc"])) if e["loc"] else "parameters", "message": str(e["msg"])}
                for e in error.errors(include_url=False, include_input=False)
            ]
            continue
        new = checked.model_dump(mode="json", by_alias=True, exclude_unset=True)
        old = dict(step.get("parameters") or {})
        # These are no choice: they say whom the fix is for, and until when it lasts.
        new |= {name: value for name, value in old.items() if name in registry.EVERY_ACTIONS_PARAMETERS}
        changes += [
            f"{name}: {_said(old.get(name))} becomes {_said(new.get(name))}"
            for name in dict.fromkeys([*old, *new])
            if old.get(name) != new.get(name)
        ]
        steps.append({"action": step["action"], "target": step["target"], "parameters": new})
    if errors:
        raise EditRefused(errors)
    if not changes:
        raise DecisionError("Nothing was changed. Approve the plan as it is, or change a parameter.")
    return steps, changes


def _said(value: object) -> str:
    return "(not set)" if value is None else str(value)
