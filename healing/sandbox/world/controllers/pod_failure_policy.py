"""A Job's podFailurePolicy: which failures of its pods count, which do not, and which end the Job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from healing.sandbox.ports import Object

Action = Literal["FailJob", "FailIndex", "Ignore", "Count"]


def match(job: Object, pod: Object) -> tuple[Action, str]:
    """The first rule that speaks of this failed pod: its action and, for ``FailJob``, the Job's message.

    ``Count`` where no rule does. ``FailIndex`` (which needs backoffLimitPerIndex) counts like any failure.
    """
    metadata = pod["metadata"]
    for index, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or ()):
        action: Action = rule["action"]
        where = f"matching {action} rule at index {index}"
        if rule.get("onExitCodes"):
            for name, code in _exits(pod):
                if _is_meant(rule["onExitCodes"], name, code):
                    pod_name = f"{metadata['namespace']}/{metadata['name']}"
                    return action, f"Container {name} for pod {pod_name} failed with exit code {code} {where}"
            continue
        for pattern in rule.get("onPodConditions") or ():
            wanted = (pattern["type"], pattern.get("status") or "True")
            if any((c["type"], c["status"]) == wanted for c in pod["status"].get("conditions") or ()):
                named = f"Pod {metadata['namespace']}/{metadata['name']} has condition {pattern['type']}"
                return action, f"{named} {where}"
    return "Count", ""


def _exits(pod: Object) -> Iterator[tuple[str, int]]:
    """(container, exit code) of those that failed."""
    for field in ("containerStatuses", "initContainerStatuses"):
        for container in pod["status"].get(field) or ():
            code = ((container.get("state") or {}).get("terminated") or {}).get("exitCode", 0)
            if code:
                yield container["name"], code


def _is_meant(requirement: Object, name: str, code: int) -> bool:
    if requirement.get("containerName") not in (None, name):
        return False
    return bool((code in requirement["values"]) == (requirement["operator"] == "In"))
