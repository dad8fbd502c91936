"""Gateways and HTTPRoutes: what their controller (here in Envoy Gateway's words) says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from healing.sandbox.ports import EventType, Object
from healing.sandbox.world import conditions
from healing.sandbox.world.reconciler import Key, Reconciler, key_of

GROUP = "gateway.networking.k8s.io"
CLASSES, GATEWAYS, ROUTES = f"gatewayclasses.{GROUP}", f"gateways.{GROUP}", f"httproutes.{GROUP}"
CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"
#: where the outside reaches the gateways (an address of the documentation's range)
ADDRESS = "203.0.113.80"

Verdict = tuple[str, str, str]
StatusOf = Callable[[Object], Object | None]
_RESOLVED = ("True", "ResolvedRefs", "Resolved all the Object references for the Route")


class GatewayController(Reconciler):
    component = "envoy-gateway"
    account = "envoy-gateway"

    def watch(self) -> None:
        for resource in (CLASSES, GATEWAYS, ROUTES):
            self.on(resource, lambda _event, item, _old: self.queue.add(_route_key(item)))
            for item in self.cluster.list(resource):
                self.queue.add(_route_key(item))
        self.on("services", self._service_changed)

    def _service_changed(self, _event: EventType, _item: Object, _old: Object | None) -> None:
        for route in self.cluster.list(ROUTES):
            self.queue.add(_route_key(route))

    def reconcile(self, key: Key) -> None:
        kind, _, namespace = key[0].partition("/")
        if kind == "GatewayClass":
            self._write(CLASSES, None, key[1], self._class_status)
            for gateway in self.cluster.list(GATEWAYS):
                if gateway["spec"].get("gatewayClassName") == key[1]:
                    self.queue.add(_route_key(gateway))
        elif kind == "Gateway":
            self._write(GATEWAYS, namespace, key[1], self._gateway_status)
            for route in self.cluster.list(ROUTES):
                self.queue.add(_route_key(route))
        else:
            self._write(ROUTES, namespace, key[1], self._route_status)

    def _class_status(self, item: Object) -> Object | None:
        old: Object = item.get("status") or {}
        if item["spec"].get("controllerName") != CONTROLLER:
            return old or None
        accepted = ("True", "Accepted", "Valid GatewayClass")
        return {"conditions": self._conditions(item, old.get("conditions"), {"Accepted": accepted})}

    def _gateway_status(self, gateway: Object) -> Object | None:
        old = gateway.get("status") or {}
        if not self._is_ours(gateway):
            waiting = ("Unknown", "Pending", "Waiting for controller")
            wanted = {"Accepted": waiting, "Programmed": waiting}
            return {"conditions": self._conditions(gateway, old.get("conditions"), wanted)}
        programmed = ("True", "Programmed", "Address assigned to the Gateway, 1/1 envoy replicas available")
        accepted = ("True", "Accepted", "The Gateway has been scheduled by Envoy Gateway")
        wanted = {"Accepted": accepted, "Programmed": programmed}
        listeners = [
            {"name": listener["name"], "attachedRoutes": self._attached(gateway, listener), "supportedKinds": [
                {"group": GROUP, "kind": "HTTPRoute"}
            ], "conditions": []}
            for listener in gateway["spec"].get("listeners") or ()
        ]  # fmt: skip
        return {
            "addresses": [{"type": "IPAddress", "value": ADDRESS}],
            "conditions": self._conditions(gateway, old.get("conditions"), wanted),
            "listeners": listeners,
        }

    def _is_ours(self, gateway: Object) -> bool:
        found = self.cluster.get(CLASSES, None, gateway["spec"].get("gatewayClassName") or "")
        return found is not None and found["spec"].get("controllerName") == CONTROLLER

    def _attached(self, gateway: Object, listener: Object) -> int:
        return sum(
            any(parent is not None and parent["metadata"]["uid"] == gateway["metadata"]["uid"]
                for _, parent in self._parents(route))
            and _hosts_meet(route, [listener])
            for route in self.cluster.list(ROUTES)
        )  # fmt: skip

    def _parents(self, route: Object) -> Iterator[tuple[Object, Object | None]]:
        for reference in route["spec"].get("parentRefs") or ():
            namespace = reference.get("namespace") or route["metadata"]["namespace"]
            yield reference, self.cluster.get(GATEWAYS, namespace, reference["name"])

    def _route_status(self, route: Object) -> Object | None:
        old = {
            _parent_key(parent.get("parentRef") or {}): parent.get("conditions")
            for parent in (route.get("status") or {}).get("parents") or ()
        }
        parents = []
        for reference, gateway in self._parents(route):
            if gateway is None or not self._is_ours(gateway):
                continue  # nobody answers for it
            wanted = {"Accepted": self._accepted(route, reference, gateway), "ResolvedRefs": self._resolved(route)}
            entries = self._conditions(route, old.get(_parent_key(reference)), wanted)
            parents.append({"controllerName": CONTROLLER, "parentRef": reference, "conditions": entries})
        return {"parents": parents} if parents or old else route.get("status")

    @staticmethod
    def _accepted(route: Object, reference: Object, gateway: Object) -> Verdict:
        listeners = [
            listener
            for listener in gateway["spec"].get("listeners") or ()
            if reference.get("sectionName") in (None, listener["name"])
            and reference.get("port") in (None, listener["port"])
        ]
        if not listeners:
            return "False", "NoMatchingParent", "No listeners match this parent ref"
        here = route["metadata"]["namespace"] == gateway["metadata"]["namespace"]
        allowed = [
            listener
            for listener in listeners
            if here or ((listener.get("allowedRoutes") or {}).get("namespaces") or {}).get("from") != "Same"
        ]
        if not allowed:
            return "False", "NotAllowedByListeners", "No listeners included by this parent ref allowed this attachment."
        if not _hosts_meet(route, allowed):
            message = "There were no hostname intersections between the HTTPRoute and this parent ref's Listener(s)."
            return "False", "NoMatchingListenerHostname", message
        return "True", "Accepted", "Route is accepted"

    def _resolved(self, route: Object) -> Verdict:
        for number, rule in enumerate(route["spec"].get("rules") or ()):
            for place, reference in enumerate(rule.get("backendRefs") or ()):
                namespace = reference.get("namespace") or route["metadata"]["namespace"]
                name = reference["name"]
                start = f"Failed to process route rule {number} backendRef {place}: "
                service = self.cluster.get("services", namespace, name)
                if service is None:
                    return "False", "BackendNotFound", f"{start}service {namespace}/{name} not found."
                port = reference.get("port")
                if port not in {entry["port"] for entry in service["spec"].get("ports") or ()}:
                    problem = f"{start}TCP Port {port} not found on service {namespace}/{name}."
                    return "False", "PortNotFound", problem
        return _RESOLVED

    def _conditions(self, item: Object, old: list[Object] | None, wanted: dict[str, Verdict]) -> list[Object]:
        stamp = self.context.timestamp()
        entries = []
        for type_, (status, reason, message) in wanted.items():
            before = conditions.find(list(old or ()), type_)
            same = before is not None and before["status"] == status
            entries.append({
                "type": type_, "status": status, "reason": reason, "message": message,
                "observedGeneration": item["metadata"].get("generation", 1),
                "lastTransitionTime": before["lastTransitionTime"] if same and before else stamp,
            })  # fmt: skip
        return entries

    def _write(self, resource: str, namespace: str | None, name: str, status_of: StatusOf) -> None:
        item = self.cluster.get(resource, namespace, name)
        if item is None:
            return
        status = status_of(item)
        if status != item.get("status") and status is not None:
            self.cluster.mutate(
                resource, namespace, name, lambda body: body.update(status=status), user=self.user, subresource="status"
            )


def _route_key(item: Object) -> Key:
    namespace, name = key_of(item)
    return f"{item['kind']}/{namespace}", name


def _parent_key(reference: Object) -> tuple[str, str, str, int]:
    return (
        reference.get("namespace") or "", reference.get("name") or "", reference.get("sectionName") or "",
        reference.get("port") or 0,
    )  # fmt: skip


def _hosts_meet(route: Object, listeners: list[Object]) -> bool:
    names = route["spec"].get("hostnames") or [""]
    return any(_host_meets(name, listener.get("hostname") or "") for name in names for listener in listeners)


def _host_meets(one: str, other: str) -> bool:
    if not one or not other or one == other:
        return True
    for pattern, name in ((one, other), (other, one)):
        if pattern.startswith("*.") and name.endswith(pattern[1:]):
            return True
    return False
