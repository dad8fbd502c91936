"""The seal: each entry's hash covers its fields and the hash of the entry before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from healing.models import AuditEntry

#: What the first entry names as the hash before it.
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Break:
    """The first entry that does not fit, and why."""

    seq: int
    says: str


def content(entry: AuditEntry) -> dict[str, Any]:
    """What the seal covers, and what is exported: plain JSON, times in UTC with microseconds."""
    return {
        "seq": entry.seq,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "action": entry.action,
        "actorKind": str(entry.actor_kind),
        "actor": entry.actor,
        "actorId": entry.actor_id,
        "address": entry.address,
        "target": entry.target,
        "cluster": entry.cluster,
        "namespace": entry.namespace,
        "before": entry.before,
        "after": entry.after,
        "data": entry.data,
        "previousHash": entry.previous_hash,
    }


def seal(entry: AuditEntry) -> str:
    """SHA-256 over the canonical JSON of `content`: sorted keys, no spaces, UTF-8."""
    text = json.dumps(content(entry), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def first_break(entries: Iterable[AuditEntry], *, seq: int = 0, previous_hash: str = GENESIS) -> Break | None:
    """Walk entries in order of ``seq``, from the one after ``seq``; the first that was changed, removed or put in."""
    for entry in entries:
        if entry.seq != seq + 1:
            return Break(entry.seq, f"entry {seq + 1} is missing: after {seq} comes {entry.seq}")
        if entry.previous_hash != previous_hash:
            return Break(entry.seq, f"entry {entry.seq} does not follow the one before it: that one was exchanged")
        if entry.hash != seal(entry):
            return Break(entry.seq, f"entry {entry.seq} was changed after it was written")
        seq, previous_hash = entry.seq, entry.hash
    return None
