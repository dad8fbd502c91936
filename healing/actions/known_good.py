"""What a ConfigMap's key held before it was lost, and who says so.

Sources, surest first: the configuration that somebody applied (kubectl keeps it on the object); what was seen before
(`healing.models.KnownState`); the same key in a sibling of the same family (``shop-config-v1`` beside
``shop-config-v2``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from healing.actions.reading import list_if_allowed
from healing.models import KnownState
from healing.ports.cluster import Cluster, Object

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
#: How a family of ConfigMaps tells its generations apart: ``-v2``, ``-20260101``, ``-7f9c8d``.
_SUFFIX = re.compile(r"-(v?\d+|[a-z0-9]{5,10})$")


@dataclass(frozen=True, slots=True)
class KnownValue:
    """``is_same_object``: the value is this object's own, not a relative's."""

    value: str
    source: str
    is_same_object: bool


def value_of(cluster: Cluster, config_map: Object, key: str, *, timeout_seconds: float) -> KnownValue | None:
    """The last known value that is not the present one, or None where nobody remembers. Raises
    `healing.ports.errors`."""
    return (
        _last_applied(config_map, key) or _seen(config_map, key) or _sibling(cluster, config_map, key, timeout_seconds)
    )


def _last_applied(config_map: Object, key: str) -> KnownValue | None:
    raw = (config_map["metadata"].get("annotations") or {}).get(_LAST_APPLIED)
    try:
        data = json.loads(raw)["data"] if raw else {}
        value = data.get(key)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # an annotation anyone may write: what cannot be read says nothing
    if not isinstance(value, str) or value == (config_map.get("data") or {}).get(key):
        return None
    return KnownValue(value, "what was last applied", is_same_object=True)


def _seen(config_map: Object, key: str) -> KnownValue | None:
    for known in KnownState.objects.filter(uid=config_map["metadata"]["uid"]).order_by("-last_seen_at"):
        data = known.state.get("data") or {}
        if key in data and data[key] != (config_map.get("data") or {}).get(key):
            when = f"{known.last_seen_at:%Y-%m-%d %H:%M:%S} UTC"
            return KnownValue(data[key], f"what it held when seen at {when}", is_same_object=True)
    return None


def _sibling(cluster: Cluster, config_map: Object, key: str, timeout_seconds: float) -> KnownValue | None:
    meta = config_map["metadata"]
    family = _SUFFIX.sub("", meta["name"])
    relatives = [
        other
        for other in list_if_allowed(cluster, "ConfigMap", meta["namespace"], timeout_seconds=timeout_seconds) or ()
        if other["metadata"]["name"] != meta["name"]
        and _SUFFIX.sub("", other["metadata"]["name"]) == family
        and (other.get("data") or {}).get(key) not in (None, (config_map.get("data") or {}).get(key))
    ]
    if not relatives:
        return None
    newest = max(relatives, key=lambda o: str(o["metadata"].get("creationTimestamp", "")))
    return KnownValue(newest["data"][key], f"ConfigMap {newest['metadata']['name']}", is_same_object=False)
