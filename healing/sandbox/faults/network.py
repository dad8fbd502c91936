"""Faults of the network, of clocks, and of the control plane."""

from __future__ import annotations

from typing import Protocol, cast

from healing.sandbox.apps.conditions import Link
from healing.sandbox.apps.effects import Effects
from healing.sandbox.faults.base import Fault, FaultError, Outcome, Parameter, Scene
from healing.sandbox.faults.behaviours import ALL_PODS, SCOPE, misbehave

COMPONENTS = ("scheduler", "controller-manager", "kube-proxy")


class ControlPlane(Protocol):
    """What the world offers to stop parts of the control plane."""

    def stop_component(self, name: str, node: str = "") -> None: ...

    def start_component(self, name: str, node: str = "") -> None: ...


def network_delay(scene: Scene) -> Outcome:
    seconds = float(scene.params["seconds"])
    if scene.params["node"]:
        return _on_node(scene, Link(delay_seconds=seconds), f"network {seconds:g} s late")
    effects = Effects(network_delay_seconds=seconds)
    return misbehave(scene, effects, f"network {seconds:g} s late", "pod")


def packet_loss(scene: Scene) -> Outcome:
    fraction = min(0.99, float(scene.params["fraction"]))
    if scene.params["node"]:
        return _on_node(scene, Link(loss=fraction), f"network loses {fraction:.0%} of the packets")
    return misbehave(scene, Effects(packet_loss=fraction), f"network loses {fraction:.0%} of the packets", "pod")


def _on_node(scene: Scene, link: Link, summary: str) -> Outcome:
    name = _node(scene)
    conditions, injection = scene.runtime.conditions, scene.injection_id
    conditions.set_node_link(name, injection, link)
    target = {"kind": "Node", "namespace": "", "name": name}
    return target, f"node {name}: {summary}", lambda: conditions.set_node_link(name, injection, None)


def _node(scene: Scene) -> str:
    name = str(scene.params["node"])
    if scene.cluster.get("nodes", None, name) is None:
        raise FaultError(f"node: no {name!r}")
    return name


def clock_skew(scene: Scene) -> Outcome:
    name, seconds = _node(scene), float(scene.params["seconds"])
    if scene.params["behind"]:
        seconds = -seconds
    conditions, injection = scene.runtime.conditions, scene.injection_id
    conditions.set_clock(name, injection, seconds)
    target = {"kind": "Node", "namespace": "", "name": name}
    return target, f"node {name}: clock {seconds:+g} s", lambda: conditions.set_clock(name, injection, None)


def control_plane_failure(scene: Scene) -> Outcome:
    component = str(scene.params["component"])
    if component not in COMPONENTS:
        raise FaultError(f"component: {component!r} is none of {', '.join(COMPONENTS)}")
    node = _node(scene) if component == "kube-proxy" else ""
    world = cast("ControlPlane", scene.world)
    if not hasattr(world, "stop_component"):
        raise FaultError("this world's control plane cannot be stopped")
    world.stop_component(component, node)

    def undo() -> None:
        world.start_component(component, node)

    target = {"kind": "ControlPlane", "namespace": "kube-system", "name": component}
    if node:
        target = {"kind": "Node", "namespace": "", "name": node}
    return target, f"stopped the {component}{f' of {node}' if node else ''}", undo


_WHERE = (
    Parameter("namespace", "string", "namespace of the target", default=""),
    Parameter("workload", "string", "name, or kind/name; or give a node", default=""),
    Parameter("container", "string", "container; the first one unless given", default=""),
    Parameter("node", "string", "a machine's network instead of a workload's pods", default=""),
)

FAULTS = (
    Fault(
        "network-delay", "A slow network", "behaviour", network_delay,
        (*_WHERE, Parameter("seconds", "number", "added to every round trip", default=0.5), SCOPE, ALL_PODS),
    ),
    Fault(
        "packet-loss", "A network that loses packets", "behaviour", packet_loss,
        (*_WHERE, Parameter("fraction", "number", "share of packets, 0 to 1", default=0.2), SCOPE, ALL_PODS),
    ),
    Fault(
        "clock-skew", "A machine's clock is wrong", "machine", clock_skew,
        (
            Parameter("node", "string", "its name", required=True),
            Parameter("seconds", "number", "how much", default=900.0),
            Parameter("behind", "boolean", "behind instead of ahead", default=False),
        ),
    ),
    Fault(
        "control-plane-failure", "A part of the control plane stops", "machine", control_plane_failure,
        (
            Parameter("component", "string", ", ".join(COMPONENTS), required=True),
            Parameter("node", "string", "whose kube-proxy", default=""),
        ),
    ),
)  # fmt: skip
