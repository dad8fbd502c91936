"""Budgets, policies, leases, autoscalers, roles, classes."""

from __future__ import annotations

import ipaddress
from typing import Any

from healing.sandbox.api.errors import Cause, invalid_value, not_supported, required
from healing.sandbox.api.validation import check_labels
from healing.sandbox.ports import Object

_NOT_NEGATIVE = "must be greater than or equal to 0"
_POSITIVE = "must be greater than 0"


def prepare_budget(obj: Object) -> None:
    obj["status"] = {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}


def check_budget(obj: Object) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes: list[Cause] = []
    minimum, maximum = spec.get("minAvailable"), spec.get("maxUnavailable")
    if minimum is not None and maximum is not None:
        shown = {
            "MinAvailable": minimum,
            "Selector": spec.get("selector"),
            "MaxUnavailable": maximum,
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
        }
        causes.append(invalid_value("spec", shown, "minAvailable and maxUnavailable cannot be both set"))
    for field, value in (("minAvailable", minimum), ("maxUnavailable", maximum)):
        causes += _count_or_percent(value, f"spec.{field}")
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy not in (None, "AlwaysAllow", "IfHealthyBudget"):
        causes.append(not_supported("spec.unhealthyPodEvictionPolicy", policy, ("AlwaysAllow", "IfHealthyBudget")))
    return causes


def _count_or_percent(value: Any, path: str) -> list[Cause]:
    if isinstance(value, int) and not isinstance(value, bool):
        return [invalid_value(path, value, _NOT_NEGATIVE)] if value < 0 else []
    if isinstance(value, str):
        digits = value.removesuffix("%")
        if not value.endswith("%") or not digits.isdigit():
            return [
                invalid_value(
                    path,
                    value,
                    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
                    "regex used for validation is '[0-9]+%')",
                )
            ]
        if int(digits) > 100:
            return [invalid_value(path, value, "must not be greater than 100%")]
    return []


def default_network_policy(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for field in ("ingress", "egress"):
        for rule in spec.get(field) or ():
            for port in (rule or {}).get("ports") or ():
                port.setdefault("protocol", "TCP")


def check_network_policy(obj: Object) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = check_labels((spec.get("podSelector") or {}).get("matchLabels"), "spec.podSelector.matchLabels")
    for field, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(field) or ()):
            for number, peer in enumerate((rule or {}).get(peers) or ()):
                causes += _check_peer(peer, f"spec.{field}[{index}].{peers}[{number}]")
    for index, kind in enumerate(spec.get("policyTypes") or ()):
        if kind not in ("Ingress", "Egress"):
            causes.append(not_supported(f"spec.policyTypes[{index}]", kind, ("Ingress", "Egress")))
    return causes


def _check_peer(peer: Object, path: str) -> list[Cause]:
    if not peer:
        return [required(path, "must specify a peer")]
    block = peer.get("ipBlock")
    if block is None:
        return []
    cidr = block.get("cidr") or ""
    try:
        ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return [
            invalid_value(
                f"{path}.ipBlock.cidr", cidr, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            )
        ]
    return []


def default_ingress(obj: Object) -> None:
    for rule in (obj.get("spec") or {}).get("rules") or ():
        for path in ((rule or {}).get("http") or {}).get("paths") or ():
            path.setdefault("path", "/")


def prepare_ingress(obj: Object) -> None:
    obj["status"] = {"loadBalancer": {}}


def check_ingress(obj: Object) -> list[Cause]:
    spec = obj.get("spec") or {}
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        return [invalid_value("spec", spec.get("rules"), "either `defaultBackend` or `rules` must be specified")]
    causes = []
    for index, rule in enumerate(spec.get("rules") or ()):
        for number, path in enumerate(((rule or {}).get("http") or {}).get("paths") or ()):
            kind = path.get("pathType")
            if kind not in ("Exact", "Prefix", "ImplementationSpecific"):
                where = f"spec.rules[{index}].http.paths[{number}].pathType"
                causes.append(
                    required(where, "pathType must be specified")
                    if not kind
                    else not_supported(where, kind, ("Exact", "ImplementationSpecific", "Prefix"))
                )
    return causes


def check_lease(obj: Object) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = []
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if isinstance(duration, int) and duration <= 0:
        causes.append(invalid_value("spec.leaseDurationSeconds", duration, _POSITIVE))
    if isinstance(transitions, int) and transitions < 0:
        causes.append(invalid_value("spec.leaseTransitions", transitions, _NOT_NEGATIVE))
    return causes


def default_autoscaler(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def prepare_autoscaler(obj: Object) -> None:
    obj["status"] = {"desiredReplicas": 0, "currentMetrics": None}


def check_autoscaler(obj: Object) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = []
    minimum, maximum = spec.get("minReplicas", 1), spec.get("maxReplicas") or 0
    if minimum < 1:
        causes.append(invalid_value("spec.minReplicas", minimum, "must be greater than or equal to 1"))
    if maximum < 1:
        causes.append(invalid_value("spec.maxReplicas", maximum, _POSITIVE))
    elif maximum < minimum:
        causes.append(invalid_value("spec.maxReplicas", maximum, "must be greater than or equal to `minReplicas`"))
    target = spec.get("scaleTargetRef") or {}
    causes.extend(required(f"spec.scaleTargetRef.{field}") for field in ("kind", "name") if not target.get(field))
    return causes


def default_binding(obj: Object) -> None:
    reference = obj.get("roleRef")
    if reference is not None:
        reference.setdefault("apiGroup", "rbac.authorization.k8s.io")
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", "rbac.authorization.k8s.io")


def check_binding(obj: Object) -> list[Cause]:
    causes = []
    reference = obj.get("roleRef") or {}
    kinds = ("ClusterRole",) if obj.get("kind") == "ClusterRoleBinding" else ("Role", "ClusterRole")
    if reference.get("kind") not in kinds:
        causes.append(not_supported("roleRef.kind", reference.get("kind", ""), kinds))
    if not reference.get("name"):
        causes.append(required("roleRef.name"))
    for index, subject in enumerate(obj.get("subjects") or ()):
        path = f"subjects[{index}]"
        if not subject.get("name"):
            causes.append(required(f"{path}.name"))
        if subject.get("kind") not in ("ServiceAccount", "User", "Group"):
            causes.append(not_supported(f"{path}.kind", subject.get("kind", ""), ("ServiceAccount", "User", "Group")))
        elif subject["kind"] == "ServiceAccount" and not subject.get("namespace"):
            causes.append(required(f"{path}.namespace"))
    return causes


def check_binding_update(new: Object, old: Object) -> list[Cause]:
    if new.get("roleRef") == old.get("roleRef"):
        return []
    return [invalid_value("roleRef", new.get("roleRef"), "cannot change roleRef")]


def check_role(obj: Object) -> list[Cause]:
    causes = []
    for index, rule in enumerate(obj.get("rules") or ()):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            causes.append(required(f"{path}.verbs", "verbs must contain at least one value"))
        if not rule.get("nonResourceURLs"):
            if rule.get("apiGroups") is None:
                causes.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
            if not rule.get("resources"):
                causes.append(required(f"{path}.resources", "resource rules must supply at least one resource"))
    return causes


def default_priority_class(obj: Object) -> None:
    obj.setdefault("value", 0)
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


def default_storage_class(obj: Object) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def check_storage_class(obj: Object) -> list[Cause]:
    return [] if obj.get("provisioner") else [required("provisioner")]


def default_endpoint_slice(obj: Object) -> None:
    for port in obj.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def check_endpoint_slice(obj: Object) -> list[Cause]:
    kind = obj.get("addressType")
    if kind in ("IPv4", "IPv6", "FQDN"):
        return []
    return [required("addressType") if not kind else not_supported("addressType", kind, ("FQDN", "IPv4", "IPv6"))]


def default_event(obj: Object) -> None:
    obj.setdefault("source", {})
    for field in ("firstTimestamp", "lastTimestamp", "eventTime"):
        obj.setdefault(field, None)
    obj.setdefault("reportingComponent", "")
    obj.setdefault("reportingInstance", "")


def check_event(obj: Object) -> list[Cause]:
    involved = (obj.get("involvedObject") or {}).get("namespace") or "default"
    namespace = obj["metadata"].get("namespace")
    if involved != namespace:
        return [
            invalid_value(
                "involvedObject.namespace", involved if involved != "default" else "", "does not match event.namespace"
            )
        ]
    return []


def check_claim_reference(obj: Object) -> list[Cause]:
    """A PersistentVolume needs a capacity and access modes."""
    spec = obj.get("spec") or {}
    causes = []
    if not spec.get("accessModes"):
        causes.append(required("spec.accessModes"))
    if not spec.get("capacity"):
        causes.append(required("spec.capacity"))
    return causes


def prepare_volume(obj: Object) -> None:
    obj["status"] = {"phase": "Pending"}
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if "kubernetes.io/pv-protection" not in finalizers:
        finalizers.append("kubernetes.io/pv-protection")


def default_volume(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")
