"""The world's own measure of how well each service is: what a call to it would come to, by the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from healing.sandbox.apps import latency
from healing.sandbox.apps.model import Outcome
from healing.sandbox.apps.runtime import AppRuntime
from healing.sandbox.ports import Cluster, Object

#: a service is well when nearly all of its calls succeed in a bearable time
WELL_SUCCESS = 0.97
WELL_P99_SECONDS = 2.0
_SPREAD = 0.45


def service_health(cluster: Cluster, runtime: AppRuntime) -> list[dict[str, Any]]:
    """One entry a Service with a selector."""
    traffic = runtime.traffic
    found: list[dict[str, Any]] = []
    for service in cluster.list("services"):
        meta, spec = service["metadata"], service.get("spec", {})
        ports = spec.get("ports") or []
        if not spec.get("selector") or not ports or traffic is None:
            continue
        outcome = traffic.synthetic(meta["namespace"], meta["name"], int(ports[0]["port"]))
        found.append(_entry(meta["namespace"], meta["name"], outcome))
    return found


def host_health(runtime: AppRuntime) -> list[dict[str, Any]]:
    """One entry a host and path that users ask for, through Ingresses and HTTPRoutes."""
    found: list[dict[str, Any]] = []
    traffic = runtime.traffic
    for source in traffic.sources if traffic is not None else ():
        if traffic is not None and source.host:
            entry = _entry("", "", traffic.synthetic_route(source.host, source.path))
            entry.pop("namespace")
            entry.pop("service")
            found.append({"host": source.host, "path": source.path, **entry})
    return found


def _entry(namespace: str, name: str, outcome: Outcome) -> dict[str, Any]:
    success = max(0.0, 1.0 - outcome.failed)
    p99 = latency.quantile(outcome.mixture, 0.99, _SPREAD)
    return {
        "namespace": namespace,
        "service": name,
        "successRate": round(success, 4),
        "p50Seconds": round(latency.quantile(outcome.mixture, 0.5, _SPREAD), 4),
        "p99Seconds": round(p99, 4),
        "causes": {cause: round(share, 4) for cause, share in outcome.causes.items()},
        "well": success >= WELL_SUCCESS and p99 <= WELL_P99_SECONDS,
    }


def workload_health(cluster: Cluster, runtime: AppRuntime) -> list[dict[str, Any]]:
    """One entry a Deployment, StatefulSet or DaemonSet: does it have the updated and ready pods it asks for."""
    found = [_replicated(live, "Deployment") for live in cluster.list("deployments.apps")]
    found += [_replicated(live, "StatefulSet") for live in cluster.list("statefulsets.apps")]
    found += [_daemons(live) for live in cluster.list("daemonsets.apps")]
    jobs = cluster.list("jobs.batch")
    found += [_cron(live, jobs) for live in cluster.list("cronjobs.batch")]
    return found + [_job(live) for live in jobs if not live["metadata"].get("ownerReferences")]


def _cron(live: Object, jobs: Sequence[Object]) -> dict[str, Any]:
    """A CronJob is as well as the newest of its Jobs that has ended; those before say nothing of today."""
    uid = live["metadata"]["uid"]
    owned = [job for job in jobs if any(o["uid"] == uid for o in job["metadata"].get("ownerReferences") or ())]
    verdicts = [
        (job["metadata"]["creationTimestamp"], condition["type"] == "Complete")
        for job in owned
        for condition in job.get("status", {}).get("conditions") or ()
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True"
    ]
    well = max(verdicts, default=("", True))[1]
    return {**_workload(live, "CronJob", 0, 0, 0, 0), "well": well}


def _job(live: Object) -> dict[str, Any]:
    """A Job is well while it has not failed for good."""
    spec, status = live.get("spec", {}), live.get("status", {})
    wanted, done = int(spec.get("completions") or 1), int(status.get("succeeded", 0))
    entry = _workload(live, "Job", wanted, done, done, done)
    failed = any(c.get("type") == "Failed" and c.get("status") == "True" for c in status.get("conditions") or ())
    return {**entry, "well": not failed}


def _replicated(live: Object, kind: str) -> dict[str, Any]:
    spec, status = live.get("spec", {}), live.get("status", {})
    wanted = int(spec.get("replicas", 1))
    updated = int(status.get("updatedReplicas", 0))
    if kind == "StatefulSet" and _keeps_revisions(spec):
        updated = wanted
    return _workload(live, kind, wanted, int(status.get("readyReplicas", 0)), updated, int(status.get("replicas", 0)))


def _keeps_revisions(spec: Object) -> bool:
    """Whether old pods are meant to stay: nothing replaces them by itself, or a partition holds some back."""
    strategy = spec.get("updateStrategy") or {}
    return strategy.get("type") == "OnDelete" or bool((strategy.get("rollingUpdate") or {}).get("partition"))


def _daemons(live: Object) -> dict[str, Any]:
    status = live.get("status", {})
    wanted = int(status.get("desiredNumberScheduled", 0))
    updated = int(status.get("updatedNumberScheduled", 0))
    if (live.get("spec", {}).get("updateStrategy") or {}).get("type") == "OnDelete":
        updated = wanted
    there = int(status.get("currentNumberScheduled", 0))
    return _workload(live, "DaemonSet", wanted, int(status.get("numberReady", 0)), updated, there)


def _workload(live: Object, kind: str, wanted: int, ready: int, updated: int, there: int) -> dict[str, Any]:
    meta = live["metadata"]
    observed = live.get("status", {}).get("observedGeneration", 0) >= meta.get("generation", 0)
    return {
        "namespace": meta["namespace"],
        "kind": kind,
        "name": meta["name"],
        "replicas": wanted,
        "ready": ready,
        "updated": updated,
        "well": observed and ready >= wanted and updated >= wanted and there == wanted,
    }


def health(cluster: Cluster, runtime: AppRuntime) -> dict[str, Any]:
    services, workloads = service_health(cluster, runtime), workload_health(cluster, runtime)
    sources = [
        {
            "namespace": source.namespace,
            "service": source.service,
            **({"host": source.host, "path": source.path} if source.host else {}),
            "requestsPerSecond": source.requests_per_second,
            "successRate": round(source.success, 4),
            "p99Seconds": round(latency.quantile(source.mixture, 0.99, _SPREAD), 4) if source.mixture else 0.0,
        }
        for source in (runtime.traffic.sources if runtime.traffic else [])
    ]
    hosts = host_health(runtime)
    return {
        "well": all(entry["well"] for entry in (*services, *workloads, *hosts)),
        "hosts": hosts,
        "services": services,
        "workloads": workloads,
        "users": sources,
    }
