"""Who is meant when a program complains about what it calls: the database that is read-only, not its client."""

from __future__ import annotations

import ipaddress
import re

from healing.diagnosis import log_rules, reading as r
from healing.diagnosis.calls import resolve
from healing.diagnosis.hypothesis import bare
from healing.diagnosis.log_rules import Match
from healing.diagnosis.scene import Scene
from healing.ports.cluster import ObjectRef

_STORE = re.compile(
    r"postgres|pgbouncer|mysql|maria|mongo|redis|valkey|memcache|cassandra|scylla|elastic|opensearch|rabbit|kafka"
    r"|redpanda|nats|etcd|cockroach|mssql|oracle|minio|clickhouse|influx|neo4j|couch|(?:^|[-_/])(?:db|database|sql)"
    r"(?:$|[-_:])|(?:db|sql)(?:$|:)",
    re.IGNORECASE,
)
_STORE_PORTS = frozenset({5432, 3306, 27017, 6379, 11211, 9042, 9200, 5672, 9092, 4222, 2379, 1433, 1521, 26257})
#: words of a message -> what a store of that kind is called or listens on
_ENGINES: tuple[tuple[re.Pattern[str], re.Pattern[str], frozenset[int]], ...] = tuple(
    (re.compile(said, re.IGNORECASE), re.compile(name, re.IGNORECASE), frozenset(ports))
    for said, name, ports in (
        ((r"postgres|psycopg|PSQL|pgx|SQLSTATE|remaining connection slots"
r"|too many clients already|read-only transaction"),
         r"postgres|pg", {5432}),
        (r"mysql|mariadb|--read-only option|ER_\d{4}|Access denied for user", r"mysql|maria", {3306}),
        (r"redis|jedis|READONLY You|WRONGPASS|NOAUTH|MISCONF|max number of clients", r"redis|valkey|cache", {6379}),
        (r"mongo|not ?primary|NotWritablePrimary", r"mongo", {27017}),
        (r"amqp|rabbit|ACCESS_REFUSED", r"rabbit|amqp", {5672}),
        (r"kafka|NOT_LEADER|broker", r"kafka|redpanda", {9092}),
    )
)  # fmt: skip
#: complaints that the other side causes, whoever words them
ABOUT_THE_OTHER_SIDE = frozenset({"ReadOnlyDependency", "CertificateExpired"})
#: Of a pool both sides have one: these words are the server's.
_SERVERS_LIMIT = re.compile(
    r"too many (?:open )?(?:connections|clients)|remaining connection slots|max number of clients", re.IGNORECASE
)
_TRUST = re.compile(r"unknown authority|self[- ]signed|unable to get local issuer|PKIX path building", re.IGNORECASE)


def responsible(scene: Scene, workload: ObjectRef, match: Match) -> ObjectRef | None:
    """The workload in the cluster that the complaint is about; None: nobody but the one who complains."""
    message = match.record.message
    if match.kind == "CertificateExpired" and _TRUST.search(message):
        return None  # whom to trust is the client's own setting
    if match.kind not in ABOUT_THE_OTHER_SIDE and not (
        match.kind == "ConnectionPoolExhausted" and _SERVERS_LIMIT.search(message)
    ):
        return None
    return called(scene, workload, match)


def called(scene: Scene, workload: ObjectRef, match: Match) -> ObjectRef | None:
    """The workload behind the host a line names, or the only store of that kind the program calls."""
    host = match.details.get("host") or log_rules.host_in(match.record.message)
    if host:
        target = target_of(scene, workload, host)
        if target is not None:
            return backend_of(scene, target)
        if "." in host and not host.endswith((".svc", ".local")):
            return None  # outside of the cluster
    services = sorted(scene.calls.services.get(bare(workload), ()))
    if match.kind == "CertificateExpired":
        candidates = [s for s in services if _ports(scene, s) & {443, 8443, 9443}]
    else:
        candidates = [s for s in services if is_store(scene, s)]
        engine = next((e for e in _ENGINES if e[0].search(match.record.message)), None)
        if engine is not None and len(candidates) > 1:
            candidates = [s for s in candidates if engine[1].search(_words(scene, s)) or _ports(scene, s) & engine[2]]
    return backend_of(scene, candidates[0]) if len(candidates) == 1 else None


def target_of(scene: Scene, workload: ObjectRef, host: str) -> ObjectRef | None:
    """The Service or Pod a host name or address means to the workload."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return resolve(scene.snapshot, host, workload.namespace)
    return scene.calls.by_ip(host)


def backend_of(scene: Scene, target: ObjectRef) -> ObjectRef | None:
    """The one workload behind a Service, or that a pod belongs to."""
    if target.kind == "Pod":
        pod = scene.snapshot.find(target)
        return bare(scene.snapshot.workload_of(pod)) if pod is not None else None
    backends = sorted(scene.calls.backends.get(target, ()))
    return backends[0] if len(backends) == 1 else None


def is_store(scene: Scene, service: ObjectRef) -> bool:
    """Whether a database, cache or broker stands behind the Service, by names, images and ports."""
    return bool(_ports(scene, service) & _STORE_PORTS or _STORE.search(_words(scene, service)))


def _ports(scene: Scene, service: ObjectRef) -> set[int]:
    return {r.number(p, "port") for p in r.dicts(scene.snapshot.find(service) or {}, "spec", "ports")}


def _words(scene: Scene, service: ObjectRef) -> str:
    backend = backend_of(scene, service)
    obj = scene.snapshot.find(backend) if backend is not None else None
    images = [r.text(c, "image").rpartition("/")[2] for c in r.dicts(r.pod_spec(obj or {}), "containers")]
    return " ".join([service.name, backend.name if backend else "", *images])
