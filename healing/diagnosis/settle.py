"""What would settle a diagnosis that is not sure: sources that were not seen, and what tells the first two apart."""

from __future__ import annotations

from collections.abc import Mapping

from healing.diagnosis.catalogue import CAUSES
from healing.diagnosis.hypothesis import Hypothesis

#: From here on nobody has to look for more.
SURE = 0.75
#: So near to the first, the second is a rival.
_RIVAL = 0.15
_SOURCE_WORDS = {
    "logs": "logs of {name} and of what it calls, also of the container's last run",
    "metrics": "metrics of {name}: CPU, memory, requests, now and an hour before",
    "events": "events of namespace {namespace}",
    "history": "revisions of {name}: its ReplicaSets or ControllerRevisions",
}
#: missing source -> the catalogue's word for what it gives
GIVES = {"metrics": "metrics", "logs": "logs", "events": "events", "kubernetes ReplicaSet": "history"}
_MOST = 4


def would_settle(ranked: list[Hypothesis], missing: Mapping[str, str]) -> tuple[str, ...]:
    """For people, the most useful first; empty where the first hypothesis is sure."""
    if not ranked or ranked[0].confidence >= SURE:
        return ()
    best = ranked[0]
    lacking = {GIVES[source] for source in missing if source in GIVES}
    found = []
    for source in ("logs", "metrics", "events", "history"):
        if source in lacking:
            words = _SOURCE_WORDS[source].format(
                name=best.object.name, namespace=best.object.namespace or "kube-system"
            )
            found.append(f"Not seen: {words}.")
    rivals = [h for h in ranked[1:4] if best.confidence - h.confidence <= _RIVAL and not h.explained_by]
    found += [
        f"{rival.cause} of {rival.object.kind} {rival.object.name} is nearly as likely. It shows in: "
        f"{CAUSES[rival.cause].evidence}"
        for rival in rivals[:1]
    ]
    found.append(f"{best.cause} is proven by: {CAUSES[best.cause].evidence}")
    return tuple(dict.fromkeys(found))[:_MOST]
