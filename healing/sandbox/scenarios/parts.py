"""The parts of a scenario file, from YAML that the schema has accepted to the model."""

from __future__ import annotations

import re
from typing import Any

from healing.sandbox.apps.model import TrafficSource
from healing.sandbox.ports import GitOpsOwner
from healing.sandbox.scenarios.model import ActionOfStep, Expectation, History, Step
from healing.sandbox.world import NodeSpec

ACTIONS: tuple[ActionOfStep, ...] = (
    "fault", "remove", "apply", "patch", "delete", "restart", "drain", "uncordon", "traffic",
)  # fmt: skip
DEVELOPER = "dev@example.com"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """``1m30s`` in seconds."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text))


def node(entry: dict[str, Any]) -> NodeSpec:
    renamed = {"ephemeralStorage": "ephemeral_storage"}
    return NodeSpec(**{renamed.get(name, name): value for name, value in entry.items()})


def traffic(entry: dict[str, Any]) -> TrafficSource:
    return TrafficSource(
        entry.get("namespace", ""),
        entry.get("service", ""),
        entry.get("port", 0),
        float(entry["requestsPerSecond"]),
        wave=float(entry.get("wave", 0.0)),
        period_seconds=float(entry.get("periodSeconds", 120.0)),
        noise=float(entry.get("noise", 0.05)),
        timeout_seconds=float(entry.get("timeoutSeconds", 10.0)),
        host=entry.get("host", ""),
        path=entry.get("path", "/"),
    )


def history(entry: dict[str, Any]) -> History:
    namespace, _, name = entry["deployment"].partition("/")
    return History(namespace, name, entry["container"], entry.get("image", ""), entry.get("env", {}))


def gitops_owner(entry: dict[str, Any]) -> GitOpsOwner:
    return GitOpsOwner(
        entry["kind"],
        entry["namespace"],
        entry["name"],
        entry["tool"],
        entry["application"],
        float(entry.get("syncSeconds", 5.0)),
    )


def step(index: int, entry: dict[str, Any], prefix: str = "step") -> Step:
    action = next(name for name in ACTIONS if name in entry)
    default_id = f"{entry[action]}-{index + 1}" if action == "fault" else f"{prefix}-{index + 1}"
    return Step(
        parse_duration(entry.get("at", "0s")),
        action,
        entry.get("id", default_id),
        entry[action],
        entry.get("params", {}),
        entry.get("user", DEVELOPER),
    )


def expectation(entry: dict[str, Any]) -> Expectation:
    well = entry.get("well", {})
    return Expectation(
        after=entry.get("after", ""),
        healthy=entry.get("healthy", False),
        causes=tuple(entry.get("causes", ())),
        object=entry.get("object", {}),
        detected_seconds=parse_duration(entry.get("detected", "60s")),
        fixes=tuple(entry.get("fixes", ())),
        forbidden=tuple(entry.get("forbidden", ())),
        must_not_act=entry.get("mustNotAct", False),
        remedy=tuple(step(index, each, "remedy") for index, each in enumerate(entry.get("remedy", ()))),
        also_affected=tuple(entry.get("alsoAffected", ())),
        well_services=tuple(well.get("services", ())),
        well_workloads=tuple(well.get("workloads", ())),
        well_seconds=parse_duration(well.get("within", "60s")),
    )
