"""Gateway API: installed as CRDs, answered for by a controller."""

from __future__ import annotations

from healing.sandbox.api.gateway_api import install_gateway_api
from healing.sandbox.ports import Object
from tests.sandbox_world.lab import PERSON, Lab
from tests.sandbox_world.test_workloads import in_lab

GROUP = "gateway.networking.k8s.io"
CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"


def verdicts(lab: Lab, name: str = "web") -> dict[str, tuple[str, str]]:
    parents = (lab.get(f"httproutes.{GROUP}", name).get("status") or {}).get("parents") or [{}]
    return {c["type"]: (c["status"], c["reason"]) for c in parents[0].get("conditions") or ()}


def route(service: str = "web", port: int = 80, **spec: object) -> Object:
    rules = [{"backendRefs": [{"name": service, "port": port}]}]
    return {"metadata": {"name": "web"}, "spec": {"parentRefs": [{"name": "edge"}], "rules": rules, **spec}}


def test_routes_say_what_is_wrong_with_their_backends() -> None:
    async def scene(lab: Lab) -> None:
        install_gateway_api(lab.cluster)
        await lab.sleep(2)
        lab.cluster.create(
            f"gatewayclasses.{GROUP}", None, {"metadata": {"name": "eg"}, "spec": {"controllerName": CONTROLLER}},
            user=PERSON,
        )  # fmt: skip
        listener = {"name": "http", "port": 80, "protocol": "HTTP", "hostname": "*.shop.example.com"}
        gateway = {"metadata": {"name": "edge"}, "spec": {"gatewayClassName": "eg", "listeners": [listener]}}
        lab.create(f"gateways.{GROUP}", gateway)
        lab.service()
        made = lab.create(f"httproutes.{GROUP}", route())
        assert made["spec"]["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
        assert made["spec"]["rules"][0]["backendRefs"][0]["weight"] == 1
        good = {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs")}
        await lab.until(lambda: verdicts(lab) == good)
        status = lab.get(f"gateways.{GROUP}", "edge")["status"]
        assert {c["type"]: c["status"] for c in status["conditions"]} == {"Accepted": "True", "Programmed": "True"}
        lab.delete("services", "web")
        await lab.until(lambda: verdicts(lab).get("ResolvedRefs") == ("False", "BackendNotFound"))
        parent = lab.get(f"httproutes.{GROUP}", "web")["status"]["parents"][0]
        message = "Failed to process route rule 0 backendRef 0: service shop/web not found."
        assert parent["conditions"][1]["message"] == message
        lab.service(port={"name": "http", "port": 81})
        await lab.until(lambda: verdicts(lab).get("ResolvedRefs") == ("False", "PortNotFound"))
        lab.mutate(f"httproutes.{GROUP}", "web", lambda item: item["spec"].update(hostnames=["www.example.org"]))
        await lab.until(lambda: verdicts(lab).get("Accepted") == ("False", "NoMatchingListenerHostname"))

    in_lab(scene)
