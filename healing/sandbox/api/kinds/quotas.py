"""ResourceQuotas and LimitRanges."""

from __future__ import annotations

from healing.sandbox.api.errors import Cause, invalid_value
from healing.sandbox.api.kinds.podspec import canonicalize
from healing.sandbox.api.quantity import parse_quantity
from healing.sandbox.ports import Object


def default_quota(obj: Object) -> None:
    canonicalize((obj.get("spec") or {}).get("hard"))


def check_quota(obj: Object) -> list[Cause]:
    causes = []
    for name, value in ((obj.get("spec") or {}).get("hard") or {}).items():
        path = f"spec.hard[{name}]"
        try:
            amount = parse_quantity(str(value))
        except ValueError as error:
            causes.append(invalid_value(path, value, str(error)))
            continue
        if amount < 0:
            causes.append(invalid_value(path, value, "must be greater than or equal to 0"))
        if "/" not in name and not _is_quota_name(name):
            causes.append(invalid_value(path, name, "must be a standard resource for quota"))
    return causes


_QUOTA_NAMES = frozenset(
    "cpu memory ephemeral-storage requests.cpu requests.memory requests.storage requests.ephemeral-storage limits.cpu "
    "limits.memory limits.ephemeral-storage pods services services.nodeports services.loadbalancers "
    "replicationcontrollers resourcequotas secrets configmaps persistentvolumeclaims".split()
)


def _is_quota_name(name: str) -> bool:
    return name in _QUOTA_NAMES or name.startswith(("requests.hugepages-", "hugepages-", "count."))


def default_limit_range(obj: Object) -> None:
    for item in (obj.get("spec") or {}).get("limits") or ():
        for field in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
            canonicalize(item.get(field))
        if item.get("type") != "Container":
            continue
        # What is allowed at most is the default limit; the default limit is the default request.
        for name, value in (item.get("max") or {}).items():
            item.setdefault("default", {}).setdefault(name, value)
        for name, value in (item.get("default") or {}).items():
            if name not in (item.get("defaultRequest") or {}):
                minimum = (item.get("min") or {}).get(name)
                item.setdefault("defaultRequest", {})[name] = minimum or value
