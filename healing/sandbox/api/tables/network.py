"""Rows of services and their kin."""

from __future__ import annotations

from typing import Any

from healing.sandbox.api.tables.columns import NONE, UNSET, age, joined_labels, name_of, selector_text, some
from healing.sandbox.ports import Object


def service(obj: Object, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    ports = []
    for port in spec.get("ports") or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}")
    kind = spec.get("type", "ClusterIP")
    external = ",".join(spec.get("externalIPs") or ()) or NONE
    if kind == "LoadBalancer":
        ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        external = ",".join(item.get("ip") or item.get("hostname") or "" for item in ingress) or "<pending>"
    elif kind == "ExternalName":
        external = spec.get("externalName", "")
    return [
        name_of(obj),
        kind,
        spec.get("clusterIP") or NONE,
        external,
        ",".join(ports) or NONE,
        age(obj, now),
        joined_labels(spec.get("selector")),
    ]


def endpoints(obj: Object, now: float) -> list[Any]:
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        ports = [port.get("port") for port in subset.get("ports") or ()] or [None]
        found += [
            f"{address.get('ip')}:{port}" if port else str(address.get("ip"))
            for port in ports
            for address in subset.get("addresses") or ()
        ]
    return [name_of(obj), some(found, 3), age(obj, now)]


def endpoint_slice(obj: Object, now: float) -> list[Any]:
    addresses = [address for item in obj.get("endpoints") or () for address in item.get("addresses") or ()]
    ports = [str(item.get("port", "*")) for item in obj.get("ports") or ()]
    return [
        name_of(obj),
        obj.get("addressType", ""),
        some(ports, 3) if ports else UNSET,
        some(addresses, 3) if addresses else UNSET,
        age(obj, now),
    ]


def network_policy(obj: Object, now: float) -> list[Any]:
    return [name_of(obj), selector_text((obj.get("spec") or {}).get("podSelector")), age(obj, now)]


def ingress(obj: Object, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    hosts = [rule.get("host") or "*" for rule in spec.get("rules") or ()]
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    addresses = ",".join(item.get("ip") or item.get("hostname") or "" for item in ingress)
    return [
        name_of(obj),
        spec.get("ingressClassName") or NONE,
        some(hosts, 3) if hosts else "*",
        addresses,
        "80, 443" if spec.get("tls") else "80",
        age(obj, now),
    ]
