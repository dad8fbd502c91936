"""Codes and numbers as people say them. Pure functions, shared by the templates and the story."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+")
_KEPT = frozenset({"OOM", "CPU", "HPA", "PDB", "DNS", "TLS", "HTTP", "API", "PVC", "LLM", "IO"})

#: What is wrong, as the end of a sentence that begins with the workload's name.
_SYMPTOMS: Mapping[str, str] = {
    "CrashLoopBackOff": "keeps crashing",
    "OOMKilled": "ran out of memory",
    "ImagePullBackOff": "cannot pull its image",
    "ErrImagePull": "cannot pull its image",
    "InvalidImageName": "has an image name that cannot be used",
    "CreateContainerConfigError": "cannot start: its configuration is incomplete",
    "CreateContainerError": "cannot create its container",
    "RunContainerError": "cannot run its container",
    "HighLatency": "answers too slowly",
    "HighErrorRate": "fails too many requests",
    "HighCpu": "uses almost all of its CPU limit",
    "HighMemory": "uses almost all of its memory limit",
    "NodeNotReady": "does not answer",
    "NotReady": "is not ready",
    "Unready": "is not ready",
    "ProbeFailing": "fails its health probe",
    "NoEndpoints": "has no pod to send traffic to",
    "ProgressDeadlineExceeded": "does not finish its rollout",
    "FailedScheduling": "finds no node to run on",
    "Pending": "finds no node to run on",
    "BackendNotFound": "leads to a Service or port that does not exist",
    "EvictionBlocked": "keeps a node from being drained",
    "RolloutPaused": "is paused in the middle of a rollout",
    "PodsStuckOnNode": "lets its pods neither start nor end",
    "ProvisioningFailed": "waits for a volume that cannot be made",
    "FailedBinding": "waits for a volume that does not exist",
    "ClaimLost": "has lost its volume",
    "FailedCreate": "cannot create its pods",
}

_ACTIONS: Mapping[str, str] = {
    "restart": "restart",
    "rollback": "roll back",
    "scale": "scale",
    "updateResources": "change resources",
    "updateConfig": "change configuration",
    "fixServiceSelector": "fix the Service's selector",
    "restartDependency": "restart a dependency",
    "isolate": "isolate",
    "release": "release",
    "pauseRollout": "pause the rollout",
    "resumeRollout": "resume the rollout",
    "cordon": "cordon the node",
    "uncordon": "uncordon the node",
    "evict": "evict",
    "restoreObject": "put back as it was",
    "recreateMissing": "make again what was deleted",
}


def humanize(code: str) -> str:
    """``BadRolloutRevision`` -> ``bad rollout revision``; well-known abbreviations stay in capitals."""
    words = _WORD.findall(code)
    return " ".join(word if word in _KEPT else word.lower() for word in words) or code


def capitalize(text: str) -> str:
    """The first letter in upper case, the rest untouched."""
    return text[:1].upper() + text[1:]


def symptom_words(code: str) -> str:
    """What is wrong, to follow the name of the workload."""
    return _SYMPTOMS.get(code) or f"shows {humanize(code)}"


def action_words(name: str) -> str:
    """An action's name as a verb."""
    return _ACTIONS.get(name) or humanize(name)


def target_words(kind: str, namespace: str, name: str) -> str:
    """``Deployment shop/orders`` or ``Node worker-1``."""
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def reference_words(reference: Mapping[str, Any] | str | None) -> str:
    """An ObjectRef's JSON as text; text stays as it is."""
    if isinstance(reference, str):
        return reference
    if not reference or not reference.get("name"):
        return ""
    return target_words(
        str(reference.get("kind", "")), str(reference.get("namespace", "") or ""), str(reference["name"])
    )


def duration(seconds: float | None) -> str:
    """``4.2 s``, ``1 m 20 s``, ``2 h 5 m``, ``3 d 4 h``: two units at most."""
    if seconds is None:
        return ""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def percent(fraction: float | None) -> str:
    """``0.916`` -> ``92 %``."""
    return "" if fraction is None else f"{round(fraction * 100)} %"


def sentence(text: str) -> str:
    """Trimmed, with a capital first letter and a full stop."""
    text = capitalize(" ".join(text.split()))
    return text if not text or text[-1] in ".!?" else f"{text}."


def count(number: int, singular: str, plural: str = "") -> str:
    """``1 pod``, ``3 pods``."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def blast_radius_words(radius: Mapping[str, Any]) -> list[str]:
    """A plan's blast radius (`healing.actions.base.BlastRadius` as JSON) in short sentences."""
    words = [f"Touches {count(int(radius.get('pods') or 0), 'pod')}." if radius.get("pods") else "Touches no pod."]
    ready, desired, remaining = (radius.get(k) for k in ("ready_replicas", "desired_replicas", "remaining_ready"))
    if ready is not None and desired is not None:
        words.append(f"{ready} of {count(desired, 'replica')} ready now.")
    if remaining is not None:
        words.append(f"At least {remaining} {'stays' if remaining == 1 else 'stay'} ready while it runs.")
    if radius.get("disruption_budget"):
        words.append(f"Disruption budget: {radius['disruption_budget']}.")
    if radius.get("autoscaler"):
        words.append(f"The autoscaler {radius['autoscaler']} owns the replica count.")
    if radius.get("managed_by"):
        words.append(f"{radius['managed_by']} also writes this object and may put the change back.")
    return words
