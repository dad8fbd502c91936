"""Endpoints: the older form of EndpointSlices, which many clients still read."""

from __future__ import annotations

from healing.sandbox.ports import Object
from healing.sandbox.world.controllers.endpoint_parts import (
    TRIGGER_TIME,
    Endpoint,
    PortTuple,
    endpoints_of,
    trigger_time,
)
from healing.sandbox.world.controllers.endpointslice import ServiceFollower
from healing.sandbox.world.reconciler import Key

RESOURCE = "endpoints"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"


class EndpointsController(ServiceFollower):
    component = "endpoint-controller"

    def reconcile(self, key: Key) -> None:
        service = self.cluster.get("services", *key)
        present = self.cluster.get(RESOURCE, *key)
        if service is None:
            if present is not None and MANAGED_BY in (present["metadata"].get("labels") or {}):
                self.cluster.delete(RESOURCE, *key, user=self.user)
            return
        if not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
            return
        members = [e for e in endpoints_of(self.cluster, service) if e.ready or not e.terminating]
        self._write(key, service, present, self._subsets(service, members), trigger_time(members))

    @staticmethod
    def _subsets(service: Object, members: list[Endpoint]) -> list[Object]:
        groups: dict[tuple[PortTuple, ...], dict[str, list[Object]]] = {}
        for endpoint in sorted(members, key=lambda e: tuple(int(part) for part in e.ip.split("."))):
            if not endpoint.ports and service["spec"].get("ports"):
                continue
            address: Object = {"ip": endpoint.ip}
            if endpoint.pod["spec"].get("nodeName"):
                address["nodeName"] = endpoint.pod["spec"]["nodeName"]
            address["targetRef"] = endpoint.target()
            field = "addresses" if endpoint.ready else "notReadyAddresses"
            groups.setdefault(endpoint.ports, {}).setdefault(field, []).append(address)
        return [{**addresses, "ports": [_port(p) for p in ports]} for ports, addresses in sorted(groups.items())]

    def _write(
        self, key: Key, service: Object, present: Object | None, subsets: list[Object], changed_at: str | None
    ) -> None:
        if present is not None and (present.get("subsets") or []) == subsets:
            return
        trigger = changed_at or service["metadata"]["creationTimestamp"]
        labels = dict(service["metadata"].get("labels") or {}) | {MANAGED_BY: "endpoint-controller"}
        if service["spec"].get("clusterIP") == "None":
            labels["service.kubernetes.io/headless"] = ""
        if present is None:
            body: Object = {
                "apiVersion": "v1",
                "kind": "Endpoints",
                "metadata": {"name": key[1], "labels": labels, "annotations": {TRIGGER_TIME: trigger}},
            }
            if subsets:
                body["subsets"] = subsets
            self.cluster.create(RESOURCE, key[0], body, user=self.user)
            return

        def change(item: Object) -> None:
            item["metadata"]["labels"] = labels
            item["metadata"].setdefault("annotations", {})[TRIGGER_TIME] = trigger
            if subsets:
                item["subsets"] = subsets
            else:
                item.pop("subsets", None)

        self.cluster.mutate(RESOURCE, *key, change, user=self.user)


def _port(port: PortTuple) -> Object:
    name, protocol, number = port
    return {**({"name": name} if name else {}), "port": number, "protocol": protocol}
