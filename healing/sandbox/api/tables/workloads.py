"""Rows of workloads and what keeps them alive."""

from __future__ import annotations

from typing import Any

from healing.sandbox.api.meta import parse_timestamp
from healing.sandbox.api.tables.columns import (
    NONE,
    UNKNOWN,
    UNSET,
    age,
    containers_and_images,
    human_duration,
    joined_labels,
    name_of,
    selector_text,
    since,
)
from healing.sandbox.ports import Object


def deployment(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    names, images = containers_and_images(spec)
    return [
        name_of(obj),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(obj, now),
        names,
        images,
        selector_text(spec.get("selector")),
    ]


def replicaset(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    names, images = containers_and_images(spec)
    desired = spec.get("replicas", 1)
    return [
        name_of(obj),
        desired,
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        age(obj, now),
        names,
        images,
        selector_text(spec.get("selector")),
    ]


def statefulset(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    names, images = containers_and_images(spec)
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}"
    return [name_of(obj), ready, age(obj, now), names, images]


def daemonset(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    names, images = containers_and_images(spec)
    selector = ((spec.get("template") or {}).get("spec") or {}).get("nodeSelector")
    return [
        name_of(obj),
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        joined_labels(selector),
        age(obj, now),
        names,
        images,
        selector_text(spec.get("selector")),
    ]


def job(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    names, images = containers_and_images(spec)
    succeeded, completions = status.get("succeeded", 0), spec.get("completions")
    parallelism = spec.get("parallelism", 1)
    done = f"{succeeded}/{completions}" if completions is not None else f"{succeeded}/1 of {parallelism}"
    started, finished = status.get("startTime"), status.get("completionTime")
    duration = ""
    if started:
        end = parse_timestamp(finished) if finished else now
        duration = human_duration(end - parse_timestamp(started))
    state = "Running"
    for condition in status.get("conditions") or ():
        if condition.get("status") == "True" and condition.get("type") in ("Complete", "Failed", "Suspended"):
            state = condition["type"]
    if state == "Running" and obj["metadata"].get("deletionTimestamp"):
        state = "Terminating"
    return [name_of(obj), state, done, duration, age(obj, now), names, images, selector_text(spec.get("selector"))]


def cronjob(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    names, images = containers_and_images((spec.get("jobTemplate") or {}).get("spec") or {})
    last = status.get("lastScheduleTime")
    return [
        name_of(obj),
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        str(bool(spec.get("suspend"))),
        len(status.get("active") or ()),
        since(last, now) if last else NONE,
        age(obj, now),
        names,
        images,
        selector_text(((spec.get("jobTemplate") or {}).get("spec") or {}).get("selector")),
    ]


def budget(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    minimum, maximum = spec.get("minAvailable"), spec.get("maxUnavailable")
    return [
        name_of(obj),
        "N/A" if minimum is None else str(minimum),
        "N/A" if maximum is None else str(maximum),
        status.get("disruptionsAllowed", 0),
        age(obj, now),
    ]


def _metric_texts(spec: Object, status: Object) -> str:
    current = {}
    for item in status.get("currentMetrics") or ():
        resource = item.get("resource") or item.get("containerResource") or {}
        current[resource.get("name")] = resource.get("current") or {}
    texts = []
    for item in spec.get("metrics") or ():
        resource = item.get("resource") or item.get("containerResource")
        if resource is None:
            texts.append(f"{UNKNOWN}/{item.get('type')}")
            continue
        name, target = resource.get("name"), resource.get("target") or {}
        now = current.get(name, {})
        if target.get("averageUtilization") is not None:
            have = now.get("averageUtilization")
            texts.append(f"{name}: {UNKNOWN if have is None else f'{have}%'}/{target['averageUtilization']}%")
        else:
            have = now.get("averageValue")
            texts.append(f"{name}: {UNKNOWN if have is None else have}/{target.get('averageValue')}")
    return ", ".join(texts[:2]) + (f" + {len(texts) - 2} more..." if len(texts) > 2 else "") if texts else NONE


def autoscaler(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    target = spec.get("scaleTargetRef") or {}
    minimum = spec.get("minReplicas")
    return [
        name_of(obj),
        f"{target.get('kind')}/{target.get('name')}",
        _metric_texts(spec, status),
        UNSET if minimum is None else str(minimum),
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        age(obj, now),
    ]


def revision(obj: Object, now: float) -> list[Any]:
    owners = obj["metadata"].get("ownerReferences") or ()
    controller = next((item for item in owners if item.get("controller")), None)
    text = NONE
    if controller:
        group = controller.get("apiVersion", "").rpartition("/")[0]
        kind = controller.get("kind", "").lower()
        text = f"{kind}.{group}/{controller.get('name')}" if group else f"{kind}/{controller.get('name')}"
    return [name_of(obj), text, obj.get("revision", 0), age(obj, now)]
