"""What kube-state-metrics says about storage, batch, autoscaling, namespaces and ingress, in its names and labels."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime

from cryptography import x509

from healing.sandbox.ports import Object
from healing.sandbox.signals.collect_nodes import memory

Emit = Callable[..., None]
_STATES = ("true", "false", "unknown")
_CLAIM_PHASES = ("Bound", "Lost", "Pending")
_VOLUME_PHASES = ("Available", "Bound", "Failed", "Pending", "Released")


def seconds(text: str | None) -> float | None:
    """RFC 3339 as seconds since the epoch; None: not set."""
    return datetime.fromisoformat(text).timestamp() if text else None


def where(found: Object, kind: str) -> dict[str, str]:
    return {"namespace": found["metadata"].get("namespace", ""), kind: found["metadata"]["name"]}


def created(emit: Emit, metric: str, found: Object, base: dict[str, str]) -> None:
    at = seconds(found["metadata"].get("creationTimestamp"))
    if at is not None:
        emit(metric, at, **base)


def conditions(emit: Emit, metric: str, status: Object, base: dict[str, str]) -> None:
    for condition in status.get("conditions") or ():
        for name in _STATES:
            emit(metric, condition["status"].lower() == name, **base, condition=condition["type"], status=name)


def claim(emit: Emit, found: Object) -> None:
    base, spec, status = where(found, "persistentvolumeclaim"), found.get("spec", {}), found.get("status", {})
    emit(
        "kube_persistentvolumeclaim_info", 1, **base, storageclass=spec.get("storageClassName") or "",
        volumename=spec.get("volumeName") or "", volumemode=spec.get("volumeMode") or "Filesystem",
    )  # fmt: skip
    for name in _CLAIM_PHASES:
        emit("kube_persistentvolumeclaim_status_phase", status.get("phase", "Pending") == name, **base, phase=name)
    requested = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if requested is not None:
        emit("kube_persistentvolumeclaim_resource_requests_storage_bytes", memory(requested), **base)
    for mode in spec.get("accessModes") or ():
        emit("kube_persistentvolumeclaim_access_mode", 1, **base, access_mode=mode)


def volume(emit: Emit, found: Object) -> None:
    base, spec = {"persistentvolume": found["metadata"]["name"]}, found.get("spec", {})
    emit(
        "kube_persistentvolume_info", 1, **base, storageclass=spec.get("storageClassName") or "",
        reclaim_policy=spec.get("persistentVolumeReclaimPolicy") or "",
        csi_driver=(spec.get("csi") or {}).get("driver", ""), host_path=(spec.get("hostPath") or {}).get("path", ""),
        local_path=(spec.get("local") or {}).get("path", ""), nfs_server=(spec.get("nfs") or {}).get("server", ""),
    )  # fmt: skip
    phase = found.get("status", {}).get("phase", "Pending")
    for name in _VOLUME_PHASES:
        emit("kube_persistentvolume_status_phase", phase == name, **base, phase=name)
    capacity = (spec.get("capacity") or {}).get("storage")
    if capacity is not None:
        emit("kube_persistentvolume_capacity_bytes", memory(capacity), **base)
    if reference := spec.get("claimRef"):
        of = {"claim_namespace": reference.get("namespace", ""), "name": reference.get("name", "")}
        emit("kube_persistentvolume_claim_ref", 1, **base, **of)


def job(emit: Emit, found: Object) -> None:
    base, spec, status = where(found, "job_name"), found.get("spec", {}), found.get("status", {})
    emit("kube_job_info", 1, **base)
    created(emit, "kube_job_created", found, base)
    emit("kube_job_spec_parallelism", spec.get("parallelism", 1), **base)
    for field, metric in (("completions", "completions"), ("activeDeadlineSeconds", "active_deadline_seconds")):
        if spec.get(field) is not None:
            emit(f"kube_job_spec_{metric}", spec[field], **base)
    for field, metric in (("startTime", "start_time"), ("completionTime", "completion_time")):
        at = seconds(status.get(field))
        if at is not None:
            emit(f"kube_job_status_{metric}", at, **base)
    for condition in status.get("conditions") or ():
        ended = {"Complete": "kube_job_complete", "Failed": "kube_job_failed"}.get(condition["type"])
        for name in _STATES if ended else ():
            emit(ended, condition["status"].lower() == name, **base, condition=name)
    for owner in found["metadata"].get("ownerReferences") or ():
        is_controller = "true" if owner.get("controller") else "false"
        emit(
            "kube_job_owner", 1, **base, owner_kind=owner["kind"], owner_name=owner["name"],
            owner_is_controller=is_controller,
        )  # fmt: skip


def cron_job(emit: Emit, found: Object) -> None:
    base, spec, status = where(found, "cronjob"), found.get("spec", {}), found.get("status", {})
    policy = spec.get("concurrencyPolicy") or "Allow"
    emit("kube_cronjob_info", 1, **base, schedule=spec.get("schedule", ""), concurrency_policy=policy)
    created(emit, "kube_cronjob_created", found, base)
    emit("kube_cronjob_spec_suspend", bool(spec.get("suspend")), **base)
    emit("kube_cronjob_status_active", len(status.get("active") or ()), **base)
    for field, metric in (("lastScheduleTime", "last_schedule_time"), ("lastSuccessfulTime", "last_successful_time")):
        at = seconds(status.get(field))
        if at is not None:
            emit(f"kube_cronjob_status_{metric}", at, **base)


def autoscaler(emit: Emit, found: Object) -> None:
    base, spec, status = where(found, "horizontalpodautoscaler"), found.get("spec", {}), found.get("status", {})
    target = spec.get("scaleTargetRef") or {}
    emit(
        "kube_horizontalpodautoscaler_info", 1, **base, scaletargetref_api_version=target.get("apiVersion", ""),
        scaletargetref_kind=target.get("kind", ""), scaletargetref_name=target.get("name", ""),
    )  # fmt: skip
    emit("kube_horizontalpodautoscaler_metadata_generation", found["metadata"].get("generation", 0), **base)
    created(emit, "kube_horizontalpodautoscaler_created", found, base)
    conditions(emit, "kube_horizontalpodautoscaler_status_condition", status, base)
    for entries, field, metric in (
        (spec.get("metrics"), "target", "spec_target_metric"),
        (status.get("currentMetrics"), "current", "status_target_metric"),
    ):
        for entry in entries or ():
            resource = entry.get("resource") or {}
            values = resource.get(field) or {}
            if values.get("averageUtilization") is not None:
                labels = {"metric_name": resource.get("name", ""), "metric_target_type": "utilization"}
                emit(f"kube_horizontalpodautoscaler_{metric}", values["averageUtilization"], **base, **labels)


def namespace(emit: Emit, found: Object) -> None:
    base = {"namespace": found["metadata"]["name"]}
    created(emit, "kube_namespace_created", found, base)
    for phase in ("Active", "Terminating"):
        emit(
            "kube_namespace_status_phase", found.get("status", {}).get("phase", "Active") == phase, **base, phase=phase
        )


def ingress(emit: Emit, found: Object) -> None:
    base, spec = where(found, "ingress"), found.get("spec", {})
    emit("kube_ingress_info", 1, **base, ingressclass=spec.get("ingressClassName") or "_default")
    created(emit, "kube_ingress_created", found, base)
    for rule in spec.get("rules") or ():
        for path in (rule.get("http") or {}).get("paths") or ():
            service = (path.get("backend") or {}).get("service") or {}
            port = service.get("port") or {}
            emit(
                "kube_ingress_path", 1, **base, host=rule.get("host", ""), path=path.get("path", ""),
                path_type=path.get("pathType", ""), service_name=service.get("name", ""),
                service_port=str(port.get("number") or port.get("name") or ""),
            )  # fmt: skip


def limit_range(emit: Emit, found: Object) -> None:
    base = where(found, "limitrange")
    fields = ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio")
    for entry in found.get("spec", {}).get("limits") or ():
        for field in fields:
            for resource, text in (entry.get(field) or {}).items():
                labels = {"resource": resource, "type": entry.get("type", ""), "constraint": field}
                emit("kube_limitrange", memory(text), **base, **labels)


def certificate(emit: Emit, found: Object) -> None:
    """As x509-certificate-exporter tells of Secrets of the type kubernetes.io/tls."""
    text = (found.get("data") or {}).get("tls.crt")
    if found.get("type") != "kubernetes.io/tls" or not text:
        return
    try:
        parsed = x509.load_pem_x509_certificate(base64.b64decode(text))
    except ValueError:
        return  # the exporter counts it as a read error
    meta = found["metadata"]
    names = parsed.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    base = {
        "secret_namespace": meta.get("namespace", ""),
        "secret_name": meta["name"],
        "secret_key": "tls.crt",
        "subject_CN": str(names[0].value) if names else "",
    }
    emit("x509_cert_not_before", parsed.not_valid_before_utc.timestamp(), **base)
    emit("x509_cert_not_after", parsed.not_valid_after_utc.timestamp(), **base)


MORE_COLLECTORS: dict[str, Callable[[Emit, Object], None]] = {
    "secrets": certificate,
    "persistentvolumeclaims": claim,
    "persistentvolumes": volume,
    "cronjobs.batch": cron_job,
    "namespaces": namespace,
    "ingresses.networking.k8s.io": ingress,
    "limitranges": limit_range,
}
