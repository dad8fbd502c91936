"""Images that cannot be pulled."""

from __future__ import annotations

import re
from collections.abc import Iterator

from healing.diagnosis import reading as r
from healing.diagnosis.analyzers.common import change_evidence, rollout_blame, status_evidence, workload_ref
from healing.diagnosis.hypothesis import Hypothesis, of_event
from healing.diagnosis.objects import Event
from healing.diagnosis.scene import Container, Scene
from healing.ports.cluster import ObjectRef

_WAITING = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
    }
)
# Order matters: a registry that denies access to what does not exist says both.
_RULES: tuple[tuple[str, float, re.Pattern[str]], ...] = (
    (
        "InvalidImageName",
        0.97,
        re.compile(r"InvalidImageName|invalid reference format|couldn't parse image", re.IGNORECASE),
    ),
    (
        "RegistryUnreachable",
        0.9,
        re.compile(
            r"dial tcp|no such host|i/o timeout|connection refused|TLS handshake|x509:|network is unreachable"
            r"|toomanyrequests|rate limit|429 Too Many|50[0234] |server misbehaving|deadline exceeded|EOF$",
            re.IGNORECASE,
        ),
    ),
    (
        "ImageNotFound",
        0.95,
        re.compile(
            r"manifest unknown|not found|name unknown|repository does not exist|does not exist or no pull access"
            r"|no match for platform|no matching manifest|404",
            re.IGNORECASE,
        ),
    ),
    (
        "ImagePullUnauthorized",
        0.95,
        re.compile(
            r"unauthorized|authentication required|denied|401|403 Forbidden|authorization failed|no basic auth",
            re.IGNORECASE,
        ),
    ),
)
_AUTH = re.compile(
    r"unauthorized|authentication required|authorization failed|no basic auth|\b401\b|403 Forbidden", re.IGNORECASE
)


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """ImageNotFound, ImagePullUnauthorized, RegistryUnreachable, InvalidImageName, ImagePullFailed."""
    for workload, containers in scene.containers.items():
        groups: dict[str, list[Container]] = {}
        for container in containers:
            if container.waiting in _WAITING:
                groups.setdefault(r.text(container.spec, "image"), []).append(container)
        for image, waiting in groups.items():
            yield _judge(scene, workload, image, waiting)


def _judge(scene: Scene, workload: ObjectRef, image: str, waiting: list[Container]) -> Hypothesis:
    events = [e for c in waiting for e in _pull_events(scene, c, image)]
    messages = [c.waiting_message for c in waiting] + [e.message for e in events]
    cause, strength = "ImagePullFailed", 0.7
    telling = next((m for m in messages if classify(m)[0] != "ImagePullFailed"), "")
    if telling:
        cause, strength = classify(telling)
    if waiting[0].waiting == "InvalidImageName":
        cause, strength = "InvalidImageName", 0.97
    past, blame = rollout_blame(scene, workload, waiting)
    facts: dict[str, object] = {"image": image, "container": waiting[0].name, "registry": registry(image)}
    proof = [status_evidence(waiting[0]), *(of_event(e) for e in events[-2:])]
    explanation = f"The image {image} cannot be pulled: {_shortened(telling) or waiting[0].waiting}."
    if past is not None and past.good is not None and blame >= 0.5:
        changed = past.changed(".image")
        if changed:
            facts |= past.facts() | {"suggested_image": str(changed[0].before or "")}
            proof += change_evidence(past, changed)
            explanation += (
                f" Revision {past.current.number} brought it; revision {past.good.number} is the last good one."
            )
    return Hypothesis(
        cause,
        workload_ref(scene, workload),
        strength,
        explanation,
        proof,
        facts,
        affected=scene.around(workload),
        since=min((e.first for e in events if e.first), default=None),
    )


def classify(message: str) -> tuple[str, float]:
    """(cause, strength) of a kubelet's pull message."""
    # "pull access denied, repository does not exist or may require authorization": Docker Hub's way to say not found
    if re.search(r"repository does not exist or may require", message, re.IGNORECASE):
        return "ImageNotFound", 0.8
    for cause, strength, pattern in _RULES:
        if pattern.search(message):
            if cause == "ImageNotFound" and _AUTH.search(message):
                return "ImagePullUnauthorized", 0.9
            return cause, strength
    return "ImagePullFailed", 0.7


def registry(image: str) -> str:
    """The registry in an image's name; Docker Hub where it names none."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def _pull_events(scene: Scene, container: Container, image: str) -> list[Event]:
    return [
        e
        for e in scene.snapshot.events(container.pod, "Failed", "BackOff", "InspectFailed", "ErrImageNeverPull")
        if image in e.message
    ]


def _shortened(message: str) -> str:
    """The end of a chain of errors says what happened."""
    return message.strip().rstrip(".")[-240:]
