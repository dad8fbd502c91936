"""One cluster: its API server, our resource definitions, permissions, network, policies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

from django.conf import settings
from django.db import DatabaseError
from pydantic import ValidationError

from healing.cluster import crds, versions
from healing.cluster.kubernetes import KubernetesCluster
from healing.containment import network
from healing.containment.network import Enforcement
from healing.models import Policy
from healing.ports import get_ports
from healing.ports.errors import Forbidden, NotFound, SourceError, Unauthorized
from recist_web import rbac
from recist_web.doctor.report import Finding, error, ok, warning
from recist_web.supervisor.rights import Asking, grant, left_out, needs

_SECONDS = 8.0


def api(name: str) -> Iterator[Finding]:
    part = f"cluster {name}: API"
    cluster = get_ports(name).cluster
    try:
        version = cluster.version(timeout_seconds=_SECONDS)
    except Unauthorized as problem:
        yield error(part, str(problem), "Renew the credentials of the kubeconfig or ServiceAccount.")
        return
    except SourceError as problem:
        yield error(part, str(problem), "Is it running? Are KUBECONFIG and KUBE_CONTEXT (or CLUSTERS_FILE) right?")
        return
    minor, advice = versions.minor_of(version), versions.advice(version)
    if minor is not None and minor < versions.OLDEST_MINOR:
        yield error(part, f"Kubernetes {version} is too old.", f"ReCiSt is made for {versions.MADE_FOR}.")
    elif advice:
        yield warning(part, advice, "Watch what it does there before you let it act unasked.")
    else:
        yield ok(part, f"Kubernetes {version}, one of those that ReCiSt is made for ({versions.MADE_FOR})")


def definitions(name: str) -> Iterator[Finding]:
    part = f"cluster {name}: resource definitions"
    cluster = get_ports(name).cluster
    advice = "Run: kubectl apply -f helm/recist/crds/"
    for shipped in crds.load():
        wanted = shipped["metadata"]["name"]
        try:
            live = cluster.get("CustomResourceDefinition", "", wanted, timeout_seconds=_SECONDS)
        except NotFound:
            yield error(part, f"{wanted} is missing: kubectl shows no events or policies.", advice)
            continue
        except Forbidden:
            served = cast("KubernetesCluster", cluster).serves(shipped["spec"]["names"]["kind"])
            if served:
                yield ok(part, f"{wanted} is served (its schema may not be read)")
            else:
                yield error(part, f"{wanted} is missing: kubectl shows no events or policies.", advice)
            continue
        missing = _missing(shipped, live)
        if missing:
            yield warning(part, f"{wanted} is of an older version: it lacks {', '.join(missing[:4])}.", advice)
        else:
            yield ok(part, f"{wanted} is current")


def _missing(shipped: dict[str, Any], live: dict[str, Any]) -> list[str]:
    """Fields of our schema that the cluster's does not have. Its defaults and order are its own."""
    found: list[str] = []
    theirs = {version["name"]: version for version in live["spec"].get("versions") or ()}
    for version in shipped["spec"]["versions"]:
        other = theirs.get(version["name"])
        if other is None:
            found.append(f"version {version['name']}")
            continue
        known = set(_fields(other.get("schema") or {}))
        found += [field for field in _fields(version["schema"]) if field not in known]
    return found


def _fields(schema: Any, path: str = "") -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    for name, inner in (schema.get("properties") or {}).items():
        yield f"{path}.{name}".lstrip(".")
        yield from _fields(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties", "openAPIV3Schema"):
        yield from _fields(schema.get(key), path)
    if isinstance(schema.get("enum"), list):
        yield from (f"{path.lstrip('.')}={json.dumps(value)}" for value in schema["enum"])


def permissions(name: str) -> Iterator[Finding]:
    """Every verb that some part needs, asked one by one."""
    part = f"cluster {name}: permissions"
    ports = get_ports(name)
    asking = Asking(cast("KubernetesCluster", ports.cluster), f"cluster {name}")
    wanted = needs(ports.namespaces)
    lacking = asking.lacking(wanted)
    lease = asking.lacking((permission, settings.POD_NAMESPACE) for permission in sorted(rbac.own_namespace()))
    if lease:
        where = settings.POD_NAMESPACE
        yield error(part, f"The watchers' Lease may not be held in namespace {where}.", grant(lease))
    vital = [need for need in lacking if need[0].kind == "Pod" and need[0].verb in ("get", "list", "watch")]
    if any(not need[0].subresource for need in vital):
        yield error(part, "Pods may not be got, listed and watched: nothing would ever be found.", grant(vital))
    rest = [need for need in lacking if need not in vital]
    for line in left_out(rest):
        yield warning(part, f"{line}.", "")
    if rest:
        yield warning(part, f"{len(rest)} of {len(wanted)} permissions are not granted.", grant(rest))
    elif not vital and not lease:
        yield ok(part, f"all {len(wanted)} are granted")
    if asking.lacking([(rbac.Permission("", "secrets", "list", "Secret"), "")]) == []:
        yield warning(
            part, "Secrets of the whole cluster may be read, which ReCiSt never needs.", "Take that right away."
        )


def enforcement(name: str) -> Iterator[Finding]:
    part = f"cluster {name}: network"
    found = network.network_of(get_ports(name).cluster, name, timeout_seconds=_SECONDS)
    if found.enforcement is Enforcement.YES:
        yield ok(part, found.why)
    else:
        yield warning(part, found.why, "Isolation then only takes pods out of their Services.")


def policies(name: str) -> Iterator[Finding]:
    part = f"cluster {name}: policies"
    try:
        rows = list(Policy.objects.filter(cluster=name))
    except DatabaseError:
        yield warning(part, "They cannot be read: the database does not answer.", "See to the database.")
        return
    enabled = [row for row in rows if row.enabled]
    if not enabled:
        yield warning(part, "There is none: nothing is detected or healed.", "Create a SelfHealingPolicy.")
        return
    for row in enabled:
        if row.error:
            yield error(part, f"{row}: its newest version was refused: {row.error}", "Correct the policy.")
        try:
            spec = row.parsed()
        except ValidationError as problem:
            first = problem.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            yield error(part, f"{row} cannot be used: {place}: {first['msg']}", "Correct the policy.")
            continue
        yield from _namespaces(name, row, list(spec.target_namespaces))
    yield ok(part, f"{len(enabled)} are switched on")


def _namespaces(name: str, row: Policy, wanted: list[str]) -> Iterator[Finding]:
    for namespace in wanted[:50]:
        try:
            get_ports(name).cluster.get("Namespace", "", namespace, timeout_seconds=_SECONDS)
        except NotFound:
            yield warning(
                f"cluster {name}: policies", f"{row} names namespace {namespace}, which does not exist.",
                "Correct targetNamespaces, or create it.",
            )  # fmt: skip
        except SourceError:
            return
