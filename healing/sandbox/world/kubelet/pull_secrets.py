"""Credentials for registries, from a pod's ``imagePullSecrets``."""

from __future__ import annotations

import base64
import binascii
import json

from healing.sandbox.ports import Cluster, Object
from healing.sandbox.world.kubelet.container import full_image_name

_KEYS = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}
_DOCKER_HUB = ("https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io")


def registry_of(image: str) -> str:
    """``registry.local:5000`` of ``registry.local:5000/shop/web:1.0``."""
    return full_image_name(image).partition("/")[0]


def registry_secrets(cluster: Cluster, pod: Object) -> tuple[set[str], list[str]]:
    """(registries with credentials, names of secrets that do not exist)."""
    registries: set[str] = set()
    missing: list[str] = []
    for reference in pod["spec"].get("imagePullSecrets") or ():
        secret = cluster.get("secrets", pod["metadata"]["namespace"], reference.get("name", ""))
        if secret is None:
            missing.append(reference.get("name", ""))
        else:
            registries |= _registries(secret)
    return registries, missing


def _registries(secret: Object) -> set[str]:
    key = _KEYS.get(secret.get("type", ""))
    if key is None:
        return set()
    try:
        text = (secret.get("stringData") or {}).get(key) or base64.b64decode((secret.get("data") or {}).get(key, ""))
        config = json.loads(text)
    except (binascii.Error, ValueError):
        return set()
    entries = config.get("auths", {}) if key == ".dockerconfigjson" else config
    if not isinstance(entries, dict):
        return set()
    return {_host(address) for address, entry in entries.items() if entry}


def _host(address: str) -> str:
    if address in _DOCKER_HUB:
        return "docker.io"
    return address.removeprefix("https://").removeprefix("http://").partition("/")[0]
