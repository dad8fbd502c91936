"""Services, configuration, storage claims, quotas, limits, namespaces."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from typing import Any

from healing.sandbox.api.errors import (
    Cause,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from healing.sandbox.api.kinds.podspec import canonicalize
from healing.sandbox.api.kinds.podspec_check import PORT_RANGE
from healing.sandbox.api.quantity import parse_quantity
from healing.sandbox.api.validation import check_config_key, check_labels, name_problem
from healing.sandbox.ports import Object

_MAX_PORT = 65535
_MAX_CONFIG_BYTES = 1024 * 1024
_SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_ACCESS_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")

# -- services ---------------------------------------------------------------------------------------------------------


def default_service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port")
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "ClientIP":
        spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {}).setdefault("timeoutSeconds", 10800)
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def prepare_service(obj: Object) -> None:
    obj["status"] = {"loadBalancer": {}}


def prepare_service_update(new: Object, old: Object) -> None:
    spec, before = new["spec"], old["spec"]
    if spec["type"] != "ExternalName" and before.get("clusterIP"):
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if not spec.get(field) and before.get(field):
                spec[field] = before[field]
    if spec["type"] not in ("NodePort", "LoadBalancer"):
        spec.pop("externalTrafficPolicy", None)
        spec.pop("allocateLoadBalancerNodePorts", None)
        if before.get("type") in ("NodePort", "LoadBalancer"):
            for port in spec.get("ports") or ():
                port.pop("nodePort", None)
        return
    known = {(port.get("name", ""), port.get("port")): port.get("nodePort") for port in before.get("ports") or ()}
    for port in spec.get("ports") or ():
        node_port = known.get((port.get("name", ""), port.get("port")))
        if node_port and not port.get("nodePort"):
            port["nodePort"] = node_port


def check_service(obj: Object) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes: list[Cause] = []
    kind = spec.get("type")
    if not spec.get("ports") and kind != "ExternalName" and spec.get("clusterIP") != "None":
        causes.append(required("spec.ports"))
    if kind not in _SERVICE_TYPES:
        causes.append(not_supported("spec.type", kind, _SERVICE_TYPES))
    if kind == "ExternalName" and not spec.get("externalName"):
        causes.append(required("spec.externalName"))
    _check_service_ports(spec.get("ports") or [], kind, causes)
    causes += check_labels(spec.get("selector"), "spec.selector")
    address = spec.get("clusterIP")
    if address and address != "None" and kind != "ExternalName":
        try:
            ipaddress.ip_address(address)
        except ValueError:
            why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            causes.append(invalid_value("spec.clusterIPs[0]", address, why))
    if spec.get("sessionAffinity") not in ("ClientIP", "None"):
        causes.append(not_supported("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None")))
    return causes


def _check_service_ports(ports: list[Any], kind: str | None, causes: list[Cause]) -> None:
    names: set[str] = set()
    numbers: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name = port.get("name")
        if not name and len(ports) > 1:
            causes.append(required(f"{path}.name"))
        elif name and name_problem(name, "label"):
            causes.append(invalid_value(f"{path}.name", name, name_problem(name, "label")))
        elif name and name in names:
            causes.append(duplicate(f"{path}.name", name))
        names.add(name or "")
        for field in ("port", "targetPort"):
            number = port.get(field)
            if (field == "port" or isinstance(number, int)) and not _is_port(number):
                causes.append(invalid_value(f"{path}.{field}", number or 0, PORT_RANGE))
        if port.get("protocol") not in ("SCTP", "TCP", "UDP"):
            causes.append(not_supported(f"{path}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP")))
        key = port.get("protocol"), port.get("port")
        if key in numbers:
            causes.append(duplicate(path, {field: port[field] for field in ("port", "protocol") if field in port}))
        numbers.add(key)
        if port.get("nodePort") and kind == "ClusterIP":
            causes.append(forbidden_field(f"{path}.nodePort", "may not be used when `type` is 'ClusterIP'"))


def _is_port(number: Any) -> bool:
    return isinstance(number, int) and 0 < number <= _MAX_PORT


def check_service_update(new: Object, old: Object) -> list[Cause]:
    before, after = old["spec"], new["spec"]
    if "ExternalName" in (before.get("type"), after.get("type")):
        return []
    if before.get("clusterIP") and after.get("clusterIP") != before["clusterIP"]:
        return [invalid_value("spec.clusterIPs[0]", [after.get("clusterIP")], "may not change once set")]
    return []


# -- configuration ----------------------------------------------------------------------------------------------------


def check_configmap(obj: Object) -> list[Cause]:
    causes: list[Cause] = []
    size = 0
    for field in ("data", "binaryData"):
        for key, value in (obj.get(field) or {}).items():
            causes += check_config_key(key, f"{field}[{key}]")
            size += len(value)
            if field == "binaryData" and key in (obj.get("data") or {}):
                causes.append(invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData"))
    if size > _MAX_CONFIG_BYTES:
        causes.append(Cause("FieldValueTooLong", f"Too long: may not be more than {_MAX_CONFIG_BYTES} bytes", ""))
    return causes


def check_immutable_data(new: Object, old: Object) -> list[Cause]:
    if not old.get("immutable"):
        return []
    causes = []
    if not new.get("immutable"):
        causes.append(forbidden_field("immutable", "field is immutable when `immutable` is set"))
    causes.extend(
        forbidden_field(field, "field is immutable when `immutable` is set")
        for field in ("data", "binaryData")
        if new.get(field) != old.get(field)
    )
    return causes


def default_secret(obj: Object) -> None:
    text = obj.pop("stringData", None)
    if text:
        data = dict(obj.get("data") or {})
        data.update({key: base64.b64encode(value.encode()).decode() for key, value in text.items()})
        obj["data"] = data
    if not obj.get("type"):
        obj["type"] = "Opaque"


_SECRET_KEYS = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def check_secret(obj: Object) -> list[Cause]:
    causes: list[Cause] = []
    data = obj.get("data") or {}
    for key, value in data.items():
        causes += check_config_key(key, f"data[{key}]")
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            causes.append(invalid_value(f"data[{key}]", value, "illegal base64 data"))
    for key in _SECRET_KEYS.get(obj.get("type", ""), ()):
        if key not in data:
            causes.append(required(f"data[{key}]"))
    return causes


def check_secret_update(new: Object, old: Object) -> list[Cause]:
    causes = check_immutable_data(new, old)
    if new.get("type") != old.get("type"):
        causes.append(invalid_value("type", new.get("type"), "field is immutable"))
    return causes


# -- storage ----------------------------------------------------------------------------------------------------------


def default_claim(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    canonicalize((spec.get("resources") or {}).get("requests"))
    canonicalize((spec.get("resources") or {}).get("limits"))


def prepare_claim(obj: Object) -> None:
    obj["status"] = {"phase": "Pending"}
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if "kubernetes.io/pvc-protection" not in finalizers:
        finalizers.append("kubernetes.io/pvc-protection")


def check_claim(obj: Object) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes: list[Cause] = []
    if not spec.get("accessModes"):
        causes.append(required("spec.accessModes", "at least 1 access mode is required"))
    causes.extend(
        not_supported("spec.accessModes", mode, sorted(_ACCESS_MODES))
        for mode in spec.get("accessModes") or ()
        if mode not in _ACCESS_MODES
    )
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is None:
        causes.append(required("spec.resources[storage]"))
    else:
        try:
            if parse_quantity(storage) <= 0:
                causes.append(invalid_value("spec.resources[storage]", storage, "must be greater than zero"))
        except ValueError as error:
            causes.append(invalid_value("spec.resources[storage]", storage, str(error)))
    return causes


def check_claim_update(new: Object, old: Object) -> list[Cause]:
    before, after = dict(old["spec"]), dict(new["spec"])
    changing = [before.pop("resources", None), after.pop("resources", None)]
    if not before.get("volumeName"):
        before.pop("volumeName", None)
        after.pop("volumeName", None)
    if before != after:
        return [
            forbidden_field(
                "spec",
                "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
                "claims",
            )
        ]
    requests = [((item or {}).get("requests") or {}).get("storage", "0") for item in changing]
    if parse_quantity(requests[1]) < parse_quantity(requests[0]):
        return [forbidden_field("spec.resources.requests.storage", "field can not be less than status.capacity")]
    return []


def empty_status(obj: Object) -> None:
    obj["status"] = {}


# -- namespaces -------------------------------------------------------------------------------------------------------


def default_namespace(obj: Object) -> None:
    name = obj["metadata"].get("name")
    if name:
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name


def prepare_namespace(obj: Object) -> None:
    obj["spec"] = {"finalizers": ["kubernetes"]}
    obj["status"] = {"phase": "Active"}


def prepare_namespace_update(new: Object, old: Object) -> None:
    # Only the finalize subresource changes these.
    new["spec"] = old.get("spec", {})


def prepare_node(obj: Object) -> None:
    obj.setdefault("spec", {})
    obj.setdefault("status", {})


def check_node(obj: Object) -> list[Cause]:
    causes = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate((obj.get("spec") or {}).get("taints") or ()):
        path = f"spec.taints[{index}]"
        if not taint.get("key"):
            causes.append(required(f"{path}.key"))
        effect = taint.get("effect")
        if effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            causes.append(
                required(f"{path}.effect")
                if not effect
                else not_supported(f"{path}.effect", effect, ("NoSchedule", "PreferNoSchedule", "NoExecute"))
            )
        key = taint.get("key", ""), effect or ""
        if key in seen:
            causes.append(duplicate(path, taint))
        seen.add(key)
    return causes
