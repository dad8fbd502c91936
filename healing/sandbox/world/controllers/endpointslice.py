"""EndpointSlice: the addresses behind each Service, also those that are going away."""

from __future__ import annotations

from collections.abc import Iterable

from healing.sandbox.ports import EventType, Object
from healing.sandbox.world.controllers.endpoint_parts import (
    TRIGGER_TIME,
    Endpoint,
    PortTuple,
    endpoints_of,
    trigger_time,
)
from healing.sandbox.world.owners import owner_reference
from healing.sandbox.world.reconciler import Key, Reconciler, key_of
from healing.sandbox.world.selectors import matches_simple

RESOURCE = "endpointslices.discovery.k8s.io"
MANAGER = "endpointslice-controller.k8s.io"
MAX_PER_SLICE = 100


class ServiceFollower(Reconciler):
    """Reconciles a Service when it, or a pod it selects (or selected), changes."""

    def watch(self) -> None:
        self.on_own("services")
        self.on("pods", self._pod_changed)

    def _pod_changed(self, _event: EventType, pod: Object, old: Object | None) -> None:
        if old is not None and not _concerns_endpoints(pod, old):
            return
        for service in self.cluster.list("services", pod["metadata"]["namespace"]):
            selector = service["spec"].get("selector")
            if any(matches_simple(selector, item["metadata"].get("labels") or {}) for item in (pod, old) if item):
                self.queue.add(key_of(service))


class EndpointSliceController(ServiceFollower):
    component = "endpointslice-controller"

    def watch(self) -> None:
        super().watch()
        self.on(RESOURCE, self._slice_changed)

    def _slice_changed(self, event: EventType, item: Object, _old: Object | None) -> None:
        labels = item["metadata"].get("labels") or {}
        if event == "DELETED" and labels.get("endpointslice.kubernetes.io/managed-by") == MANAGER:
            self.queue.add((item["metadata"]["namespace"], labels.get("kubernetes.io/service-name", "")))

    def reconcile(self, key: Key) -> None:
        namespace, name = key
        labels = {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": MANAGER}
        service = self.cluster.get("services", namespace, name)
        present = list(self.cluster.list(RESOURCE, namespace, labels))
        if service is None or not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
            for item in present:
                self.cluster.delete(RESOURCE, *key_of(item), user=self.user)
            return
        groups: dict[tuple[PortTuple, ...], list[Endpoint]] = {}
        for endpoint in endpoints_of(self.cluster, service):
            groups.setdefault(endpoint.ports, []).append(endpoint)
        wanted: list[tuple[tuple[PortTuple, ...] | None, list[Endpoint]]] = []
        for ports, members in groups.items():
            ordered = self._keep_order(present, members)
            wanted += [(ports, ordered[i : i + MAX_PER_SLICE]) for i in range(0, len(ordered), MAX_PER_SLICE)]
        left = list(present)
        for slice_ports, members in wanted or [(None, [])]:
            match = self._best_match(left, members)
            if match is None:
                self._create(service, labels, slice_ports, members)
            else:
                left.remove(match)
                self._update(match, service, slice_ports, members)
        for item in left:
            self.cluster.delete(RESOURCE, *key_of(item), user=self.user)

    @staticmethod
    def _keep_order(present: Iterable[Object], members: list[Endpoint]) -> list[Endpoint]:
        """Endpoints stay where they are in their slice; new ones come last."""
        position = {
            (entry.get("targetRef") or {}).get("uid"): index
            for index, entry in enumerate(e for item in present for e in item.get("endpoints") or ())
        }
        return sorted(members, key=lambda e: position.get(e.uid, len(position)))

    @staticmethod
    def _best_match(present: list[Object], members: list[Endpoint]) -> Object | None:
        uids = {e.uid for e in members}

        def shared(item: Object) -> int:
            return sum((e.get("targetRef") or {}).get("uid") in uids for e in item.get("endpoints") or ())

        return max(present, key=shared, default=None)

    def _create(
        self, service: Object, labels: dict[str, str], ports: tuple[PortTuple, ...] | None, members: list[Endpoint]
    ) -> None:
        metadata = service["metadata"]
        body: Object = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "generateName": f"{metadata['name']}-",
                "labels": self._labels(service) | labels,
                "annotations": {TRIGGER_TIME: trigger_time(members) or metadata["creationTimestamp"]},
                "ownerReferences": [owner_reference(service, "v1", "Service")],
            },
            "addressType": "IPv4",
            **self._content(service, ports, members),
        }
        self.cluster.create(RESOURCE, metadata["namespace"], body, user=self.user)

    def _update(
        self, item: Object, service: Object, ports: tuple[PortTuple, ...] | None, members: list[Endpoint]
    ) -> None:
        content = self._content(service, ports, members)
        if all(item.get(field) == value for field, value in content.items()):
            return
        trigger = trigger_time(members)

        def change(body: Object) -> None:
            body.update(content)
            annotations = body["metadata"].get("annotations") or {}
            if trigger is not None:
                body["metadata"]["annotations"] = {**annotations, TRIGGER_TIME: trigger}

        self.cluster.mutate(RESOURCE, *key_of(item), change, user=self.user)

    @staticmethod
    def _labels(service: Object) -> dict[str, str]:
        labels = dict(service["metadata"].get("labels") or {})
        if service["spec"].get("clusterIP") == "None":
            labels["service.kubernetes.io/headless"] = ""
        return labels

    @staticmethod
    def _content(service: Object, ports: tuple[PortTuple, ...] | None, members: list[Endpoint]) -> Object:
        name = service["metadata"]["name"]
        entries = []
        for endpoint in members:
            entry: Object = {
                "addresses": [endpoint.ip],
                "conditions": {
                    "ready": endpoint.ready, "serving": endpoint.serving, "terminating": endpoint.terminating,
                },
            }  # fmt: skip
            spec = endpoint.pod["spec"]
            if spec.get("hostname") and spec.get("subdomain") == name:
                entry["hostname"] = spec["hostname"]
            entry["targetRef"] = endpoint.target()
            if spec.get("nodeName"):
                entry["nodeName"] = spec["nodeName"]
            entries.append(entry)
        return {
            "endpoints": entries or None,
            "ports": [{"name": n, "protocol": protocol, "port": number} for n, protocol, number in ports]
            if ports
            else None,
        }


def _concerns_endpoints(pod: Object, old: Object) -> bool:
    """Whether a change of a pod can change any endpoint."""

    def view(item: Object) -> tuple[object, ...]:
        status = item.get("status") or {}
        ready = next((c["status"] for c in status.get("conditions") or () if c["type"] == "Ready"), None)
        metadata = item["metadata"]
        return (
            metadata.get("labels"), metadata.get("deletionTimestamp"), item["spec"].get("nodeName"),
            status.get("phase"), status.get("podIP"), ready,
        )  # fmt: skip

    return view(pod) != view(old)
