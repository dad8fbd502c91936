"""What an analyzer answers: a suspected cause with the observations that speak for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from healing.diagnosis import reading as r
from healing.diagnosis.objects import Event
from healing.findings import Evidence, EvidenceKind
from healing.ports.cluster import ObjectRef
from healing.redaction import redact

#: Longer observations are cut; a stack trace of usual length fits.
MAX_TEXT = 4000


@dataclass(slots=True)
class Hypothesis:
    """``strength`` 0..1: how well the observations prove the cause, before other hypotheses are weighed against it.

    ``affected``: objects whose trouble this would explain. ``blames``: where the trouble comes from if the cause
    lies elsewhere (a caller that cannot reach its database blames the database's Service).
    """

    cause: str
    object: ObjectRef
    strength: float
    explanation: str
    evidence: list[Evidence] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    affected: set[ObjectRef] = field(default_factory=set)
    blames: set[ObjectRef] = field(default_factory=set)
    #: when it began, as far as known
    since: datetime | None = None
    confidence: float = 0.0
    explained_by: list[Hypothesis] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, ObjectRef]:
        """Same cause of the same object: one hypothesis."""
        return (self.cause, bare(self.object))


def bare(ref: ObjectRef) -> ObjectRef:
    """The reference without its uid: what sets and comparisons use."""
    return ObjectRef(ref.kind, ref.namespace, ref.name) if ref.uid else ref


def evidence(
    kind: EvidenceKind,
    title: str,
    text: str = "",
    *,
    obj: ObjectRef | None = None,
    source: str = "kubernetes",
    at: datetime | None = None,
    link: str = "",
    data: dict[str, Any] | None = None,
) -> Evidence:
    """An observation, redacted and cut, with an id made of its content: the same observation twice is one."""
    text = redact(text.strip())
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT - 20].rstrip() + "\n… (cut)"
    title = redact(title)
    basis = "\0".join((kind, title, text, str(obj or "")))
    return Evidence(
        id="e-" + hashlib.sha256(basis.encode()).hexdigest()[:10],
        kind=kind,
        source=source,
        title=title,
        text=text,
        object=obj,
        at=r.iso(at),
        link=link,
        data=data or {},
    )


def of_event(event: Event) -> Evidence:
    """A cluster event as evidence."""
    times = f" ({event.count} times)" if event.count > 1 else ""
    title = f"{event.reason} on {event.object.kind} {event.object.name}{times}"
    return evidence("event", title, event.message, obj=bare(event.object), at=event.last, data={"count": event.count})
