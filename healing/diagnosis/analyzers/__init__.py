"""The families of analyzers: a scene in, hypotheses out. None of them knows another's answer; `rank` weighs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from healing.diagnosis.analyzers import (
    admission,
    alarms,
    autoscalers,
    claims,
    clocks,
    complaints,
    config,
    control_plane,
    cpu,
    crashes,
    dependencies,
    dns,
    evictions,
    images,
    jobs,
    latency,
    memory,
    network_policies,
    network_quality,
    nodes,
    pods,
    probes,
    routes,
    scheduling,
    service_metrics,
    service_ports,
    services,
    storage,
    waits,
    workloads,
)
from healing.diagnosis.hypothesis import Hypothesis
from healing.diagnosis.scene import Scene

Analyzer = Callable[[Scene], Iterator[Hypothesis]]

#: name -> analyzer; the order decides nothing
ANALYZERS: dict[str, Analyzer] = {
    "images": images.analyze,
    "config": config.analyze,
    "crashes": crashes.analyze,
    "memory": memory.analyze,
    "cpu": cpu.analyze,
    "probes": probes.analyze,
    "scheduling": scheduling.analyze,
    "admission": admission.analyze,
    "services": services.analyze,
    "service_ports": service_ports.analyze,
    "routes": routes.analyze,
    "network_policies": network_policies.analyze,
    "network_quality": network_quality.analyze,
    "waits": waits.analyze,
    "dependencies": dependencies.analyze,
    "complaints": complaints.analyze,
    "dns": dns.analyze,
    "latency": latency.analyze,
    "service_metrics": service_metrics.analyze,
    "alarms": alarms.analyze,
    "pods": pods.analyze,
    "nodes": nodes.analyze,
    "evictions": evictions.analyze,
    "clocks": clocks.analyze,
    "storage": storage.analyze,
    "claims": claims.analyze,
    "workloads": workloads.analyze,
    "jobs": jobs.analyze,
    "autoscalers": autoscalers.analyze,
    "control_plane": control_plane.analyze,
}
