"""Faults that come with a change of a workload's template: a release that fails, a wrong number, a typo."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from healing.sandbox.apps.images import Catalogue, parse_image
from healing.sandbox.apps.program import Crash, Program
from healing.sandbox.faults.base import DEVELOPER, ON_WORKLOAD, Fault, FaultError, Outcome, Parameter, Scene
from healing.sandbox.ports import Object


def _restore_template(scene: Scene, before: Object, after: Object) -> Callable[[], None]:
    """Puts the old template back, unless somebody has changed it since."""

    def undo() -> None:
        resource, found = scene.workload()
        if found["spec"]["template"] != after:
            return

        def edit(body: Object) -> None:
            body["spec"]["template"] = copy.deepcopy(before)

        scene.cluster.mutate(resource, scene.namespace, found["metadata"]["name"], edit, user=DEVELOPER)

    return undo


def _edit(scene: Scene, summary: str, change: Callable[[Object], None]) -> Outcome:
    """Change the workload's container and remember how it was."""
    target = scene.target()
    before = copy.deepcopy(scene.workload()[1]["spec"]["template"])
    scene.container_of(before)
    changed = scene.change_template(lambda template: change(scene.container_of(template)))
    after = copy.deepcopy(changed["spec"]["template"])
    if after == before:
        raise FaultError(f"{target['kind']} {target['namespace']}/{target['name']} is like that already")
    return target, summary, _restore_template(scene, before, after)


def next_version(reference: str, catalogue: Catalogue) -> str:
    """The image name of the next release: ``orders:1.4.2`` -> ``orders:1.5.0`` (or the first one that is free)."""
    repository, tag = _split(reference)
    found = re.fullmatch(r"(v?)(\d+)(?:\.(\d+))?(?:\.(\d+))?(.*)", tag)
    if found is None:
        return _first_free(repository, [f"build-{n}" for n in range(200, 300)], catalogue)
    prefix, major, minor = found.group(1), int(found.group(2)), int(found.group(3) or 0)
    names = [f"{prefix}{major}.{minor + 1}.0", *(f"{prefix}{major}.{minor + 1}.{n}" for n in range(1, 100))]
    return _first_free(repository, names, catalogue)


def _first_free(repository: str, tags: list[str], catalogue: Catalogue) -> str:
    for tag in tags:
        image = parse_image(f"{repository}:{tag}")
        if image is not None and str(image) not in catalogue.published:
            return f"{repository}:{tag}"
    raise FaultError(f"no free tag left for {repository}")


def _split(reference: str) -> tuple[str, str]:
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return f"{head}{slash}{last}", tag or "latest"


def typo(reference: str, catalogue: Catalogue) -> str:
    """The same image with a slip of the hand in its tag, such that it does not exist."""
    repository, tag = _split(reference)
    slips = [tag.replace("1", "l", 1), tag.replace("0", "O", 1), f"{tag}x", f"{tag}-nope"]
    for slip in slips:
        candidate = f"{repository}:{slip}"
        if slip != tag and catalogue.find(candidate) is None:
            return candidate
    return f"{repository}:does-not-exist"


def _release(scene: Scene, changes: dict[str, Any], what: str) -> Outcome:
    """Build and push a new version with a flaw, and roll it out."""
    container = scene.container_of(scene.workload()[1]["spec"]["template"])
    old = container["image"]
    program: Program = scene.catalogue.find(old) or scene.catalogue.programs["generic"]
    new = str(scene.params.get("image") or next_version(old, scene.catalogue))
    scene.catalogue.publish(new, replace(program, **changes))

    def change(found: Object) -> None:
        found["image"] = new

    return _edit(scene, f"released {new}, {what}", change)


def bad_rollout(scene: Scene) -> Outcome:
    params = scene.params
    crash = Crash(params["after_seconds"], params["exit_code"], params["message"])
    return _release(scene, {"crash": crash}, f"which exits {params['exit_code']} after its start")


def leaky_release(scene: Scene) -> Outcome:
    rate = float(scene.params["bytes_per_second"])
    return _release(scene, {"leak_bytes_per_second": rate}, f"which leaks {rate / 2**20:.1f} MiB/s")


def failing_release(scene: Scene) -> Outcome:
    rate = min(1.0, float(scene.params["error_rate"]))
    return _release(scene, {"error_rate": rate}, f"which answers {rate:.0%} of its requests with 500")


def bad_image(scene: Scene) -> Outcome:
    old = scene.container_of(scene.workload()[1]["spec"]["template"])["image"]
    new = str(scene.params.get("image") or typo(old, scene.catalogue))

    def change(found: Object) -> None:
        found["image"] = new

    return _edit(scene, f"set the image to {new} instead of {old}", change)


def memory_limit_too_low(scene: Scene) -> Outcome:
    container = scene.container_of(scene.workload()[1]["spec"]["template"])
    program = scene.catalogue.find(container["image"]) or scene.catalogue.programs["generic"]
    used = [p.memory_bytes for p in scene.processes() if p.start.container == container["name"]]
    needed = max([program.base_memory_bytes, *used])
    limit = int(scene.params["limit"] or max(needed * 0.6, 1 << 20))
    text = f"{max(1, limit >> 20)}Mi"

    def change(found: Object) -> None:
        resources = found.setdefault("resources", {})
        resources.setdefault("limits", {})["memory"] = text
        if "memory" in resources.get("requests", {}):
            resources["requests"]["memory"] = text

    return _edit(scene, f"set the memory limit to {text}", change)


def cpu_limit_too_low(scene: Scene) -> Outcome:
    text = f"{int(scene.params['millicores'])}m"

    def change(found: Object) -> None:
        resources = found.setdefault("resources", {})
        resources.setdefault("limits", {})["cpu"] = text
        if "cpu" in resources.get("requests", {}):
            resources["requests"]["cpu"] = text

    return _edit(scene, f"set the CPU limit to {text}", change)


def wrong_env(scene: Scene) -> Outcome:
    name, value = str(scene.params["env"]), str(scene.params["value"])

    def change(found: Object) -> None:
        entries = found.setdefault("env", [])
        for entry in entries:
            if entry["name"] == name:
                entry.pop("valueFrom", None)
                entry["value"] = value
                return
        entries.append({"name": name, "value": value})

    return _edit(scene, f"set {name}={value}", change)


def missing_env(scene: Scene) -> Outcome:
    name = str(scene.params["env"])

    def change(found: Object) -> None:
        if not any(entry["name"] == name for entry in found.get("env", [])):
            raise FaultError(f"env: the container has no variable {name!r}")
        found["env"] = [entry for entry in found["env"] if entry["name"] != name]

    return _edit(scene, f"removed the variable {name}", change)


def bad_command(scene: Scene) -> Outcome:
    command = str(scene.params["command"]).split()

    def change(found: Object) -> None:
        found["command"] = command
        found.pop("args", None)

    return _edit(scene, f"set the command to {' '.join(command)}", change)


def bad_probe(scene: Scene) -> Outcome:
    kind = f"{scene.params['probe']}Probe"

    def change(found: Object) -> None:
        probe = found.get(kind)
        if not probe or not ({"httpGet", "tcpSocket"} & set(probe)):
            raise FaultError(f"probe: the container has no {kind} by HTTP or TCP")
        if "httpGet" in probe:
            probe["httpGet"]["path"] = str(scene.params["path"])
        else:
            probe["tcpSocket"]["port"] = 9

    return _edit(scene, f"pointed the {kind} at {scene.params['path']}", change)


FAULTS = (
    Fault(
        "bad-rollout", "A new release whose program crashes at its start", "change", bad_rollout,
        (
            *ON_WORKLOAD,
            Parameter("image", "string", "name of the new image; the next version unless given", default=""),
            Parameter("after_seconds", "number", "how long it runs", default=1.0),
            Parameter("exit_code", "integer", "its exit code", default=1),
            Parameter("message", "string", "what it prints", default="failed to initialize: unsupported schema 42"),
        ),
    ),
    Fault(
        "leaky-release", "A new release that leaks memory", "change", leaky_release,
        (
            *ON_WORKLOAD,
            Parameter("image", "string", "name of the new image", default=""),
            Parameter("bytes_per_second", "bytes", "size of the leak", default=4 << 20),
        ),
    ),
    Fault(
        "failing-release", "A new release that answers with errors", "change", failing_release,
        (
            *ON_WORKLOAD,
            Parameter("image", "string", "name of the new image", default=""),
            Parameter("error_rate", "number", "share of requests, 0 to 1", default=0.4),
        ),
    ),
    Fault(
        "bad-image", "A typo in the image's tag", "change", bad_image,
        (*ON_WORKLOAD, Parameter("image", "string", "the wrong name; one with a typo unless given", default="")),
    ),
    Fault(
        "memory-limit-too-low", "A memory limit the program does not fit into", "change", memory_limit_too_low,
        (*ON_WORKLOAD, Parameter("limit", "bytes", "the limit; 60 % of what is used unless given", default=0)),
    ),
    Fault(
        "cpu-limit-too-low", "A CPU limit that throttles", "change", cpu_limit_too_low,
        (*ON_WORKLOAD, Parameter("millicores", "integer", "the limit", default=20)),
    ),
    Fault(
        "wrong-env", "A wrong value of an environment variable", "change", wrong_env,
        (
            *ON_WORKLOAD,
            Parameter("env", "string", "its name", required=True),
            Parameter("value", "string", "the wrong value", required=True),
        ),
    ),
    Fault(
        "missing-env", "An environment variable is gone", "change", missing_env,
        (*ON_WORKLOAD, Parameter("env", "string", "its name", required=True)),
    ),
    Fault(
        "bad-command", "A command that is not in the image", "change", bad_command,
        (*ON_WORKLOAD, Parameter("command", "string", "the command line", default="/usr/bin/server --serve")),
    ),
    Fault(
        "bad-probe", "A probe that asks for the wrong path", "change", bad_probe,
        (
            *ON_WORKLOAD,
            Parameter("probe", "string", "readiness, liveness or startup", default="readiness"),
            Parameter("path", "string", "the wrong path", default="/healthzz"),
        ),
    ),
)  # fmt: skip
