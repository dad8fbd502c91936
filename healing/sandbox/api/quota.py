"""What ResourceQuotas count: usage of a namespace, and what one object adds to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

from healing.sandbox.api.kinds.pods import qos_class
from healing.sandbox.api.quantity import format_quantity, is_binary, parse_quantity
from healing.sandbox.ports import Object

if TYPE_CHECKING:
    from healing.sandbox.ports import Cluster

Amounts = dict[str, Fraction]

#: quota names that count objects, by table
_COUNTED = {
    "services": "services",
    "configmaps": "configmaps",
    "secrets": "secrets",
    "persistentvolumeclaims": "persistentvolumeclaims",
    "resourcequotas": "resourcequotas",
    "replicationcontrollers": "replicationcontrollers",
}
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_ZERO = Fraction(0)


def is_finished(pod: Object) -> bool:
    """A pod that runs no more does not count."""
    return (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")


def pod_resources(pod: Object, kind: str) -> Amounts:
    """The pod's ``requests`` or ``limits``: the sum of its containers, or its largest init container if more."""
    spec = pod.get("spec") or {}
    total: Amounts = {}
    for container in spec.get("containers") or ():
        for name, value in ((container.get("resources") or {}).get(kind) or {}).items():
            total[name] = total.get(name, _ZERO) + parse_quantity(value)
    largest: Amounts = {}
    for container in spec.get("initContainers") or ():
        for name, value in ((container.get("resources") or {}).get(kind) or {}).items():
            if container.get("restartPolicy") == "Always":
                total[name] = total.get(name, _ZERO) + parse_quantity(value)
            else:
                largest[name] = max(largest.get(name, _ZERO), parse_quantity(value))
    for name, amount in largest.items():
        total[name] = max(total.get(name, _ZERO), amount)
    for name, value in (spec.get("overhead") or {}).items():
        if name in total:
            total[name] += parse_quantity(value)
    return total


def object_usage(storage: str, obj: Object) -> Amounts:
    """What one object counts for, by quota name."""
    plural, _, group = storage.partition(".")
    usage: Amounts = {f"count/{plural}.{group}" if group else f"count/{plural}": Fraction(1)}
    if storage in _COUNTED:
        usage[_COUNTED[storage]] = Fraction(1)
    spec = obj.get("spec") or {}
    if storage == "pods":
        if is_finished(obj):
            return usage
        usage["pods"] = Fraction(1)
        requests, limits = pod_resources(obj, "requests"), pod_resources(obj, "limits")
        for name, amount in requests.items():
            usage[f"requests.{name}"] = amount
            if name in _COMPUTE:
                usage[name] = amount
        for name, amount in limits.items():
            usage[f"limits.{name}"] = amount
    elif storage == "services":
        if spec.get("type") == "LoadBalancer":
            usage["services.loadbalancers"] = Fraction(1)
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            usage["services.nodeports"] = Fraction(len(spec.get("ports") or ()))
    elif storage == "persistentvolumeclaims":
        size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
        if size:
            usage["requests.storage"] = parse_quantity(size)
            storage_class = spec.get("storageClassName")
            if storage_class:
                usage[f"{storage_class}.storageclass.storage.k8s.io/requests.storage"] = parse_quantity(size)
                usage[f"{storage_class}.storageclass.storage.k8s.io/persistentvolumeclaims"] = Fraction(1)
    return usage


def in_scope(quota: Object, storage: str, obj: Object) -> bool:
    """Does the quota, with its scopes, speak of this object?"""
    spec = quota.get("spec") or {}
    conditions = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    conditions += ((spec.get("scopeSelector") or {}).get("matchExpressions")) or ()
    if not conditions:
        return True
    return storage == "pods" and all(_scope_matches(condition, obj) for condition in conditions)


def _scope_matches(condition: Mapping[str, object], pod: Object) -> bool:
    spec = pod.get("spec") or {}
    name, operator = condition["scopeName"], condition.get("operator")
    if name == "PriorityClass":
        mine = spec.get("priorityClassName") or ""
        values = condition.get("values") or ()
        if operator == "Exists":
            return bool(mine)
        if operator == "DoesNotExist":
            return not mine
        listed = mine in values  # type: ignore[operator]
        return listed if operator == "In" else not listed
    holds = {
        "Terminating": spec.get("activeDeadlineSeconds") is not None,
        "NotTerminating": spec.get("activeDeadlineSeconds") is None,
        "BestEffort": qos_class(spec) == "BestEffort",
        "NotBestEffort": qos_class(spec) != "BestEffort",
    }
    return holds.get(str(name), False)


def tables_for(names: Iterable[str]) -> set[str]:
    """The tables whose objects the quota names count."""
    tables: set[str] = set()
    for name in names:
        if name.startswith("count/"):
            tables.add(name.removeprefix("count/"))
        elif name in _COUNTED:
            tables.add(_COUNTED[name])
        elif name.startswith("services."):
            tables.add("services")
        elif name.endswith(("requests.storage", "persistentvolumeclaims")):
            tables.add("persistentvolumeclaims")
        else:
            tables.add("pods")
    return tables


def quota_usage(cluster: Cluster, namespace: str, quota: Object) -> dict[str, str]:
    """Usage of each of the quota's ``hard`` names, as quantities; the quota controller's ``status.used``."""
    hard = (quota.get("spec") or {}).get("hard") or {}
    used = usage_amounts(cluster, namespace, quota)
    return {name: show(used[name], str(limit)) for name, limit in hard.items()}


def usage_amounts(cluster: Cluster, namespace: str, quota: Object) -> Amounts:
    hard = (quota.get("spec") or {}).get("hard") or {}
    used: Amounts = dict.fromkeys(hard, _ZERO)
    for table in tables_for(hard):
        for obj in cluster.list(table, namespace):
            if not in_scope(quota, table, obj):
                continue
            for name, amount in object_usage(table, obj).items():
                if name in used:
                    used[name] += amount
    return used


def show(amount: Fraction, like: str) -> str:
    """``amount`` as a quantity, in binary units if ``like`` has them."""
    return format_quantity(amount, binary=is_binary(like) or (amount % 1024 == 0 and amount >= 1024))
