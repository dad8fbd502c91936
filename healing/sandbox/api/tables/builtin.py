"""Tables of the other built-in kinds."""

from __future__ import annotations

from typing import Any

from healing.sandbox.api.meta import parse_timestamp
from healing.sandbox.api.tables.columns import (
    NONE,
    UNKNOWN,
    UNSET,
    Layout,
    age,
    containers_and_images,
    human_duration,
    joined_labels,
    name_of,
    parse_columns,
    selector_text,
    since,
)
from healing.sandbox.api.tables.pods import PODS
from healing.sandbox.ports import Object


def _deployment(obj: Object, now: float) -> list[Any]:
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


def _replicaset(obj: Object, now: float) -> list[Any]:
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


def _statefulset(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    names, images = containers_and_images(spec)
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}"
    return [name_of(obj), ready, age(obj, now), names, images]


def _daemonset(obj: Object, now: float) -> list[Any]:
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


def _job(obj: Object, now: float) -> list[Any]:
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


def _cronjob(obj: Object, now: float) -> list[Any]:
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


def _service(obj: Object, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    ports = []
    for port in spec.get("ports") or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}")
    kind = spec.get("type", "ClusterIP")
    external = ",".join(spec.get("externalIPs") or ()) or NONE
    if kind == "LoadBalancer":
        ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        external = ",".join(item.get("ip") or item.get("hostname") or "" for item in ingress) or "<pending>"
    elif kind == "ExternalName":
        external = spec.get("externalName", "")
    return [
        name_of(obj),
        kind,
        spec.get("clusterIP") or NONE,
        external,
        ",".join(ports) or NONE,
        age(obj, now),
        joined_labels(spec.get("selector")),
    ]


def _endpoints(obj: Object, now: float) -> list[Any]:
    found = []
    for subset in obj.get("subsets") or ():
        ports = [port.get("port") for port in subset.get("ports") or ()] or [None]
        for port in ports:
            for address in subset.get("addresses") or ():
                found.append(f"{address.get('ip')}:{port}" if port else str(address.get("ip")))
    return [name_of(obj), _some(found, 3), age(obj, now)]


def _some(items: list[str], count: int) -> str:
    if not items:
        return NONE
    more = f" + {len(items) - count} more..." if len(items) > count else ""
    return ",".join(items[:count]) + more


def _endpoint_slice(obj: Object, now: float) -> list[Any]:
    addresses = [address for item in obj.get("endpoints") or () for address in item.get("addresses") or ()]
    ports = [str(item.get("port", "*")) for item in obj.get("ports") or ()]
    return [
        name_of(obj),
        obj.get("addressType", ""),
        _some(ports, 3) if ports else UNSET,
        _some(addresses, 3) if addresses else UNSET,
        age(obj, now),
    ]


def _node(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    conditions = {item.get("type"): item.get("status") for item in status.get("conditions") or ()}
    state = "Unknown"
    if "Ready" in conditions:
        state = "Ready" if conditions["Ready"] == "True" else "NotReady"
    if spec.get("unschedulable"):
        state += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    roles = sorted(key.removeprefix(prefix) for key in obj["metadata"].get("labels") or {} if key.startswith(prefix))
    info = status.get("nodeInfo") or {}
    addresses = {item.get("type"): item.get("address") for item in status.get("addresses") or ()}
    kernel = info.get("kernelVersion") or UNKNOWN
    if info.get("architecture"):
        kernel = f"{kernel} ({info['architecture']})"
    return [
        name_of(obj),
        state,
        ",".join(role for role in roles if role) or NONE,
        age(obj, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP") or NONE,
        addresses.get("ExternalIP") or NONE,
        info.get("osImage") or UNKNOWN,
        kernel,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _event(obj: Object, now: float) -> list[Any]:
    involved = obj.get("involvedObject") or {}
    series = obj.get("series") or {}
    event_time = obj.get("eventTime")
    first = obj.get("firstTimestamp") or event_time
    last = series.get("lastObservedTime") or obj.get("lastTimestamp") or first
    source = obj.get("source") or {}
    component = source.get("component") or obj.get("reportingComponent") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return [
        since(last, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}",
        involved.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        str(obj.get("message", "")).strip(),
        since(first, now),
        series.get("count") or obj.get("count") or 1,
        name_of(obj),
    ]


def _namespace(obj: Object, now: float) -> list[Any]:
    return [name_of(obj), (obj.get("status") or {}).get("phase", ""), age(obj, now)]


def _configmap(obj: Object, now: float) -> list[Any]:
    return [name_of(obj), len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), age(obj, now)]


def _secret(obj: Object, now: float) -> list[Any]:
    return [name_of(obj), obj.get("type", ""), len(obj.get("data") or {}), age(obj, now)]


def _name_and_age(obj: Object, now: float) -> list[Any]:
    return [name_of(obj), age(obj, now)]


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(modes: Any) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in modes or ())


def _claim(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    phase = "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase", "")
    bound = bool(spec.get("volumeName"))
    return [
        name_of(obj),
        phase,
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "") if bound else "",
        _modes(status.get("accessModes")) if bound else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or UNSET,
        age(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def _volume(obj: Object, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    claim = spec.get("claimRef") or {}
    phase = "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase", "")
    return [
        name_of(obj),
        (spec.get("capacity") or {}).get("storage", ""),
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        phase,
        f"{claim.get('namespace')}/{claim.get('name')}" if claim else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or UNSET,
        status.get("reason", ""),
        age(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def _quota(obj: Object, now: float) -> list[Any]:
    status = obj.get("status") or {}
    used = status.get("used") or {}
    requests, limits = [], []
    for name, hard in sorted((status.get("hard") or {}).items()):
        text = f"{name}: {used.get(name, '0')}/{hard}"
        (limits if name.startswith("limits.") else requests).append(text)
    return [name_of(obj), ", ".join(requests), ", ".join(limits), age(obj, now)]


def _lease(obj: Object, now: float) -> list[Any]:
    return [name_of(obj), (obj.get("spec") or {}).get("holderIdentity", ""), age(obj, now)]


def _network_policy(obj: Object, now: float) -> list[Any]:
    return [name_of(obj), selector_text((obj.get("spec") or {}).get("podSelector")), age(obj, now)]


def _ingress(obj: Object, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    hosts = [rule.get("host") or "*" for rule in spec.get("rules") or ()]
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    addresses = ",".join(item.get("ip") or item.get("hostname") or "" for item in ingress)
    return [
        name_of(obj),
        spec.get("ingressClassName") or NONE,
        _some(hosts, 3) if hosts else "*",
        addresses,
        "80, 443" if spec.get("tls") else "80",
        age(obj, now),
    ]


def _budget(obj: Object, now: float) -> list[Any]:
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


def _autoscaler(obj: Object, now: float) -> list[Any]:
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


def _storage_class(obj: Object, now: float) -> list[Any]:
    annotations = obj["metadata"].get("annotations") or {}
    default = annotations.get("storageclass.kubernetes.io/is-default-class") == "true"
    return [
        f"{name_of(obj)} (default)" if default else name_of(obj),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy", "Delete"),
        obj.get("volumeBindingMode", "Immediate"),
        bool(obj.get("allowVolumeExpansion")),
        age(obj, now),
    ]


def _role(obj: Object, now: float) -> list[Any]:
    return [name_of(obj), obj["metadata"].get("creationTimestamp", "")]


def _binding(obj: Object, now: float) -> list[Any]:
    reference = obj.get("roleRef") or {}
    by_kind: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        name = subject.get("name", "")
        if subject.get("kind") == "ServiceAccount":
            name = f"{subject.get('namespace')}/{name}"
        by_kind.setdefault(subject.get("kind", ""), []).append(name)
    return [
        name_of(obj),
        f"{reference.get('kind')}/{reference.get('name')}",
        age(obj, now),
        ", ".join(by_kind["User"]),
        ", ".join(by_kind["Group"]),
        ", ".join(by_kind["ServiceAccount"]),
    ]


def _priority_class(obj: Object, now: float) -> list[Any]:
    return [name_of(obj), obj.get("value", 0), bool(obj.get("globalDefault")), age(obj, now), obj.get("preemptionPolicy", "")]


def _revision(obj: Object, now: float) -> list[Any]:
    owners = obj["metadata"].get("ownerReferences") or ()
    controller = next((item for item in owners if item.get("controller")), None)
    text = NONE
    if controller:
        group = controller.get("apiVersion", "").rpartition("/")[0]
        kind = controller.get("kind", "").lower()
        text = f"{kind}.{group}/{controller.get('name')}" if group else f"{kind}/{controller.get('name')}"
    return [name_of(obj), text, obj.get("revision", 0), age(obj, now)]


_BINDING_COLUMNS = parse_columns("Name, Role, Age, Users!, Groups!, ServiceAccounts!")
_ROLE_COLUMNS = parse_columns("Name, Created At:date")

LAYOUTS: dict[str, Layout] = {
    "pods": PODS,
    "deployments.apps": Layout(
        parse_columns("Name, Ready, Up-to-date, Available, Age, Containers!, Images!, Selector!"), _deployment
    ),
    "replicasets.apps": Layout(
        parse_columns("Name, Desired:integer, Current:integer, Ready:integer, Age, Containers!, Images!, Selector!"),
        _replicaset,
    ),
    "replicationcontrollers": Layout(
        parse_columns("Name, Desired:integer, Current:integer, Ready:integer, Age, Containers!, Images!, Selector!"),
        _replicaset,
    ),
    "statefulsets.apps": Layout(parse_columns("Name, Ready, Age, Containers!, Images!"), _statefulset),
    "daemonsets.apps": Layout(
        parse_columns(
            "Name, Desired:integer, Current:integer, Ready:integer, Up-to-date:integer, Available:integer, "
            "Node Selector, Age, Containers!, Images!, Selector!"
        ),
        _daemonset,
    ),
    "jobs.batch": Layout(
        parse_columns("Name, Status, Completions, Duration, Age, Containers!, Images!, Selector!"), _job
    ),
    "cronjobs.batch": Layout(
        parse_columns(
            "Name, Schedule, Timezone, Suspend:boolean, Active:integer, Last Schedule, Age, Containers!, Images!, Selector!"
        ),
        _cronjob,
    ),
    "services": Layout(parse_columns("Name, Type, Cluster-IP, External-IP, Port(s), Age, Selector!"), _service),
    "endpoints": Layout(parse_columns("Name, Endpoints, Age"), _endpoints),
    "endpointslices.discovery.k8s.io": Layout(
        parse_columns("Name, AddressType, Ports, Endpoints, Age"), _endpoint_slice
    ),
    "nodes": Layout(
        parse_columns(
            "Name, Status, Roles, Age, Version, Internal-IP!, External-IP!, OS-Image!, Kernel-Version!, Container-Runtime!"
        ),
        _node,
    ),
    "events": Layout(
        parse_columns("Last Seen, Type, Reason, Object, Subobject!, Source!, Message, First Seen!, Count!, Name!"), _event
    ),
    "namespaces": Layout(parse_columns("Name, Status, Age"), _namespace),
    "configmaps": Layout(parse_columns("Name, Data, Age"), _configmap),
    "secrets": Layout(parse_columns("Name, Type, Data, Age"), _secret),
    "serviceaccounts": Layout(parse_columns("Name, Age"), _name_and_age),
    "persistentvolumeclaims": Layout(
        parse_columns(
            "Name, Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, Age, VolumeMode!"
        ),
        _claim,
    ),
    "persistentvolumes": Layout(
        parse_columns(
            "Name, Capacity, Access Modes, Reclaim Policy, Status, Claim, StorageClass, VolumeAttributesClass, Reason, Age, "
            "VolumeMode!"
        ),
        _volume,
    ),
    "resourcequotas": Layout(parse_columns("Name, Request, Limit, Age"), _quota),
    "leases.coordination.k8s.io": Layout(parse_columns("Name, Holder, Age"), _lease),
    "networkpolicies.networking.k8s.io": Layout(parse_columns("Name, Pod-Selector, Age"), _network_policy),
    "ingresses.networking.k8s.io": Layout(parse_columns("Name, Class, Hosts, Address, Ports, Age"), _ingress),
    "poddisruptionbudgets.policy": Layout(
        parse_columns("Name, Min Available, Max Unavailable, Allowed Disruptions:integer, Age"), _budget
    ),
    "horizontalpodautoscalers.autoscaling": Layout(
        parse_columns("Name, Reference, Targets, MinPods, MaxPods, Replicas, Age"), _autoscaler
    ),
    "storageclasses.storage.k8s.io": Layout(
        parse_columns("Name, Provisioner, ReclaimPolicy, VolumeBindingMode, AllowVolumeExpansion, Age"), _storage_class
    ),
    "roles.rbac.authorization.k8s.io": Layout(_ROLE_COLUMNS, _role),
    "clusterroles.rbac.authorization.k8s.io": Layout(_ROLE_COLUMNS, _role),
    "rolebindings.rbac.authorization.k8s.io": Layout(_BINDING_COLUMNS, _binding),
    "clusterrolebindings.rbac.authorization.k8s.io": Layout(_BINDING_COLUMNS, _binding),
    "priorityclasses.scheduling.k8s.io": Layout(
        parse_columns("Name, Value:integer, Global-Default:boolean, Age, PreemptionPolicy"), _priority_class
    ),
    "controllerrevisions.apps": Layout(parse_columns("Name, Controller, Revision:integer, Age"), _revision),
}
