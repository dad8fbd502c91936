"""Which workloads a policy covers now, read from the live cluster before anybody saves it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from healing.deadline import Deadline
from healing.models import Policy
from healing.policies.select import labels_of, select
from healing.policies.spec import PolicySpec
from healing.ports import get_ports
from healing.ports.cluster import Cluster, Object
from healing.ports.errors import Forbidden, NotFound, SourceError

KINDS = ("Deployment", "StatefulSet", "DaemonSet", "CronJob")
SHOWN = 200
_SECONDS = 6.0
#: More namespaces than this are read with one question about all.
_ONE_BY_ONE = 5


@dataclass(frozen=True, slots=True)
class Match:
    """One workload. ``governed_by``: another policy that is more specific; empty: this one."""

    kind: str
    namespace: str
    name: str
    replicas: int | None
    governed_by: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """``labels``: of all workloads that were read. ``problems``: what could not be read, in words."""

    matches: tuple[Match, ...]
    seen: int
    missing_namespaces: tuple[str, ...]
    problems: tuple[str, ...]
    labels: Mapping[tuple[str, str, str], Mapping[str, str]]

    @property
    def governed(self) -> list[Match]:
        """Those that this policy would govern."""
        return [match for match in self.matches if not match.governed_by]

    @property
    def shown(self) -> list[Match]:
        """As many as people read."""
        return list(self.matches[:SHOWN])

    @property
    def counts(self) -> list[tuple[str, int]]:
        """(namespace, workloads) of all that match."""
        return sorted(Counter(match.namespace for match in self.matches).items())


def preview(cluster_name: str, spec: PolicySpec, *, policy_id: int | None = None) -> Preview:
    """Never raises for a cluster that is away: ``problems`` says so."""
    try:
        cluster = get_ports(cluster_name).cluster
    except LookupError as error:
        return Preview((), 0, (), (str(error),), {})
    found, problems = _read(cluster, spec, Deadline.after(_SECONDS))
    others = [(str(policy), other) for policy, other in Policy.usable(cluster_name) if policy.pk != policy_id]
    matches = []
    for obj in found:
        meta, labels = obj["metadata"], labels_of(obj)
        namespace = str(meta.get("namespace") or "")
        if not spec.covers(namespace, labels):
            continue
        winner = select([("", spec), *others], namespace, labels) or ""
        replicas = (obj.get("spec") or {}).get("replicas")
        replicas = replicas if isinstance(replicas, int) else None
        matches.append(Match(str(obj["kind"]), namespace, str(meta["name"]), replicas, winner))
    return Preview(
        tuple(sorted(matches, key=lambda m: (m.namespace, m.kind, m.name))),
        len(found),
        _missing(cluster, spec) if not problems else (),
        tuple(problems),
        {
            (str(o["kind"]), str(o["metadata"].get("namespace")), str(o["metadata"]["name"])): labels_of(o)
            for o in found
        },
    )


def _key(obj: Object) -> tuple[str, str, str]:
    return str(obj["kind"]), str(obj["metadata"].get("namespace") or ""), str(obj["metadata"]["name"])


def _read(cluster: Cluster, spec: PolicySpec, deadline: Deadline) -> tuple[list[Object], list[str]]:
    names = spec.target_namespaces if len(spec.target_namespaces) <= _ONE_BY_ONE else [""]
    found: list[Object] = []
    problems: dict[str, None] = {}
    for kind in KINDS:
        for namespace in names:
            try:
                listed = cluster.list(kind, namespace, timeout_seconds=deadline.remaining_seconds(at_most=3.0))
            except Forbidden:
                problems[f"ReCiSt may not list {kind}s in {namespace or 'all namespaces'}."] = None
            except SourceError as error:
                return found, [*problems, f"The cluster does not answer, so this is not complete: {error}"]
            else:
                found += listed.items
    return found, list(problems)


def _missing(cluster: Cluster, spec: PolicySpec) -> tuple[str, ...]:
    """Namespaces that do not exist (yet): often a typing error."""
    missing = []
    for name in spec.target_namespaces[:_ONE_BY_ONE]:
        try:
            cluster.get("Namespace", "", name, timeout_seconds=2.0)
        except NotFound:
            missing.append(name)
        except SourceError:
            break
    return tuple(missing)
