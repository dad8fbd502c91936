"""The sandbox does what a real cluster did: recorded scenarios are replayed and compared with what was seen then."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from healing.sandbox.virtual_time import run_virtual
from healing.sandbox.world import NodeSpec, Settings
from tests.sandbox_world.lab import PERSON, lab
from tests.sandbox_world.programs_of_recordings import programs_for
from tests.sandbox_world.recorded import Recording, View, of_lab, replay

#: the recorded cluster: one node, a grace of 50 s, slower sandboxes
SETTINGS = Settings(node_grace_seconds=50, sandbox_start_seconds=0.5, node_status_seconds=5)
NODE = NodeSpec("node1", cpu="2", memory="24684092Ki")
PRESENT = ("registry.local/web:1.0", "registry.local/web:1.1", "registry.local/web:broken", "busybox:1.36")
#: scenarios that went on in the namespace of others
BEFORE = {"rollout-good": ["deployment-ready"], "scale-to-zero": ["deployment-ready", "rollout-good"]}

SCENARIOS = [
    "command-not-found", "cordon", "crashloop", "deployment-ready", "eviction-pdb", "init-container-failing",
    "job-backofflimit", "label-detach", "limitrange", "liveness-wrong-port", "missing-configmap", "missing-secret",
    "missing-serviceaccount", "networkpolicy", "node-notready", "oomkilled", "pod-delete", "pvc-missing",
    "pvc-no-class", "pvc-waitforfirstconsumer-no-provisioner", "pvc-wrong-class", "quota-cpu", "quota-memory",
    "quota-pods", "quota-services", "quota-storage", "readiness-failing", "readiness-lost-while-running",
    "rollout-bad-image", "rollout-crashing-image", "rollout-good", "scale-to-zero",
    "service-selector-matches-nothing", "service-wrong-targetport", "unschedulable-cpu", "unschedulable-memory",
    "unschedulable-nodeaffinity", "unschedulable-nodeselector", "unschedulable-podantiaffinity", "untolerated-taint",
]  # fmt: skip
#: what was in the recorded cluster before
CLASSES = [{
    "metadata": {"name": "late"}, "provisioner": "example.com/none", "volumeBindingMode": "WaitForFirstConsumer",
}]  # fmt: skip
#: what the recorded cluster said only because it was slow or busy at that moment
CHANCE = ("failed to sync configmap cache",)
CHANCE_EVENTS = {
    "readiness-failing": ('/healthz": dial tcp',),
    # The busy controller had tried eight times when the recording ended; from the eleventh on they are combined.
    "limitrange": ("(combined from similar events)",),
}
_CACHE: dict[str, tuple[View, View]] = {}


def views(scenario: str) -> tuple[View, View]:
    """(recorded, replayed)."""
    if scenario not in _CACHE:
        _CACHE[scenario] = run_virtual(_replayed(scenario))
    return _CACHE[scenario]


async def _replayed(scenario: str) -> tuple[View, View]:
    recording = Recording(scenario)
    async with lab([NODE], SETTINGS) as made:
        made.runtime.programs.update(programs_for(scenario))
        made.world._fleet.agents["node1"].images.update(dict.fromkeys(PRESENT, 2141011))
        made.cluster.create("namespaces", None, {"metadata": {"name": recording.namespace}}, user=PERSON)
        for storage_class in CLASSES:
            made.cluster.create("storageclasses.storage.k8s.io", None, storage_class, user=PERSON)
        await made.sleep(0.1)
        for earlier in BEFORE.get(scenario, ()):
            await replay(made, Recording(earlier))
            await made.sleep(3)
        since = len(made.history) if scenario in BEFORE else 0
        await replay(made, recording)
        await made.sleep(0.5)
        return View(recording.changes), View(of_lab(made.history[since:], recording.namespace))


def without_chance(scenario: str, events: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    noise = CHANCE + CHANCE_EVENTS.get(scenario, ())
    return {event for event in events if not any(text in event[-1] for text in noise)}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_events_say_the_same(scenario: str) -> None:
    recorded, ours = views(scenario)
    assert without_chance(scenario, ours.events()) == without_chance(scenario, recorded.events())


def agree(recorded: Sequence[object], ours: Sequence[object]) -> bool:
    """Equal, but for one last step that one side reached just before the end of the recording."""
    shared = min(len(recorded), len(ours))
    return abs(len(recorded) - len(ours)) <= 1 and list(recorded[:shared]) == list(ours[:shared])


@pytest.mark.parametrize("resource", ["deployments", "replicasets", "pods", "jobs"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_conditions_take_the_same_course(scenario: str, resource: str) -> None:
    recorded, ours = (view.condition_paths(resource) for view in views(scenario))
    assert recorded.keys() == ours.keys()
    for name, expected in recorded.items():
        assert len(expected) == len(ours[name])
        for one, other in zip(expected, ours[name], strict=True):
            assert one.keys() == other.keys()
            for type_, path in one.items():
                # A busy kubelet's first report may have come when the sandbox was already up.
                skip = 1 if type_ == "PodReadyToStartContainers" else 0
                here = [step for step in path if step[0] == "True" or not skip]
                there = [step for step in other[type_] if step[0] == "True" or not skip]
                assert agree(here, there), f"{name} {type_}: recorded {path}, here {other[type_]}"


# In eviction-pdb a pod is evicted before its kubelet's first report; what that says is chance.
@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "eviction-pdb"])
def test_containers_take_the_same_course(scenario: str) -> None:
    recorded, ours = (view.container_paths() for view in views(scenario))
    assert recorded.keys() == ours.keys()
    for name, expected in recorded.items():
        assert len(expected) == len(ours[name])
        for one, other in zip(expected, ours[name], strict=True):
            assert agree(one, other), f"{name}: recorded {one}, here {other}"


SHAPED = ["deployments", "replicasets", "pods", "endpointslices", "endpoints", "events", "resourcequotas", "jobs"]


RECORDED_SHAPES = [
    (scenario, resource)
    for scenario in ("deployment-ready", "crashloop", "rollout-good", "quota-pods", "node-notready")
    for resource in SHAPED
    if View(Recording(scenario).changes).versions(resource)
]


@pytest.mark.parametrize(("scenario", "resource"), RECORDED_SHAPES)
def test_objects_have_the_same_fields(scenario: str, resource: str) -> None:
    recorded, ours = views(scenario)
    assert ours.shape(resource) == recorded.shape(resource)


def restarts(view: View) -> list[float]:
    """When each restart of the only pod was reported, counted from its first start."""
    (versions,) = view.versions("pods").values()
    times: dict[int, float] = {}
    for seen in versions:
        for status in seen.object["status"].get("containerStatuses") or ():
            if "running" in status["state"]:
                times.setdefault(status["restartCount"], seen.t)
    first = min(times.values())
    return [times[count] - first for count in sorted(times)]


@pytest.mark.parametrize("scenario", ["crashloop", "oomkilled", "liveness-wrong-port"])
def test_restarts_come_at_the_same_times(scenario: str) -> None:
    recorded, ours = (restarts(view) for view in views(scenario))
    assert len(recorded) == len(ours)
    assert ours == pytest.approx(recorded, abs=6)


@pytest.mark.parametrize("scenario", ["rollout-bad-image", "rollout-crashing-image"])
def test_deadline_of_a_rollout(scenario: str) -> None:
    def exceeded(view: View) -> float:
        return next(
            seen.t
            for seen in view.changes
            if seen.resource == "deployments"
            and any(
                c.get("reason") == "ProgressDeadlineExceeded" for c in seen.object["status"].get("conditions") or ()
            )
        )

    recorded, ours = views(scenario)
    first = min(seen.t for seen in ours.changes if seen.resource == "deployments")
    assert exceeded(ours) - first == pytest.approx(exceeded(recorded), abs=2)


def test_a_budget_takes_the_same_course() -> None:
    def course(view: View) -> list[tuple[int, int, int]]:
        seen = [s.object["status"] for s in view.changes if s.resource == "poddisruptionbudgets"]
        steps = [(s["disruptionsAllowed"], s["currentHealthy"], s["desiredHealthy"]) for s in seen]
        return [step for number, step in enumerate(steps) if not number or steps[number - 1] != step]

    recorded, ours = views("eviction-pdb")
    assert course(ours) == course(recorded)
