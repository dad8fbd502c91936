"""Pods that make room for more important ones."""

from __future__ import annotations

from healing.sandbox.ports import Object
from healing.sandbox.world import NodeSpec
from tests.sandbox_world.lab import PERSON, Lab
from tests.sandbox_world.test_workloads import in_lab

CLASSES = "priorityclasses.scheduling.k8s.io"
NODE = [NodeSpec("node1", cpu="2")]


def asks(cpu: str) -> Object:
    return {"resources": {"requests": {"cpu": cpu}}}


def priority_class(lab: Lab, name: str, value: int, **more: object) -> None:
    lab.cluster.create(CLASSES, None, {"metadata": {"name": name}, "value": value, **more}, user=PERSON)


def test_a_pod_of_higher_priority_sends_one_of_lower_priority_away() -> None:
    async def scene(lab: Lab) -> None:
        priority_class(lab, "high", 1000)
        priority_class(lab, "middle", 500)
        lab.deployment("batch", container=asks("800m"))
        lab.deployment("web", container=asks("800m"), pod={"priorityClassName": "middle"})
        await lab.until(lambda: lab.is_rolled_out("batch") and lab.is_rolled_out("web"))
        victim = lab.pods("batch")[0]
        lab.deployment("pay", container=asks("1000m"), pod={"priorityClassName": "high"})
        await lab.until(lambda: lab.is_rolled_out("pay"), 30)
        assert lab.is_rolled_out("web"), "one victim is enough: the least important"
        uid = lab.pods("pay")[0]["metadata"]["uid"]
        assert {e["message"] for e in lab.events("Preempted")} == {f"Preempted by pod {uid} on node node1"}
        gone = [
            c.object for c in lab.history
            if c.resource == "pods" and c.object["metadata"]["uid"] == victim["metadata"]["uid"]
        ][-1]  # fmt: skip
        entry = next(c for c in gone["status"]["conditions"] if c["type"] == "DisruptionTarget")
        assert entry["reason"] == "PreemptionByScheduler"
        assert "nominatedNodeName" not in lab.pods("pay")[0]["status"]
        assert "Pending" in {p["status"]["phase"] for p in lab.pods("batch")}

    in_lab(scene, NODE)


def test_a_polite_or_equal_pod_waits() -> None:
    async def scene(lab: Lab) -> None:
        priority_class(lab, "polite", 1000, preemptionPolicy="Never")
        lab.deployment("batch", container=asks("1500m"))
        await lab.until(lambda: lab.is_rolled_out("batch"))
        lab.deployment("one", container=asks("1000m"), pod={"priorityClassName": "polite"})
        lab.deployment("two", container=asks("1000m"))
        await lab.sleep(30)
        assert lab.is_rolled_out("batch")
        assert not lab.events("Preempted")

    in_lab(scene, NODE)


def test_room_that_was_made_is_kept_for_whom_it_was_made() -> None:
    """The victim's own successor is there first, and must not take the room."""

    async def scene(lab: Lab) -> None:
        priority_class(lab, "high", 1000)
        lab.deployment("batch", container=asks("1200m"))
        await lab.until(lambda: lab.is_rolled_out("batch"))
        lab.deployment("pay", container=asks("1500m"), pod={"priorityClassName": "high"})
        await lab.until(lambda: lab.is_rolled_out("pay"), 30)
        await lab.sleep(60)
        assert len({c.object["metadata"]["name"] for c in lab.history if c.object.get("reason") == "Preempted"}) == 1
        assert [p["status"]["phase"] for p in lab.pods("batch")] == ["Pending"]

    in_lab(scene, NODE)


def test_room_that_is_made_bit_by_bit_is_not_taken_by_a_successor() -> None:
    """One victim goes at once, the other late: meanwhile the first one's successor would fit, and must not come."""

    async def scene(lab: Lab) -> None:
        priority_class(lab, "high", 1000)
        lab.deployment("quick", container=asks("800m"))
        lab.deployment("slow", container=asks("800m"), pod={"terminationGracePeriodSeconds": 20})
        await lab.until(lambda: lab.is_rolled_out("quick") and lab.is_rolled_out("slow"))
        lab.deployment("pay", container=asks("1900m"), pod={"priorityClassName": "high"})
        await lab.until(lambda: lab.is_rolled_out("pay"), 60)
        preempted = {c.object["metadata"]["name"] for c in lab.history if c.object.get("reason") == "Preempted"}
        assert len(preempted) == 2, "the two that ran, and none that came after them"

    in_lab(scene, NODE)


def test_a_more_important_pod_takes_a_promised_place() -> None:
    async def scene(lab: Lab) -> None:
        priority_class(lab, "high", 1000)
        priority_class(lab, "middle", 500)
        lab.deployment("batch", container=asks("1500m"), pod={"terminationGracePeriodSeconds": 20})
        await lab.until(lambda: lab.is_rolled_out("batch"))
        lab.deployment("middling", container=asks("1500m"), pod={"priorityClassName": "middle"})
        lab.deployment("pay", container=asks("1500m"), pod={"priorityClassName": "high"})
        await lab.until(lambda: lab.is_rolled_out("pay"), 60)
        assert "nominatedNodeName" not in lab.pods("middling")[0]["status"]
        assert lab.pods("middling")[0]["status"]["phase"] == "Pending"

    in_lab(scene, NODE)
