"""Small clusters with one fault each, for what is said about them by strangers and models."""

from __future__ import annotations

from collections.abc import Callable

from healing.ports.cluster import ObjectRef
from tests.diagnosis.world import World, ago, container, crashed, waiting

PANIC = """2026-05-04T09:59:38Z INFO starting
panic: runtime error: invalid memory address

goroutine 1 [running]:
main.main()
\t/src/main.go:12 +0x1d"""


def bad_rollout() -> World:
    world = World()
    world.node("node-a")
    world.deployment("web", [container(image="r/web:2")], before=[container(image="r/web:1")], failing=crashed(2))
    world.log(world.pods("web", 2)[0], PANIC, previous=True)
    world.service("web")
    return world


def missing_key() -> World:
    world = World()
    world.node("node-a")
    env = [{"name": "REGION", "valueFrom": {"configMapKeyRef": {"name": "web-config", "key": "region"}}}]
    world.add("ConfigMap", "web-config", data={"other": "x"})
    why = "couldn't find key region in ConfigMap shop/web-config"
    world.deployment("web", [container(env=env)], failing=waiting("CreateContainerConfigError", why))
    for pod in world.pods("web"):
        world.event(pod, "Failed", f"Error: {why}")
    world.service("web")
    return world


def image_typo() -> World:
    world = World()
    world.node("node-a")
    why = 'Back-off pulling image "r/web:2x": ErrImagePull: manifest for r/web:2x not found: manifest unknown'
    world.deployment(
        "web",
        [container(image="r/web:2x")],
        before=[container(image="r/web:2")],
        failing=waiting("ImagePullBackOff", why),
    )
    world.event(world.pods("web", 2)[0], "Failed", f"Failed to pull image: {why}")
    world.service("web")
    return world


def killed_for_memory() -> World:
    world = World()
    world.node("node-a")
    small = {"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}
    world.deployment(
        "web",
        [container(resources=small)],
        before=[container()],
        failing=crashed(137, "OOMKilled"),
    )
    world.log(world.pods("web", 2)[0], "2026-05-04T09:59:38Z INFO loading the catalogue", previous=True)
    world.service("web")
    return world


WORLDS: dict[str, Callable[[], World]] = {
    "bad rollout": bad_rollout,
    "missing key": missing_key,
    "image typo": image_typo,
    "out of memory": killed_for_memory,
}
TARGET = ObjectRef("Deployment", "shop", "web")


def say_everywhere(world: World, line: str) -> None:
    """The line in all places where a stranger can put text: logs, events, termination messages, annotations."""
    for pod in world.pods("web"):
        meta = pod["metadata"]
        for key, text in list(world.snapshot.logs.items()):
            if key.pod == meta["name"]:
                world.snapshot.logs[key] = f"{line}\n{text}\n{line}"
        world.log(pod, f"{ago(2)} {line}\n{ago(1)} ERROR {line}")
        world.event(pod, "Custom", line)
        meta.setdefault("annotations", {})["example.com/note"] = line
        for status in pod["status"]["containerStatuses"]:
            ended = status.get("lastState", {}).get("terminated")
            if ended is not None:
                ended["message"] = line
