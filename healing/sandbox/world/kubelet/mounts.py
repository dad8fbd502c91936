"""Volumes: the files a container sees, and why a volume cannot be mounted."""

from __future__ import annotations

import posixpath

from healing.sandbox.ports import Cluster, Object
from healing.sandbox.world.kubelet import environment
from healing.sandbox.world.kubelet.environment import ConfigError


class MountError(Exception):
    """The text is the FailedMount event's."""


def volume_files(cluster: Cluster, pod: Object, *, pod_ip: str, host_ip: str) -> dict[str, dict[str, str]]:
    """{volume name: {path in the volume: content}} of all volumes with known content. Raises `MountError`."""
    files: dict[str, dict[str, str]] = {}
    for volume in pod["spec"].get("volumes") or ():
        name = volume["name"]
        try:
            files[name] = _content(cluster, pod, volume, pod_ip, host_ip)
        except ConfigError as error:
            raise MountError(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error
    return files


def container_files(container: Object, volumes: dict[str, dict[str, str]]) -> dict[str, str]:
    """{absolute path: content} of what a container has mounted."""
    files: dict[str, str] = {}
    for mount in container.get("volumeMounts") or ():
        content = volumes.get(mount["name"]) or {}
        sub_path = mount.get("subPath")
        for path, text in content.items():
            if not sub_path:
                files[posixpath.join(mount["mountPath"], path)] = text
            elif path == sub_path:
                files[mount["mountPath"]] = text
            elif path.startswith(sub_path.rstrip("/") + "/"):
                files[posixpath.join(mount["mountPath"], path[len(sub_path.rstrip("/")) + 1 :])] = text
    return files


def refreshed(container: Object, old: dict[str, str], volumes: dict[str, dict[str, str]]) -> dict[str, str]:
    """As `container_files`, after its sources changed: what is mounted by subPath keeps its content."""
    frozen = [mount for mount in container.get("volumeMounts") or () if mount.get("subPath")]
    new = container_files(container, volumes)
    for mount in frozen:
        prefix = mount["mountPath"]
        for path in {p for p in (*old, *new) if p == prefix or p.startswith(prefix + "/")}:
            if path in old:
                new[path] = old[path]
            else:
                del new[path]
    return new


def references(pod: Object) -> set[tuple[str, str]]:
    """("configmaps" | "secrets", name) of everything that is mounted."""
    found: set[tuple[str, str]] = set()
    for volume in pod["spec"].get("volumes") or ():
        for source in [volume, *((volume.get("projected") or {}).get("sources") or ())]:
            if source.get("configMap"):
                found.add(("configmaps", source["configMap"].get("name", "")))
            if source.get("secret"):
                found.add(("secrets", source["secret"].get("secretName") or source["secret"].get("name", "")))
    return found


def _content(cluster: Cluster, pod: Object, volume: Object, pod_ip: str, host_ip: str) -> dict[str, str]:
    if "projected" in volume:
        files: dict[str, str] = {}
        for source in volume["projected"].get("sources") or ():
            files |= _source(cluster, pod, source, pod_ip, host_ip)
        return files
    return _source(cluster, pod, volume, pod_ip, host_ip)


def _source(cluster: Cluster, pod: Object, source: Object, pod_ip: str, host_ip: str) -> dict[str, str]:
    namespace = pod["metadata"]["namespace"]
    if source.get("configMap"):
        spec = source["configMap"]
        data = environment.config_map(cluster, namespace, spec["name"], optional=bool(spec.get("optional")))
        return _items(data, spec, "config")
    if source.get("secret"):
        spec = source["secret"]
        name = spec.get("secretName") or spec.get("name", "")
        data = environment.secret(cluster, namespace, name, optional=bool(spec.get("optional")))
        return _items(data, spec, "secret")
    if source.get("downwardAPI"):
        return {
            item["path"]: environment.field_value(pod, item["fieldRef"]["fieldPath"], pod_ip=pod_ip, host_ip=host_ip)
            if item.get("fieldRef")
            else environment.resource_value(pod, pod["spec"]["containers"][0], item["resourceFieldRef"])
            for item in source["downwardAPI"].get("items") or ()
        }
    if source.get("serviceAccountToken"):
        return {source["serviceAccountToken"]["path"]: ""}
    if source.get("persistentVolumeClaim"):
        claim_name = source["persistentVolumeClaim"]["claimName"]
        if cluster.get("persistentvolumeclaims", namespace, claim_name) is None:
            raise ConfigError(f'persistentvolumeclaim "{claim_name}" not found')
    return {}


def _items(data: dict[str, str] | None, spec: Object, kind: str) -> dict[str, str]:
    if data is None:
        return {}
    items = spec.get("items")
    if not items:
        return data
    files = {}
    for item in items:
        if item["key"] in data:
            files[item["path"]] = data[item["key"]]
        elif not spec.get("optional"):
            raise ConfigError(f"references non-existent {kind} key: {item['key']}")
    return files
