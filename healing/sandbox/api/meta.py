"""Small things every object needs: copies, times, names, owners."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from healing.sandbox.ports import Object

#: the alphabet of generated names (no vowels, so no words)
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_GENERATED_NAME_LENGTH = 63
_SUFFIX_LENGTH = 5


def clone(value: Any) -> Any:
    """A deep copy of JSON data, several times faster than `copy.deepcopy`."""
    if isinstance(value, dict):
        return {key: clone(item) if isinstance(item, (dict, list)) else item for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) if isinstance(item, (dict, list)) else item for item in value]
    return value


def timestamp(seconds: float) -> str:
    """RFC 3339 with whole seconds, as metav1.Time."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(seconds: float) -> str:
    """RFC 3339 with microseconds, as metav1.MicroTime."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_timestamp(text: str) -> float:
    """Seconds since the epoch; ValueError if it is no RFC 3339 time."""
    if "T" not in text:
        raise ValueError(f"not an RFC 3339 time: {text}")
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"a time without a zone: {text}")
    return parsed.timestamp()


def new_uid() -> str:
    return str(uuid.uuid4())


def random_suffix(length: int = _SUFFIX_LENGTH) -> str:
    return "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(length))


def generated_name(prefix: str) -> str:
    return prefix[: _GENERATED_NAME_LENGTH - _SUFFIX_LENGTH] + random_suffix()


def labels_of(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def owner_uids(obj: Mapping[str, Any]) -> list[str]:
    return [reference.get("uid", "") for reference in obj["metadata"].get("ownerReferences") or ()]


def controller_of(obj: Mapping[str, Any]) -> Object | None:
    """The owner reference with ``controller: true``."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return dict(reference)
    return None


def key_of(obj: Mapping[str, Any]) -> tuple[str, str]:
    """(namespace, name); the namespace of a cluster-scoped object is empty."""
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]
