"""Records of scenarios that never ran, for the rules of scoring."""

from __future__ import annotations

from typing import Any

WEB = {"kind": "Deployment", "namespace": "site", "name": "web"}
DB = {"kind": "StatefulSet", "namespace": "site", "name": "db"}


def expectation(**changes: Any) -> dict[str, Any]:
    """A bad image of site/web after 10 s; the Service is to be well within 60 s."""
    base: dict[str, Any] = {
        "after": "typo",
        "causes": ["ImageNotFound", "ImagePullFailed"],
        "object": WEB,
        "related": [WEB, {"kind": "Service", "namespace": "site", "name": "web"}],
        "detectedSeconds": 60.0,
        "fixes": ["rollback"],
        "forbidden": ["scale"],
        "mustNotAct": False,
        "wellServices": ["site/web"],
        "wellWorkloads": [],
        "wellSeconds": 60.0,
        "stepAt": 10.0,
    }
    return {**base, **changes}


def action(name: str, at: float = 15.0, **changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "action": name, "target": WEB, "purpose": "heal", "carriedOut": True, "state": "applied", "appliedAt": at,
        "undoneAt": None, "error": "",
    }  # fmt: skip
    return {**base, **changes}


def event(**changes: Any) -> dict[str, Any]:
    """site/web's event: opened at 12 s, rolled back at 15 s, healed at 30 s."""
    base: dict[str, Any] = {
        "name": "he-1",
        "target": WEB,
        "subject": {"kind": "Pod", "namespace": "site", "name": "web-5d4f8c-x2x4z"},
        "symptom": "ImagePullBackOff",
        "detectedAt": 12.0,
        "signals": [{"symptom": "ImagePullBackOff", "at": 12.0}],
        "phase": "Completed",
        "outcome": "healed",
        "finishedAt": 30.0,
        "healingSeconds": 18.0,
        "othersSeconds": 0.0,
        "clusterSeconds": 2.0,
        "phaseSeconds": {"Containment": 1.0, "Diagnosis": 2.0, "MetaCognition": 14.0, "Knowledge": 0.5},
        "runSeconds": {"Planning": 1.0, "Healing": 0.5, "Verifying": 12.0},
        "findings": [{"cause": "ImageNotFound", "object": WEB, "confidence": 0.9}],
        "actions": [action("rollback")],
        "approvals": [],
        "timeline": [{"at": 12.0, "kind": "detected", "message": "<b>cannot pull</b>"}],
    }
    return {**base, **changes}


def change(at: float, *, well: bool, name: str = "site/web", kind: str = "Service") -> dict[str, Any]:
    return {"at": at, "kind": kind, "name": name, "well": well, "detail": ""}


def record(**changes: Any) -> dict[str, Any]:
    """One fault, found and healed: the service was down from 11 s to 16 s."""
    base: dict[str, Any] = {
        "name": "web-typo",
        "title": "A typo",
        "tags": [],
        "family": "images",
        "split": "dev",
        "healthy": False,
        "endReason": "settled",
        "problem": "",
        "startedAt": 1_790_000_000.0,
        "setUpSeconds": 20.0,
        "observedSeconds": 60.0,
        "steps": [{"id": "typo", "action": "fault", "at": 10.0, "problem": ""}],
        "world": [change(-5.0, well=True), change(11.0, well=False), change(16.0, well=True)],
        "expectations": [expectation()],
        "events": [event()],
    }
    return {**base, **changes}
