"""What a ConfigMap's key held before it was lost, and who says so.

Sources, surest first: the configuration that somebody applied (kubectl keeps it on the object); what was seen before
(`healing.models.KnownConfig`); the same key in a sibling of the same family (``shop-config-v1`` beside
``shop-config-v2``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.utils import timezone

from healing.actions.reading import list_if_allowed
from healing.models import KnownConfig, Policy
from healing.ports import Ports
from healing.ports.cluster import Cluster, Object
from healing.ports.errors import SourceError, Unavailable

log = structlog.get_logger(__name__)

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
    for known in KnownConfig.objects.filter(uid=config_map["metadata"]["uid"]).order_by("-seen_at"):
        if key in known.data and known.data[key] != (config_map.get("data") or {}).get(key):
            when = f"{known.seen_at:%Y-%m-%d %H:%M:%S} UTC"
            return KnownValue(known.data[key], f"what it held when seen at {when}", is_same_object=True)
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


#: Bigger ConfigMaps hold files, not settings.
_MAX_BYTES = 64 * 1024
_KEPT = 5


def remember(cluster_name: str, config_map: Object, seen_at: datetime) -> bool:
    """Keep what a ConfigMap holds now (see `remember_all`). True: it was new."""
    meta, data = config_map["metadata"], config_map.get("data") or {}
    text = json.dumps(data, sort_keys=True)
    if not data or len(text) > _MAX_BYTES or meta["name"] == "kube-root-ca.crt":
        return False
    digest = hashlib.sha256(text.encode()).hexdigest()
    known, is_new = KnownConfig.objects.update_or_create(
        uid=meta["uid"],
        digest=digest,
        defaults={
            "cluster": cluster_name,
            "namespace": meta["namespace"],
            "name": meta["name"],
            "data": data,
            "seen_at": seen_at,
        },
    )
    if is_new:
        old = KnownConfig.objects.filter(uid=known.uid).order_by("-seen_at").values_list("pk", flat=True)[_KEPT:]
        KnownConfig.objects.filter(pk__in=list(old)).delete()
    return is_new


def clusters_to_remember() -> set[str]:
    """Clusters that have an enabled policy."""
    return set(Policy.objects.filter(enabled=True).values_list("cluster", flat=True).distinct())


def remember_all(get_ports: Callable[[str], Ports], cluster_name: str, *, timeout_seconds: float = 5.0) -> int:
    """Keep what the ConfigMaps of all enabled policies' namespaces hold, in one cluster; returns how many had changed.

    What cannot be read is left for the next time."""
    now, changed = timezone.now(), 0
    wanted = {
        namespace
        for policy in Policy.objects.filter(enabled=True, cluster=cluster_name)
        for namespace in policy.parsed().target_namespaces
    }
    for namespace in sorted(wanted):
        try:
            cluster = get_ports(cluster_name).cluster
            found = cluster.list("ConfigMap", namespace, timeout_seconds=timeout_seconds).items
        except Unavailable as error:
            log.info("configuration not remembered", cluster=cluster_name, error=str(error))
            break  # it does not answer: the other namespaces would only cost time
        except (LookupError, SourceError) as error:
            log.info("configuration not remembered", cluster=cluster_name, namespace=namespace, error=str(error))
            continue
        changed += sum([remember(cluster_name, config_map, now) for config_map in found])
    return changed
