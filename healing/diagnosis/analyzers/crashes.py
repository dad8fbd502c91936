"""Containers that end with errors: the program's own words, then the rollout that brought it, then the exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from healing.diagnosis import reading as r
from healing.diagnosis.analyzers.common import (
    change_evidence,
    is_killed_by_probe,
    only_image,
    rollout_blame,
    settings_changed,
    status_evidence,
    workload_ref,
)
from healing.diagnosis.analyzers.responsible import responsible
from healing.diagnosis.analyzers.secrets import changed_secret, names_read
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence, of_event
from healing.diagnosis.log_rules import Match
from healing.diagnosis.revisions import Change, History, last_change
from healing.diagnosis.scene import Container, Scene
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

_NO_EXECUTABLE = re.compile(
    r"executable file not found|stat \S+: no such file or directory|exec: \"?(?P<command>[^\":]+)\"?: .*no such file"
    r"|fork/exec \S+: no such file|no such file or directory: unknown",
    re.IGNORECASE,
)
_COMMAND = re.compile(r"exec: \"(?P<command>[^\"]+)\"")
_NOT_EXECUTABLE = re.compile(r"permission denied|operation not permitted", re.IGNORECASE)
_MOUNT = re.compile(r"error mounting|not a directory|mountpoint|are you trying to mount a directory", re.IGNORECASE)
#: causes a program's log proves by itself, with how surely it does
_FROM_LOG = {
    "MissingEnvironmentVariable": 0.86,
    "WrongConfiguration": 0.8,
    "MissingFile": 0.76,
    "WrongCredentials": 0.84,
    "PermissionDenied": 0.8,
    "PortConflict": 0.88,
    "DiskFull": 0.88,
    "CertificateExpired": 0.86,
    "ReadOnlyDependency": 0.84,
    "ConnectionPoolExhausted": 0.82,
}
_ABOUT_SETTINGS = frozenset({"MissingEnvironmentVariable", "WrongConfiguration", "MissingFile", "WrongCredentials"})
#: An init container that runs for so long has stopped getting on.
_HANGS = timedelta(minutes=3)
_ELSEWHERE = ("Unreachable", "UnknownHost")


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """BadRollout, ApplicationCrash, CommandNotFound, MissingEnvironmentVariable, WrongConfiguration and others."""
    for workload, troubled in scene.troubled.items():
        names = dict.fromkeys(c.name for c in troubled)
        for name in names:
            mine = [c for c in troubled if c.name == name]
            if all(c.was_oom_killed for c in mine) or all(is_killed_by_probe(scene, c) for c in mine):
                continue  # analyzers of memory and of probes know more
            yield from _judge(scene, workload, mine)
    yield from _hanging(scene)


def _hanging(scene: Scene) -> Iterator[Hypothesis]:
    """Init containers that run and run: the pod never starts."""
    for workload, containers in scene.containers.items():
        for container in containers:
            started = r.moment(container.status, "state", "running", "startedAt")
            always = r.text(container.spec, "restartPolicy") == "Always"  # a sidecar is meant to go on
            if not container.is_init or always or started is None or scene.now - started < _HANGS:
                continue
            past, blame = rollout_blame(scene, workload, [container])
            minutes = (scene.now - started).total_seconds() / 60
            facts: dict[str, Any] = {"container": container.name}
            proof = [status_evidence(container), *scene.log_evidence(container)]
            words = f"Init container {container.name} has been running for {minutes:.0f} minutes and does not end."
            if past is not None and past.good is not None and blame >= 0.5:
                facts |= past.facts()
                proof += change_evidence(past)
            target = workload_ref(scene, workload)
            yield Hypothesis("InitContainerFailed", target, 0.74, words, proof, facts, affected=scene.around(workload))
            break


def _judge(scene: Scene, workload: ObjectRef, containers: list[Container]) -> Iterator[Hypothesis]:
    best = max(containers, key=lambda c: (bool(scene.log_of(c)), c.restarts))
    past, blame = rollout_blame(scene, workload, containers)
    start_error = _start_error(scene, workload, best, past, blame)
    if start_error is not None:
        yield start_error
        return
    matches = [m for c in containers for m in scene.matches(c)]
    proof = [status_evidence(best), *_backoff(scene, best)]
    target = workload_ref(scene, workload)
    affected = scene.around(workload)
    facts: dict[str, Any] = {"container": best.name, "exit_code": best.exit_code, "workload": target.as_json()}
    proven = _first(matches, _FROM_LOG)
    elsewhere = next((m for m in matches if m.kind in _ELSEWHERE), None)

    if proven is not None and (elsewhere is None or matches.index(proven) < matches.index(elsewhere)):
        yield _from_log(scene, workload, best, proven, past, blame, facts, proof)
    if past is not None and past.good is not None and blame >= 0.5:
        strength = 0.93 * blame
        if proven is not None and _brought(past, proven):
            strength *= 0.75  # the settings are wrong: that says more than that the revision is
        if best.is_init and past.changed(f"initContainers[{best.name}]"):
            strength *= 0.6  # it is that container which the revision brought
        if not past.changes:
            strength *= 0.6  # the same template was only started again
        if elsewhere is not None and not past.good_serves:
            strength *= 0.8
        yield Hypothesis(
            "BadRollout",
            target,
            strength,
            f"Container {best.name} fails since revision {past.current.number} was rolled out{_what(past)}; "
            f"revision {past.good.number} {'still serves' if past.good_serves else 'was the one before'}.",
            [*proof, *change_evidence(past), *scene.log_evidence(best)],
            facts | past.facts(),
            affected=affected,
            since=past.started,
        )
    log_lines = scene.log_evidence(best)
    error = log_lines[0].text.splitlines()[-1][:200] if log_lines else ""
    yield Hypothesis(
        "InitContainerFailed" if best.is_init else "ApplicationCrash",
        target,
        _strength_of_end(best, past, has_log=bool(log_lines)) * (0.6 if elsewhere is not None else 1.0),
        _crash_words(best),
        [*proof, *log_lines],
        facts | {"error": error},
        affected=affected,
    )


def _strength_of_end(container: Container, past: History | None, *, has_log: bool) -> float:
    """Of an end that nothing explains; an init container that the newest revision brought or changed does."""
    if container.is_init and past is not None and past.changed(f"initContainers[{container.name}]"):
        return 0.88
    return 0.62 if has_log else 0.55


def _from_log(
    scene: Scene,
    workload: ObjectRef,
    container: Container,
    match: Match,
    past: History | None,
    blame: float,
    facts: dict[str, Any],
    proof: list[Evidence],
) -> Hypothesis:
    strength = _FROM_LOG[match.kind]
    about = workload_ref(scene, workload)
    facts = facts | match.details | {"error": match.record.message.splitlines()[0][:300]}
    proof = [*scene.log_evidence(container, match), *proof]
    explanation = f"Container {container.name} ends with: {match.record.message.splitlines()[0][:200]}"
    changed_map = _changed_config_map(scene, workload, container, match)
    other = responsible(scene, workload, match)
    if other is not None and other != bare(workload):
        facts |= {"client": bare(workload).as_json()}
        affected = {*scene.around(workload), bare(workload), *scene.around(other)}
        return Hypothesis(
            match.kind, workload_ref(scene, other), strength, explanation, proof, facts, affected=affected
        )
    restarted = past is not None and not past.changes  # the same template once more: it read other settings
    if past is not None and past.good is not None and blame >= 0.5 and not (restarted and changed_map is not None):
        relevant = _brought(past, match)
        if relevant:
            strength = min(0.97, strength + 0.1)
            explanation += f" Revision {past.current.number} changed {relevant[0].path}."
        elif only_image(past):
            strength -= 0.15  # same settings, new program: the rollout is at least as much to blame
        facts |= past.facts()
        proof += change_evidence(past, relevant or None)
    elif changed_map is not None and match.kind in _ABOUT_SETTINGS:
        about = changed_map
        when, who = last_change(scene.snapshot.find(changed_map) or {}, fields="f:data")
        strength = min(0.95, strength + 0.08)
        facts |= {"config_map": changed_map.name}
        explanation += f" ConfigMap {changed_map.name} was changed{f' by {who}' if who else ''} shortly before."
        proof.append(
            evidence("change", f"ConfigMap {changed_map.name} was changed", f"by {who}", obj=changed_map, at=when)
        )
    elif match.kind == "WrongCredentials" and (found := changed_secret(scene, workload, container)) is not None:
        about, more = found
        explanation += f" {more}"
        facts |= {"secret": about.name}
    affected = {*scene.around(workload), workload}
    return Hypothesis(match.kind, about, strength, explanation, proof, facts, affected=affected)


def _brought(past: History, match: Match) -> list[Change]:
    """What the newest revision changed that the program's words may be about."""
    named = settings_changed(past, match.details.get("variable", ""), match.details.get("path", ""))
    if match.kind in _ABOUT_SETTINGS:
        return named or settings_changed(past)
    if match.kind == "PermissionDenied":
        return named or past.changed("securityContext", "serviceAccount", "volume")
    return named


def _changed_config_map(scene: Scene, workload: ObjectRef, container: Container, match: Match) -> ObjectRef | None:
    """A ConfigMap the container reads that was changed after the pod was made and within the last hour."""
    best: tuple[float, ObjectRef] | None = None
    for name in names_read(container.pod, container.spec, "ConfigMap"):
        obj = scene.snapshot.get("ConfigMap", workload.namespace, name)
        if obj is None:
            continue
        when, _ = last_change(obj, fields="f:data")
        created = r.moment(obj, "metadata", "creationTimestamp")
        if when is None or when == created or (scene.now - when).total_seconds() > 3600:
            continue
        mentioned = any(
            k in match.record.message or v in match.record.message for k, v in r.labels(obj, "data").items() if v
        )
        score = (1e12 if mentioned else 0) + when.timestamp()
        if best is None or score > best[0]:
            best = (score, ObjectRef.of(obj, "ConfigMap"))
    return best[1] if best else None


def _start_error(
    scene: Scene, workload: ObjectRef, container: Container, past: History | None, blame: float
) -> Hypothesis | None:
    message = (
        r.text(container.ended, "message")
        if r.text(container.ended, "reason") in ("StartError", "ContainerCannotRun")
        else ""
    )
    if container.waiting in ("RunContainerError", "StartError"):
        message = message or container.waiting_message
    matches = scene.matches(container)
    facts: dict[str, Any] = {"container": container.name}
    cause, strength = "", 0.95
    if message:
        if _MOUNT.search(message):
            cause, strength = "ContainerCannotStart", 0.85
        elif _NO_EXECUTABLE.search(message):
            cause = "CommandNotFound"
        elif _NOT_EXECUTABLE.search(message):
            cause = "PermissionDenied"
        else:
            cause, strength = "ContainerCannotStart", 0.8
        command = _COMMAND.search(message)
        facts["command"] = command["command"] if command else " ".join(r.strings(container.spec, "command")[:3])
    elif any(m.kind == "WrongPlatform" for m in matches):
        cause, strength, message = (
            "ContainerCannotStart",
            0.85,
            "the image was built for another platform (exec format error)",
        )
    elif container.exit_code == 127 and not any(m.kind in _FROM_LOG for m in matches if m.kind != "MissingFile"):
        cause, strength, message = "CommandNotFound", 0.88, "the shell did not find the command (exit code 127)"
    elif container.exit_code == 126:
        cause, strength, message = "PermissionDenied", 0.85, "the command may not be executed (exit code 126)"
    if not cause:
        return None
    proof = [status_evidence(container), *_backoff(scene, container), *scene.log_evidence(container)]
    explanation = f"Container {container.name} cannot start: {message[-300:]}"
    if past is not None and past.good is not None and blame >= 0.5:
        relevant = past.changed(".command", ".args", ".image", "securityContext", "volume")
        facts |= past.facts()
        proof += change_evidence(past, relevant or None)
        explanation += f" It began with revision {past.current.number}."
    return Hypothesis(
        cause, workload_ref(scene, workload), strength, explanation, proof, facts, affected=scene.around(workload)
    )


def _first(matches: list[Match], kinds: dict[str, float]) -> Match | None:
    return next((m for m in matches if m.kind in kinds), None)


def _backoff(scene: Scene, container: Container) -> list[Evidence]:
    return [of_event(e) for e in scene.snapshot.events(container.pod, "BackOff") if container.name in e.message][-1:]


def _what(past: History) -> str:
    images = [c for c in past.changes if c.path.endswith(".image")]
    if images:
        return f" with image {images[0].after}"
    return f" ({past.changes[0].path} changed)" if past.changes else ""


def _crash_words(container: Container) -> str:
    what = "Init container" if container.is_init else "Container"
    if container.exit_code == 0:
        return f"{what} {container.name} ends by itself again and again with exit code 0: a server has to keep running."
    code = "an error" if container.exit_code is None else f"exit code {container.exit_code}"
    return f"{what} {container.name} ends with {code}; nothing outside of it was found that explains why."
