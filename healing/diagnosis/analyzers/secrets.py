"""Secrets and ConfigMaps a container reads that were changed lately: who changed what its program now complains of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from healing.diagnosis import reading as r
from healing.diagnosis.hypothesis import bare
from healing.diagnosis.reading import Object
from healing.diagnosis.revisions import last_change
from healing.diagnosis.scene import Container, Scene
from healing.diagnosis.snapshot import recent
from healing.ports.cluster import ObjectRef

_LATELY = timedelta(hours=1)


def names_read(pod: Object, container: Object, kind: str) -> list[str]:
    """Names of the ConfigMaps or Secrets the container reads, sorted."""
    key, source, volume = {
        "ConfigMap": ("configMapKeyRef", "configMapRef", ("configMap", "name")),
        "Secret": ("secretKeyRef", "secretRef", ("secret", "secretName")),
    }[kind]
    found = {r.text(e, "valueFrom", key, "name") for e in r.dicts(container, "env")}
    found |= {r.text(e, source, "name") for e in r.dicts(container, "envFrom")}
    mounted = {r.text(m, "name") for m in r.dicts(container, "volumeMounts")}
    for one in r.dicts(pod, "spec", "volumes"):
        if mounted and r.text(one, "name") not in mounted:
            continue
        found.add(r.text(one, *volume))
        found |= set(_projected(one, volume[0]))
    return sorted(found - {"", "kube-root-ca.crt", "openshift-service-ca.crt"})


def _projected(volume: Object, kind: str) -> Iterator[str]:
    for source in r.dicts(volume, "projected", "sources"):
        yield r.text(source, kind, "name")


def changed_secret(scene: Scene, workload: ObjectRef, container: Container) -> tuple[ObjectRef, str] | None:
    """(Secret, or the workload that still has the old one; words) where a Secret the container reads was changed."""
    started = r.moment(container.status, "state", "running", "startedAt") or r.moment(
        container.pod, "metadata", "creationTimestamp"
    )
    best: tuple[str, ObjectRef, str] | None = None
    for name in names_read(container.pod, container.spec, "Secret"):
        obj = scene.snapshot.get("Secret", workload.namespace, name)
        if obj is None:
            continue
        when, who = last_change(obj, fields="f:data")
        created = r.moment(obj, "metadata", "creationTimestamp")
        if when is None or when == created or not recent(when, scene.now, _LATELY):
            continue
        by = f" by {who}" if who else ""
        if started is not None and started < when:
            words = f"Secret {name} was changed{by} after it started: it still has the old value."
            found = (r.iso(when), bare(workload), words)
        else:
            found = (
                r.iso(when),
                bare(ObjectRef.of(obj, "Secret")),
                f"Secret {name} was changed{by} before it started.",
            )
        best = max(best, found) if best is not None else found
    return (best[1], best[2]) if best is not None else None
