"""What ReCiSt has to be allowed in a cluster, from the code that does it: the shipped Role is made of this.

Needs are (verb, kind) pairs as the actions declare them; "evict" and "log" are verbs on a Pod, `Kind/status` is a
subresource. A Secret is never among them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from healing.actions import registry
from healing.cluster.kinds import KINDS
from healing.detection.watcher import WATCHED_KINDS
from healing.diagnosis.collect.live import CLUSTER_WIDE, NAMESPACED
from healing.mirror import KIND as EVENT
from healing.policies.spec import ActionName
from healing.policy_changes.resource import KIND as POLICY

_SUBRESOURCES = {"evict": ("create", "eviction"), "log": ("get", "log")}
# As `kubectl get clusterrole` users expect them.
_VERBS = ("get", "list", "watch", "create", "patch", "delete")
#: (verb, kind) the watcher's election needs, in our own namespace alone
LEASE = (("get", "Lease"), ("create", "Lease"), ("patch", "Lease"))


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One verb on one resource type. ``resource`` is a plural, perhaps with a subresource: ``pods/log``."""

    group: str
    resource: str
    verb: str
    #: the kind it is about, and the subresource
    kind: str
    subresource: str = ""

    @classmethod
    def of(cls, verb: str, kind: str) -> Permission:
        verb, subresource = _SUBRESOURCES.get(verb, (verb, ""))
        kind, _, named = kind.partition("/")
        subresource = subresource or named
        known = KINDS[kind]
        resource = f"{known.plural}/{subresource}" if subresource else known.plural
        return cls(known.group, resource, verb, kind, subresource)

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"


def cluster_wide() -> frozenset[Permission]:
    """Needed in every namespace that a policy may name."""
    return reading() | ours() | of_actions()


def reading() -> frozenset[Permission]:
    """What detection and diagnosis look at; with `ours`, all that an installation which heals nothing needs."""
    pairs = {("watch", kind) for kind in (*WATCHED_KINDS, POLICY)}
    # Whoever may list may as well get: a list shows it all.
    pairs |= {(verb, kind) for verb in ("get", "list") for kind in (*WATCHED_KINDS, *NAMESPACED, *CLUSTER_WIDE, POLICY)}
    pairs.add(("log", "Pod"))
    return frozenset(Permission.of(*pair) for pair in pairs)


def ours() -> frozenset[Permission]:
    """Writing our own resources: what kubectl shows of events and policies."""
    # Policies are made and edited in the admin site too.
    pairs = {(verb, POLICY) for verb in ("create", "patch", "delete")}
    pairs |= {("patch", f"{POLICY}/status"), ("create", EVENT), ("patch", f"{EVENT}/status")}
    # What retention forgets is looked at first: it may be somebody else's.
    pairs |= {("get", EVENT), ("delete", EVENT)}
    return frozenset(Permission.of(*pair) for pair in pairs)


def of_actions(*names: ActionName) -> frozenset[Permission]:
    """What these actions, or all of them, need beyond `reading`."""
    pairs = {
        pair for name, action in registry.REGISTRY.items() if not names or name in names for pair in action.permissions
    }
    return frozenset(Permission.of(*pair) for pair in pairs) - reading()


def chart_rules() -> dict[str, Any]:
    """What the chart's roles are put together from; what has no namespace apart, as a Role cannot grant it."""
    return {
        "reading": _by_scope(reading()),
        "ours": _by_scope(ours()),
        "allActions": _by_scope(of_actions()),
        "actions": {str(name): _by_scope(of_actions(name)) for name in sorted(registry.REGISTRY)},
        "ownNamespace": rules(own_namespace()),
    }


def _by_scope(permissions: Iterable[Permission]) -> dict[str, list[dict[str, list[str]]]]:
    permissions = frozenset(permissions)
    namespaced = frozenset(entry for entry in permissions if KINDS[entry.kind].namespaced)
    return {"namespaced": rules(namespaced), "cluster": rules(permissions - namespaced)}


def uses_of(permission: Permission) -> frozenset[str]:
    """What needs it, in words: actions by their names, else what is read for."""
    found = {
        str(name)
        for name, action in registry.REGISTRY.items()
        if any(Permission.of(*pair) == permission for pair in action.permissions)
    }
    if permission.verb in ("get", "list", "watch") and permission.kind in (*WATCHED_KINDS, POLICY):
        found.add("detection")
    if permission.verb in ("get", "list") and permission.kind in (*NAMESPACED, *CLUSTER_WIDE):
        found.add("evidence of diagnoses")
    if permission.kind == EVENT or (permission.kind == POLICY and permission.verb == "patch"):
        found.add("what kubectl shows of events and policies")
    return frozenset(found or {"evidence of diagnoses"})


def own_namespace() -> frozenset[Permission]:
    """Needed in ReCiSt's own namespace only."""
    return frozenset(Permission.of(*pair) for pair in LEASE)


def rules(permissions: Iterable[Permission]) -> list[dict[str, list[str]]]:
    """As few RBAC rules as say exactly this, in a stable order: what is read first, then what is changed."""
    verbs: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for permission in permissions:
        verbs[permission.group, permission.resource].add(permission.verb)
    resources: defaultdict[tuple[tuple[str, ...], str], set[str]] = defaultdict(set)
    for (group, resource), these in verbs.items():
        for part in ("get", "list", "watch"), ("create", "patch", "delete"):
            if chosen := tuple(verb for verb in part if verb in these):
                resources[chosen, group].add(resource)
    return [
        {"apiGroups": [group], "resources": sorted(names), "verbs": list(chosen)}
        for (chosen, group), names in sorted(
            resources.items(), key=lambda entry: ([_VERBS.index(verb) for verb in entry[0][0]], entry[0][1])
        )
    ]
