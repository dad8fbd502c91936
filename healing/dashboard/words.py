"""Codes and numbers as people say them. Pure functions, shared by the templates and the story."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _, gettext_lazy, ngettext, pgettext_lazy

from healing.lifecycle import Wound

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+")
_KEPT = frozenset({"OOM", "CPU", "HPA", "PDB", "DNS", "TLS", "HTTP", "API", "PVC", "LLM", "IO"})

#: What is wrong, as the end of a sentence that begins with the workload's name.
_SYMPTOMS: Mapping[str, Promise] = {
    "CrashLoopBackOff": gettext_lazy("keeps crashing"),
    "OOMKilled": gettext_lazy("ran out of memory"),
    "ImagePullBackOff": gettext_lazy("cannot pull its image"),
    "ErrImagePull": gettext_lazy("cannot pull its image"),
    "InvalidImageName": gettext_lazy("has an image name that cannot be used"),
    "CreateContainerConfigError": gettext_lazy("cannot start: its configuration is incomplete"),
    "CreateContainerError": gettext_lazy("cannot create its container"),
    "RunContainerError": gettext_lazy("cannot run its container"),
    "HighLatency": gettext_lazy("answers too slowly"),
    "HighErrorRate": gettext_lazy("fails too many requests"),
    "HighCpu": gettext_lazy("uses almost all of its CPU limit"),
    "HighMemory": gettext_lazy("uses almost all of its memory limit"),
    "NodeNotReady": gettext_lazy("does not answer"),
    "NotReady": gettext_lazy("is not ready"),
    "Unready": gettext_lazy("is not ready"),
    "ProbeFailing": gettext_lazy("fails its health probe"),
    "NoEndpoints": gettext_lazy("has no pod to send traffic to"),
    "ProgressDeadlineExceeded": gettext_lazy("does not finish its rollout"),
    "FailedScheduling": gettext_lazy("finds no node to run on"),
    "Pending": gettext_lazy("finds no node to run on"),
    "BackendNotFound": gettext_lazy("leads to a Service or port that does not exist"),
    "EvictionBlocked": gettext_lazy("keeps a node from being drained"),
    "RolloutPaused": gettext_lazy("is paused in the middle of a rollout"),
    "PodsStuckOnNode": gettext_lazy("lets its pods neither start nor end"),
    "ProvisioningFailed": gettext_lazy("waits for a volume that cannot be made"),
    "FailedBinding": gettext_lazy("waits for a volume that does not exist"),
    "ClaimLost": gettext_lazy("has lost its volume"),
    "FailedCreate": gettext_lazy("cannot create its pods"),
}

_ACTIONS: Mapping[str, Promise] = {
    "restart": pgettext_lazy("action", "restart"),
    "rollback": pgettext_lazy("action", "roll back"),
    "scale": pgettext_lazy("action", "scale"),
    "updateResources": pgettext_lazy("action", "change resources"),
    "updateConfig": pgettext_lazy("action", "change configuration"),
    "fixServiceSelector": pgettext_lazy("action", "fix the Service's selector"),
    "restartDependency": pgettext_lazy("action", "restart a dependency"),
    "isolate": pgettext_lazy("action", "isolate"),
    "release": pgettext_lazy("action", "release"),
    "pauseRollout": pgettext_lazy("action", "pause the rollout"),
    "resumeRollout": pgettext_lazy("action", "resume the rollout"),
    "cordon": pgettext_lazy("action", "cordon the node"),
    "uncordon": pgettext_lazy("action", "uncordon the node"),
    "evict": pgettext_lazy("action", "evict"),
    "restoreObject": pgettext_lazy("action", "put back as it was"),
    "recreateMissing": pgettext_lazy("action", "make again what was deleted"),
}

#: Codes of closed sets, as `humanize` writes them: phases, and how an event ends.
_CODES: Mapping[str, Promise] = {
    "Pending": pgettext_lazy("phase", "pending"),
    "Containing": pgettext_lazy("phase", "containing"),
    "Diagnosing": pgettext_lazy("phase", "diagnosing"),
    "Planning": pgettext_lazy("phase", "planning"),
    "AwaitingApproval": pgettext_lazy("phase", "awaiting approval"),
    "Healing": pgettext_lazy("phase", "healing"),
    "Verifying": pgettext_lazy("phase", "verifying"),
    "Learning": pgettext_lazy("phase", "learning"),
    "Completed": pgettext_lazy("phase", "completed"),
    "Failed": pgettext_lazy("phase", "failed"),
    "Escalated": pgettext_lazy("phase", "escalated"),
    "healed": pgettext_lazy("outcome", "healed"),
    "recovered": pgettext_lazy("outcome", "recovered"),
    "declined": pgettext_lazy("outcome", "declined"),
    "escalated": pgettext_lazy("outcome", "escalated"),
    "failed": pgettext_lazy("outcome", "failed"),
}


_WOUNDS: Mapping[Wound, Promise] = {
    Wound.CONTAINMENT: gettext_lazy("Containment"),
    Wound.DIAGNOSIS: gettext_lazy("Diagnosis"),
    Wound.METACOGNITION: gettext_lazy("MetaCognition"),
    Wound.KNOWLEDGE: gettext_lazy("Knowledge"),
}


def humanize(code: str) -> str:
    """``BadRolloutRevision`` -> ``bad rollout revision``; well-known abbreviations stay in capitals."""
    if code in _CODES:
        return str(_CODES[code])
    words = _WORD.findall(code)
    return " ".join(word if word in _KEPT else word.lower() for word in words) or code


def wound_words(wound: Wound) -> str:
    """One of the four phases as a heading."""
    return str(_WOUNDS[wound])


def capitalize(text: str) -> str:
    """The first letter in upper case, the rest untouched."""
    return text[:1].upper() + text[1:]


def symptom_words(code: str) -> str:
    """What is wrong, to follow the name of the workload."""
    known = _SYMPTOMS.get(code)
    return str(known) if known else _("shows %(symptom)s") % {"symptom": humanize(code)}


def action_words(name: str) -> str:
    """An action's name as a verb."""
    known = _ACTIONS.get(name)
    return str(known) if known else humanize(name)


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
        return _("%(seconds)s s") % {"seconds": f"{seconds:.1f}"}
    whole = round(seconds)
    if whole < 60:
        return _("%(seconds)s s") % {"seconds": whole}
    if whole < 3600:
        return _("%(minutes)s m %(seconds)s s") % {"minutes": whole // 60, "seconds": whole % 60}
    if whole < 86_400:
        return _("%(hours)s h %(minutes)s m") % {"hours": whole // 3600, "minutes": whole % 3600 // 60}
    return _("%(days)s d %(hours)s h") % {"days": whole // 86_400, "hours": whole % 86_400 // 3600}


def percent(fraction: float | None) -> str:
    """``0.916`` -> ``92 %``."""
    return "" if fraction is None else _("%(number)s %%") % {"number": round(fraction * 100)}


def sentence(text: str) -> str:
    """Trimmed, with a capital first letter and a full stop."""
    text = capitalize(" ".join(text.split()))
    return text if not text or text[-1] in ".!?" else f"{text}."


def blast_radius_words(radius: Mapping[str, Any]) -> list[str]:
    """A plan's blast radius (`healing.actions.base.BlastRadius` as JSON) in short sentences."""
    pods = int(radius.get("pods") or 0)
    words = [
        ngettext("Touches %(count)s pod.", "Touches %(count)s pods.", pods) % {"count": pods}
        if pods
        else _("Touches no pod.")
    ]
    ready, desired, remaining = (radius.get(k) for k in ("ready_replicas", "desired_replicas", "remaining_ready"))
    if ready is not None and desired is not None:
        text = ngettext(
            "%(ready)s of %(count)s replica ready now.", "%(ready)s of %(count)s replicas ready now.", desired
        )
        words.append(text % {"ready": ready, "count": desired})
    if remaining is not None:
        text = ngettext(
            "At least %(count)s stays ready while it runs.", "At least %(count)s stay ready while it runs.", remaining
        )
        words.append(text % {"count": remaining})
    if radius.get("disruption_budget"):
        words.append(_("Disruption budget: %(name)s.") % {"name": radius["disruption_budget"]})
    if radius.get("autoscaler"):
        words.append(_("The autoscaler %(name)s owns the replica count.") % {"name": radius["autoscaler"]})
    if radius.get("managed_by"):
        text = _("%(name)s also writes this object and may put the change back.")
        words.append(text % {"name": radius["managed_by"]})
    return words
