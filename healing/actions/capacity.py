"""Whether the namespace and the nodes have room for what an action asks for."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from healing.actions import quantities
from healing.actions.base import CannotPlan
from healing.actions.reading import condition, list_if_allowed
from healing.ports.cluster import Cluster

#: ``requests.cpu`` -> cores, ``limits.memory`` -> bytes, as ResourceQuota names them
Needs = dict[str, Decimal]


def container_needs(resources: Mapping[str, Any] | None) -> Needs:
    """What one container asks for; a missing request is its limit."""
    requests = (resources or {}).get("requests") or {}
    limits = (resources or {}).get("limits") or {}
    needs: Needs = {}
    for resource in ("cpu", "memory"):
        if resource in limits:
            needs[f"limits.{resource}"] = quantities.parse(limits[resource])
        if resource in requests or resource in limits:
            needs[f"requests.{resource}"] = quantities.parse(
                requests[resource] if resource in requests else limits[resource]
            )
    return needs


def pod_needs(pod_spec: Mapping[str, Any]) -> Needs:
    """What one pod asks for, all containers together."""
    total: Needs = {}
    for container in pod_spec.get("containers") or ():
        for name, value in container_needs(container.get("resources")).items():
            total[name] = total.get(name, Decimal(0)) + value
    return total


def times(needs: Needs, count: int) -> Needs:
    """For that many pods."""
    return {name: value * count for name, value in needs.items()}


def check_quota(
    cluster: Cluster, namespace: str, more: Needs, *, pods: int = 0, freed_first: bool = False, timeout_seconds: float
) -> None:
    """Raise `CannotPlan` if a ResourceQuota has no room for ``more`` (and ``pods`` more pods).

    ``freed_first``: they take the place of others that ask for as much and go before: that fails only where more is
    used already than is allowed."""
    wanted = {**more, "pods": Decimal(pods)}
    for name in ("cpu", "memory"):  # a bare "cpu" in a quota means requests
        if f"requests.{name}" in more:
            wanted[name] = more[f"requests.{name}"]
    for quota in list_if_allowed(cluster, "ResourceQuota", namespace, timeout_seconds=timeout_seconds) or ():
        status = quota.get("status") or {}
        for name, hard in (status.get("hard") or {}).items():
            if wanted.get(name, Decimal(0)) <= 0:
                continue
            used = quantities.parse((status.get("used") or {}).get(name, "0"))
            if used + (0 if freed_first else wanted[name]) > quantities.parse(hard):
                raise CannotPlan(
                    f"ResourceQuota {quota['metadata']['name']} has no room: {name} is limited to {hard}, "
                    f"{(status.get('used') or {}).get(name, '0')} is used."
                )


def check_limit_range(
    cluster: Cluster, namespace: str, resources: Mapping[str, Any], *, pod: Needs | None = None, timeout_seconds: float
) -> None:
    """Raise `CannotPlan` if a LimitRange forbids a container with these ``resources``, or a pod that needs ``pod`` in
    all: the API server says so only when the pods are made."""
    asked = container_needs(resources)
    for limit_range in list_if_allowed(cluster, "LimitRange", namespace, timeout_seconds=timeout_seconds) or ():
        for rule in limit_range["spec"].get("limits") or ():
            needs = {"Container": asked, "Pod": pod or {}}.get(str(rule.get("type")), {})
            if problem := _against(rule, needs):
                kind = str(rule["type"]).lower()
                raise CannotPlan(f"LimitRange {limit_range['metadata']['name']} allows {problem} a {kind}.")


def _against(rule: Mapping[str, Any], needs: Needs) -> str:
    """What the rule allows, in words, where the needs are beyond it; empty: they are within."""
    for resource in ("cpu", "memory"):
        limit, request = needs.get(f"limits.{resource}"), needs.get(f"requests.{resource}")
        most, least = (rule.get(bound, {}).get(resource) for bound in ("max", "min"))
        if most is not None and any(n is not None and n > quantities.parse(most) for n in (limit, request)):
            return f"at most {most} {resource}"
        if least is not None and any(n is not None and n < quantities.parse(least) for n in (limit, request)):
            return f"no less than {least} {resource}"
        ratio = rule.get("maxLimitRequestRatio", {}).get(resource)
        if ratio is not None and limit and request and limit > request * quantities.parse(ratio):
            return f"a limit of at most {ratio} times the request of {resource}"
    return ""


def check_nodes(cluster: Cluster, needs: Needs, *, timeout_seconds: float) -> None:
    """Raise `CannotPlan` if no ready, schedulable node is big enough for one such pod."""
    nodes = list_if_allowed(cluster, "Node", "", timeout_seconds=timeout_seconds)
    usable = [n for n in nodes or () if condition(n, "Ready") == "True" and not n["spec"].get("unschedulable")]
    if nodes is None or not usable:
        return  # we cannot know, or there is a bigger problem than this
    for resource in ("cpu", "memory"):
        asked = needs.get(f"requests.{resource}")
        sizes = [quantities.parse(n["status"]["allocatable"][resource]) for n in usable]
        if asked is not None and asked > max(sizes):
            raise CannotPlan(
                f"No node is big enough: a pod would ask for {quantities.of_resource(resource, asked)} "
                f"{resource}, the biggest node offers {quantities.of_resource(resource, max(sizes))}."
            )
