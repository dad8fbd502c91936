"""Faults of what services depend on: databases, certificates, pools, disks, names, registries, the world outside."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import cast, get_args

from healing.sandbox.apps.account import Account
from healing.sandbox.apps.address import POOLED
from healing.sandbox.apps.conditions import ExternalMode
from healing.sandbox.apps.effects import Effects
from healing.sandbox.apps.server import ServerProcess
from healing.sandbox.apps.starting import ReplacedProcess
from healing.sandbox.faults.base import (
    DEVELOPER,
    NAMESPACE,
    ON_WORKLOAD,
    Fault,
    FaultError,
    Outcome,
    Parameter,
    Scene,
)
from healing.sandbox.faults.behaviours import ALL_PODS, SCOPE, misbehave
from healing.sandbox.ports import Object

_NEW_PASSWORDS = itertools.count(1)
_REGISTRY_MODES = ("timeout", "unreachable", "unavailable", "rate-limited")


def servers(scene: Scene) -> list[ServerProcess]:
    """The workload's serving processes."""
    found = [p.server if isinstance(p, ReplacedProcess) else p for p in scene.processes()]
    return [p for p in found if isinstance(p, ServerProcess)]


def databases(scene: Scene) -> list[ServerProcess]:
    found = [p for p in servers(scene) if p.program.protocol not in ("http", "any", "dns")]
    if not found:
        raise FaultError(f"workload: {scene.params['workload']!r} runs no database (postgres, mysql, redis ...)")
    return found


def read_only_database(scene: Scene) -> Outcome:
    databases(scene)
    return misbehave(scene, Effects(read_only=True), "takes no writes", "process")


def connection_pool_exhausted(scene: Scene) -> Outcome:
    """Connections that are taken and not given back: of a client's pool, or of the limit of a database itself."""
    found = servers(scene)
    count = int(scene.params["connections"])
    for process in found:
        if process.account.max_connections:
            most = process.account.max_connections
            return misbehave(scene, Effects(leaked_connections=count or most), "has its connections taken", "process")
    sizes = [spec.pool_size for p in found for spec, address in p.calls if address.protocol in POOLED]
    if not sizes:
        raise FaultError("workload: it is neither a database with a limit nor a client with a pool of connections")
    effects = Effects(leaked_connections=count or max(sizes))
    return misbehave(scene, effects, f"does not give back {effects.leaked_connections} connections", "process")


def rotated_password(scene: Scene) -> Outcome:
    """The database's password changes, and its Secret with it; who runs already goes on with the old one."""
    found = databases(scene)
    protected = [p for p in found if p.account.password is not None]
    if not protected:
        raise FaultError(f"workload: {scene.params['workload']!r} asks for no password")
    old, now = str(protected[0].account.password), scene.runtime.clock()
    new = f"{old}-rotated-{next(_NEW_PASSWORDS)}"
    _set_password([p.account for p in protected], new, now)
    secrets = _secrets_with(scene, old) if scene.params["update_secret"] else []
    for name, key in secrets:
        _write_secret(scene, name, key, new)

    def undo() -> None:
        _set_password([p.account for p in databases(scene)], old, scene.runtime.clock())
        for name, key in secrets:
            _write_secret(scene, name, key, old)

    note = f" (in Secret {secrets[0][0]}, too)" if secrets else ""
    return scene.target(), f"changed the password of {scene.params['workload']}{note}", undo


def _set_password(accounts: list[Account], password: str, now: float) -> None:
    for account in accounts:
        account.password, account.password_changed_at = password, now


def _secrets_with(scene: Scene, value: str) -> list[tuple[str, str]]:
    """(name, key) of the namespace's Secrets that hold this very value."""
    encoded = base64.b64encode(value.encode()).decode()
    return [
        (secret["metadata"]["name"], key)
        for secret in scene.cluster.list("secrets", scene.namespace)
        for key, held in (secret.get("data") or {}).items()
        if held == encoded
    ]


def _write_secret(scene: Scene, name: str, key: str, value: str) -> None:
    def change(body: Object) -> None:
        body.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()

    if scene.cluster.get("secrets", scene.namespace, name) is not None:
        scene.cluster.mutate("secrets", scene.namespace, name, change, user=DEVELOPER)


def certificate_expired(scene: Scene) -> Outcome:
    if not any(p.tls_ports or p.account.tls for p in servers(scene)):
        raise FaultError(
            f"workload: {scene.params['workload']!r} serves no TLS (a port named https, or a database with ssl=on)"
        )
    return misbehave(scene, Effects(certificate_expired=True), "serves an expired certificate", "process")


def disk_fill(scene: Scene) -> Outcome:
    rate = float(scene.params["bytes_per_second"])
    return misbehave(scene, Effects(disk_bytes_per_second=rate), f"writes {rate / 2**20:.1f} MiB/s", "revision")


def traffic_spike(scene: Scene) -> Outcome:
    name, factor = str(scene.params["service"]), float(scene.params["factor"])
    traffic = scene.runtime.traffic
    sources = [s for s in (traffic.sources if traffic else []) if (s.namespace, s.service) == (scene.namespace, name)]
    if not sources:
        raise FaultError(f"service: nobody outside calls {scene.namespace}/{name}; name one of the scenario's traffic")
    for source in sources:
        source.factor *= factor

    def undo() -> None:
        for source in sources:
            source.factor /= factor

    target = {"kind": "Service", "namespace": scene.namespace, "name": name}
    return target, f"users call {name} {factor:g} times as often", undo


def registry_outage(scene: Scene) -> Outcome:
    host, mode = str(scene.params["registry"]), str(scene.params["mode"])
    if mode not in _REGISTRY_MODES:
        raise FaultError(f"mode: {mode!r} is none of {', '.join(_REGISTRY_MODES)}")
    registries = scene.catalogue.registries
    before = registries.get(host)
    registries[host] = mode

    def undo() -> None:
        if before is None:
            registries.pop(host, None)
        else:
            registries[host] = before

    return {"kind": "Registry", "namespace": "", "name": host}, f"the registry {host}: {mode}", undo


def external_outage(scene: Scene) -> Outcome:
    host, mode = str(scene.params["host"]), str(scene.params["mode"])
    if mode == "up" or mode not in get_args(ExternalMode):
        raise FaultError(f"mode: {mode!r} is none of down, slow, errors, unknown")
    conditions = scene.runtime.conditions
    conditions.set_external(host, cast("ExternalMode", mode), float(scene.params["seconds"]) if mode == "slow" else 0.0)
    target = {"kind": "ExternalService", "namespace": "", "name": host}
    return target, f"{host} outside the cluster: {mode}", lambda: conditions.set_external(host, "up")


_COREDNS = "coredns"
_BROKEN = "    forwrad . /etc/resolv.conf\n"


def dns_failure(scene: Scene) -> Outcome:
    """``down``: a typo in the Corefile, and CoreDNS restarted with it. ``slow``: its pods answer late."""
    mode = str(scene.params["mode"])
    at_dns = replace(scene, params={**scene.params, "namespace": "kube-system", "workload": f"deployment/{_COREDNS}"})
    at_dns.workload()
    if mode == "slow":
        effects = Effects(latency_seconds=float(scene.params["seconds"]))
        return misbehave(at_dns, effects, f"the cluster's DNS answers {effects.latency_seconds:g} s late", "process")
    if mode != "down":
        raise FaultError(f"mode: {mode!r} is neither down nor slow")
    config = scene.cluster.get("configmaps", "kube-system", _COREDNS)
    if config is None:
        raise FaultError("this cluster's CoreDNS has no ConfigMap kube-system/coredns")
    before = dict(config["data"])

    def write(data: dict[str, str]) -> Callable[[Object], None]:
        def change(body: Object) -> None:
            body["data"] = dict(data)

        return change

    broken = {**before, "Corefile": before["Corefile"].replace("    forward . /etc/resolv.conf", _BROKEN.rstrip())}
    scene.cluster.mutate("configmaps", "kube-system", _COREDNS, write(broken), user=DEVELOPER)
    _delete_pods(at_dns)

    def undo() -> None:
        found = scene.cluster.get("configmaps", "kube-system", _COREDNS)
        if found is not None and found["data"] == broken:
            scene.cluster.mutate("configmaps", "kube-system", _COREDNS, write(before), user=DEVELOPER)

    target = {"kind": "ConfigMap", "namespace": "kube-system", "name": _COREDNS}
    return target, "broke the Corefile and restarted CoreDNS", undo


def _delete_pods(scene: Scene) -> None:
    for process in scene.processes():
        if scene.cluster.get("pods", scene.namespace, process.start.pod_name) is not None:
            scene.cluster.delete("pods", scene.namespace, process.start.pod_name, user=DEVELOPER)


FAULTS = (
    Fault(
        "dns-failure", "The cluster's DNS is down or slow", "behaviour", dns_failure,
        (
            Parameter("mode", "string", "down (a broken Corefile) or slow", default="down"),
            Parameter("seconds", "number", "how late it answers when slow", default=4.0),
            Parameter("container", "string", "container; the first one unless given", default=""), SCOPE, ALL_PODS,
        ),
    ),
    Fault(
        "disk-fill", "A program fills its disk", "behaviour", disk_fill,
        (*ON_WORKLOAD, Parameter("bytes_per_second", "bytes", "what it writes", default=64 << 20), SCOPE, ALL_PODS),
    ),
    Fault(
        "read-only-database", "A database takes no writes", "behaviour", read_only_database,
        (*ON_WORKLOAD, SCOPE, ALL_PODS),
    ),
    Fault(
        "connection-pool-exhausted", "Connections are taken and not given back", "behaviour",
        connection_pool_exhausted,
        (*ON_WORKLOAD, Parameter("connections", "integer", "how many; all of them if 0", default=0), SCOPE, ALL_PODS),
    ),
    Fault(
        "rotated-password", "A database's password is changed under its clients", "change", rotated_password,
        (*ON_WORKLOAD, Parameter("update_secret", "boolean", "its Secrets are changed, too", default=True)),
    ),
    Fault(
        "certificate-expired", "A server goes on with an expired certificate", "behaviour", certificate_expired,
        (*ON_WORKLOAD, SCOPE, ALL_PODS),
    ),
    Fault(
        "traffic-spike", "Users come in crowds", "behaviour", traffic_spike,
        (
            NAMESPACE, Parameter("service", "string", "the Service they call", required=True),
            Parameter("factor", "number", "by which the rate rises", default=5.0),
        ),
    ),
    Fault(
        "registry-outage", "An image registry does not answer", "machine", registry_outage,
        (
            Parameter("registry", "string", "its host, such as registry.example.com", required=True),
            Parameter("mode", "string", ", ".join(_REGISTRY_MODES), default="timeout"),
        ),
    ),
    Fault(
        "external-outage", "A host outside the cluster is down, slow, failing or gone", "machine", external_outage,
        (
            Parameter("host", "string", "its name, such as api.example.com", required=True),
            Parameter("mode", "string", "down, slow, errors or unknown (no such name)", default="down"),
            Parameter("seconds", "number", "how late it answers when slow", default=5.0),
        ),
    ),
)  # fmt: skip
