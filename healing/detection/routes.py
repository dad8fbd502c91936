"""Ways in from outside that lead nowhere: Ingresses and HTTPRoutes with a backend that does not exist."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from healing.detection.cache import ObjectCache
from healing.detection.owners import target
from healing.detection.sighting import Sighting
from healing.detection.times import parse_time
from healing.faults import Severity
from healing.ports.cluster import Object, ObjectRef
from healing.routes import Backend, backends, problem

#: Manifests are applied one after the other, and some charts bring the Ingress first.
GRACE_SECONDS = 10.0
#: A new route gets longer: what it leads to may be part of a later step of the same installation.
NEW_GRACE_SECONDS = 60.0
KINDS = ("Ingress", "HTTPRoute")


def route_sightings(
    route: Object, cache: ObjectCache, now: datetime, been_well: set[str] | None = None
) -> list[Sighting]:
    """Backends whose Service, or its port, does not exist.

    Deliberate and therefore no fault: a route that is being deleted, ExternalName Services (their ports mean nothing),
    and an ACME solver's, which comes and goes by itself. A Service without pods is its workload's story.

    ``been_well``: uids of routes that led somewhere when they were last looked at; kept up to date here.
    """
    meta = route.get("metadata") or {}
    if meta.get("deletionTimestamp") or _is_solver(route):
        return []
    wrong = [(backend, why) for backend in backends(route) if (why := _problem(backend, cache))]
    been_well = set() if been_well is None else been_well
    if not wrong:
        been_well.add(str(meta.get("uid")))
        return []
    created_at = parse_time(meta.get("creationTimestamp"))
    is_young = created_at is not None and (now - created_at).total_seconds() < NEW_GRACE_SECONDS
    is_new = is_young and str(meta.get("uid")) not in been_well
    backend, why = wrong[0]
    ref = ObjectRef.of(route)
    return [
        Sighting(
            target=target(route),
            subject=ref,
            symptom="BackendNotFound",
            message=f"{ref.kind} {ref.name} sends to {why}.",
            severity=Severity.CRITICAL if len(wrong) == len(backends(route)) else Severity.HIGH,
            grace_seconds=NEW_GRACE_SECONDS if is_new else GRACE_SECONDS,
            # An old route that is broken at the first look has been for an unknown time; a new one since it came.
            since=created_at,
            data={"service": backend.service, "namespace": backend.namespace, "port": backend.port},
        )
    ]


def routes_by_service(cache: ObjectCache) -> dict[tuple[str, str], list[Object]]:
    """The routes that name each Service (namespace, name), broken ones first."""
    found: dict[tuple[str, str], list[Object]] = defaultdict(list)
    for kind in KINDS:
        for route in sorted(cache.list(kind), key=lambda obj: str(obj["metadata"].get("name"))):
            for where in dict.fromkeys((backend.namespace, backend.service) for backend in backends(route)):
                found[where].append(route)
    for routes in found.values():
        routes.sort(key=lambda route: not is_broken(route, cache))
    return found


def _problem(backend: Backend, cache: ObjectCache) -> str:
    return problem(backend, cache.get("Service", backend.namespace, backend.service))


def is_broken(route: Object, cache: ObjectCache) -> bool:
    """Whether one of its backends does not exist."""
    return any(_problem(backend, cache) for backend in backends(route))


def _is_solver(route: Object) -> bool:
    labels = (route.get("metadata") or {}).get("labels") or {}
    return any(key.startswith("acme.cert-manager.io/") for key in labels)
