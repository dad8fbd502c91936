"""What a container finds in its environment: variables from everywhere, with Kubernetes' errors for what is missing."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from decimal import Decimal

from healing.sandbox.ports import Cluster, Object
from healing.sandbox.world import quantities

_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")
_KEYED_FIELD = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")
_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*\Z")


class ConfigError(Exception):
    """A reference that cannot be resolved; the text is what the container's ``waiting.message`` says."""


def check_user(pod: Object, container: Object) -> None:
    """``runAsNonRoot`` with user 0. Raises `ConfigError`. (Who an image runs as by itself is not modelled.)"""
    security = {**(pod["spec"].get("securityContext") or {}), **(container.get("securityContext") or {})}
    if security.get("runAsNonRoot") and security.get("runAsUser") == 0:
        metadata = pod["metadata"]
        full_name = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        raise ConfigError(
            f'container\'s runAsUser breaks non-root policy (pod: "{full_name}", container: {container["name"]})'
        )


def resolve(cluster: Cluster, pod: Object, container: Object, *, pod_ip: str, host_ip: str) -> dict[str, str]:
    """All variables of a container. Raises `ConfigError`."""
    namespace = pod["metadata"]["namespace"]
    env = kubernetes_variables(cluster, namespace) if pod["spec"].get("enableServiceLinks", True) else {}
    for source in container.get("envFrom") or ():
        prefix = source.get("prefix") or ""
        for key, value in _from_source(cluster, namespace, source).items():
            if _NAME.match(prefix + key):
                env[prefix + key] = value
    for entry in container.get("env") or ():
        found = _value(cluster, pod, container, entry, env, pod_ip=pod_ip, host_ip=host_ip)
        if found is not None:
            env[entry["name"]] = found
    return env


def expand(text: str, env: Mapping[str, str]) -> str:
    """``$(NAME)`` by its value, if it has one; ``$$`` is a dollar sign."""

    def replace(match: re.Match[str]) -> str:
        if match.group(0) == "$$":
            return "$"
        return env.get(match.group(1), match.group(0))

    return _REFERENCE.sub(replace, text)


def _from_source(cluster: Cluster, namespace: str, source: Object) -> dict[str, str]:
    if "configMapRef" in source:
        reference = source["configMapRef"]
        config = config_map(cluster, namespace, reference["name"], optional=bool(reference.get("optional")))
        return dict(config or {})
    reference = source.get("secretRef") or {}
    return dict(secret(cluster, namespace, reference["name"], optional=bool(reference.get("optional"))) or {})


def _value(
    cluster: Cluster,
    pod: Object,
    container: Object,
    entry: Object,
    env: Mapping[str, str],
    *,
    pod_ip: str,
    host_ip: str,
) -> str | None:
    source = entry.get("valueFrom")
    if not source:
        return expand(entry.get("value") or "", env)
    namespace = pod["metadata"]["namespace"]
    if "configMapKeyRef" in source:
        reference, kind = source["configMapKeyRef"], "ConfigMap"
        data = config_map(cluster, namespace, reference["name"], optional=bool(reference.get("optional")))
    elif "secretKeyRef" in source:
        reference, kind = source["secretKeyRef"], "Secret"
        data = secret(cluster, namespace, reference["name"], optional=bool(reference.get("optional")))
    elif "fieldRef" in source:
        return field_value(pod, source["fieldRef"]["fieldPath"], pod_ip=pod_ip, host_ip=host_ip)
    elif "resourceFieldRef" in source:
        return resource_value(pod, container, source["resourceFieldRef"])
    else:
        return ""
    if data is not None and reference["key"] in data:
        return data[reference["key"]]
    if reference.get("optional"):
        return None
    raise ConfigError(f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}")


def config_map(cluster: Cluster, namespace: str, name: str, *, optional: bool) -> dict[str, str] | None:
    found = cluster.get("configmaps", namespace, name)
    if found is None:
        if optional:
            return None
        raise ConfigError(f'configmap "{name}" not found')
    return {**(found.get("data") or {}), **_decode(found.get("binaryData") or {})}


def secret(cluster: Cluster, namespace: str, name: str, *, optional: bool) -> dict[str, str] | None:
    found = cluster.get("secrets", namespace, name)
    if found is None:
        if optional:
            return None
        raise ConfigError(f'secret "{name}" not found')
    return {**_decode(found.get("data") or {}), **(found.get("stringData") or {})}


def _decode(data: Mapping[str, str]) -> dict[str, str]:
    decoded = {}
    for key, value in data.items():
        try:
            decoded[key] = base64.b64decode(value or "").decode(errors="replace")
        except (binascii.Error, ValueError):
            decoded[key] = ""
    return decoded


def field_value(pod: Object, path: str, *, pod_ip: str, host_ip: str) -> str:
    """The downward API's fields. Raises `ConfigError` for one that does not exist."""
    metadata, spec = pod["metadata"], pod["spec"]
    keyed = _KEYED_FIELD.fullmatch(path)
    if keyed:
        return str((metadata.get(keyed.group(1)) or {}).get(keyed.group(2), ""))
    if path in ("metadata.labels", "metadata.annotations"):
        values = metadata.get(path.split(".")[1]) or {}
        return "\n".join(f'{key}="{value}"' for key, value in sorted(values.items()))
    simple = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.hostIP": host_ip,
        "status.hostIPs": host_ip,
        "status.podIP": pod_ip,
        "status.podIPs": pod_ip,
    }
    if path not in simple:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return str(simple[path])


def resource_value(pod: Object, container: Object, reference: Object) -> str:
    name = reference.get("containerName")
    target = container
    if name and name != container["name"]:
        everyone = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())]
        named = next((c for c in everyone if c["name"] == name), None)
        if named is None:
            raise ConfigError(f"container {name} not found")
        target = named
    kind, _, resource = str(reference["resource"]).partition(".")
    amount = quantities.parse(((target.get("resources") or {}).get(kind) or {}).get(resource))
    divisor = quantities.parse(reference.get("divisor") or "1") or Decimal(1)
    return str(math.ceil(amount / divisor))


def kubernetes_variables(cluster: Cluster, namespace: str) -> dict[str, str]:
    """The variables of Services: the API server's, and those of the pod's own namespace."""
    env: dict[str, str] = {}
    api = cluster.get("services", "default", "kubernetes")
    for service in [*([api] if api and namespace != "default" else []), *cluster.list("services", namespace)]:
        spec = service["spec"]
        address = spec.get("clusterIP")
        ports = spec.get("ports") or ()
        if not address or address == "None" or not ports:
            continue
        prefix = re.sub(r"[^A-Z0-9]", "_", service["metadata"]["name"].upper())
        env[f"{prefix}_SERVICE_HOST"] = address
        env[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
        env[f"{prefix}_PORT"] = f"{ports[0].get('protocol', 'TCP').lower()}://{address}:{ports[0]['port']}"
        for port in ports:
            protocol, number = port.get("protocol", "TCP"), port["port"]
            if port.get("name"):
                env[f"{prefix}_SERVICE_PORT_{re.sub(r'[^A-Z0-9]', '_', port['name'].upper())}"] = str(number)
            base = f"{prefix}_PORT_{number}_{protocol}"
            env |= {
                base: f"{protocol.lower()}://{address}:{number}", f"{base}_PROTO": protocol.lower(),
                f"{base}_PORT": str(number), f"{base}_ADDR": address,
            }  # fmt: skip
    return env
