"""What programs complain about that keep running: pools, stores that refuse writes, certificates, passwords, disks."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from healing.diagnosis import reading as r
from healing.diagnosis.analyzers.common import change_evidence, settings_changed, workload_ref
from healing.diagnosis.analyzers.responsible import called, is_store, responsible
from healing.diagnosis.analyzers.secrets import changed_secret, names_read
from healing.diagnosis.hypothesis import Hypothesis, bare
from healing.diagnosis.log_rules import Match
from healing.diagnosis.revisions import History
from healing.diagnosis.scene import Container, Scene
from healing.diagnosis.snapshot import recent
from healing.ports.cluster import ObjectRef

_CREDENTIAL = re.compile(
    r"pass|pwd|secret|token|user|cred|auth|login|key|dsn|url|uri|connection|envFrom", re.IGNORECASE
)
_LATELY, _AT_START = timedelta(hours=1), timedelta(seconds=30)
#: Failures of running programs: (strength, number of lines that make it more than an accident)
_RUNNING = {
    "ConnectionPoolExhausted": (0.8, 2),
    "ReadOnlyDependency": (0.82, 2),
    "CertificateExpired": (0.82, 2),
    "WrongCredentials": (0.74, 2),
    "DiskFull": (0.84, 1),
    "PermissionDenied": (0.66, 3),
}


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """ConnectionPoolExhausted, ReadOnlyDependency, CertificateExpired, WrongCredentials, DiskFull, PermissionDenied."""
    refused: dict[ObjectRef, list[tuple[ObjectRef, Hypothesis]]] = defaultdict(list)
    told: dict[ObjectRef, Hypothesis] = {}
    for workload, containers in scene.containers.items():
        for found, match in _of(scene, workload, containers):
            if match.kind == "WrongCredentials":
                store = called(scene, workload, match)
                if store is not None and store != workload:
                    refused[store].append((workload, found))
                elif bare(found.object) == bare(workload):
                    told[bare(workload)] = found
            yield found
    for store, clients in refused.items():
        changed = {
            w for w, found in clients if "changes" in found.facts or found.facts.get("credentials_read_at_start")
        }
        for workload, found in clients:
            if workload not in changed:
                found.blames |= {store}
        if changed and store in told:
            told[store].blames |= changed  # it refuses those whose settings were changed
        if len({w for w, _ in clients} - changed) > 1:
            yield _rotated(scene, store, [(w, found) for w, found in clients if w not in changed])


def _of(scene: Scene, workload: ObjectRef, containers: list[Container]) -> Iterator[tuple[Hypothesis, Match]]:
    seen: set[str] = set()
    for container in containers:
        if scene.is_crashing(container):
            continue  # analyzers.crashes
        for match in scene.matches(container):
            strength, least = _RUNNING.get(match.kind, (0.0, 0))
            if not strength or match.kind in seen or match.count < least or scene.has_stopped(match):
                continue
            seen.add(match.kind)
            yield _judge(scene, workload, container, match, strength), match


def _judge(scene: Scene, workload: ObjectRef, container: Container, match: Match, strength: float) -> Hypothesis:
    facts: dict[str, Any] = {"container": container.name, "error": match.record.message[:300], **match.details}
    words = f"{workload.kind} {workload.name} says: {match.record.first_line[:200]}"
    about, affected = workload_ref(scene, workload), {*scene.around(workload), bare(workload)}
    proof = scene.log_evidence(container, match)
    other = responsible(scene, workload, match)
    if other is not None and other != bare(workload):
        about = workload_ref(scene, other)
        affected |= scene.around(other)
        facts |= {"client": bare(workload).as_json()}
        strength += 0.04
    elif match.kind == "WrongCredentials" and any(is_store(scene, x) for x in scene.services_of(workload)):
        strength = 0.55  # a store tells of clients it did not let in
    elif match.kind == "WrongCredentials" and (past := _new_credentials(scene, workload)) is not None:
        changes = [c for c in settings_changed(past) if _CREDENTIAL.search(c.path)]
        words += f". Revision {past.current.number} changed {changes[0].path}."
        facts |= past.facts()
        proof += change_evidence(past, changes)
        strength = 0.93
    elif match.kind == "WrongCredentials" and (unseen := _unseen_secret(scene, container)):
        words += (
            f". It was let in before, with what it read from Secret {unseen} at its start: that is no longer valid."
        )
        facts |= {"secret": unseen, "credentials_read_at_start": True}
        strength = 0.86
    elif match.kind == "WrongCredentials":
        secret = changed_secret(scene, workload, container)
        if secret is not None:
            about, more = secret
            words += f". {more}"
            facts |= {"secret": about.name, "workload": bare(workload).as_json()}
            strength = 0.86
    if match.kind == "DiskFull":
        claims = [r.text(v, "persistentVolumeClaim", "claimName") for v in r.dicts(container.pod, "spec", "volumes")]
        facts["claim"] = next((c for c in claims if c), "")
    return Hypothesis(match.kind, about, strength, words, proof, facts, affected=affected)


def _new_credentials(scene: Scene, workload: ObjectRef) -> History | None:
    """The workload's history, where its newest revision brought other credentials lately."""
    past = scene.history(workload)
    if past is None or past.good is None or not recent(past.started, scene.now, _LATELY):
        return None
    return past if any(_CREDENTIAL.search(c.path) for c in settings_changed(past)) else None


def _unseen_secret(scene: Scene, container: Container) -> str:
    """A Secret that the program reads its credentials from and that nobody may look at; it has run for a while."""
    started = r.moment(container.status, "state", "running", "startedAt")
    if not container.is_ready or recent(started, scene.now, _AT_START):
        return ""
    namespace = r.text(container.pod, "metadata", "namespace")
    names = names_read(container.pod, container.spec, "Secret")
    return next((name for name in names if scene.snapshot.get("Secret", namespace, name) is None), "")


def _rotated(scene: Scene, store: ObjectRef, clients: list[tuple[ObjectRef, Hypothesis]]) -> Hypothesis:
    """Several clients that were let in before: it is the store's password that changed."""
    names = sorted({w.name for w, _ in clients})
    words = f"{store.kind} {store.name} refuses the credentials of {', '.join(names[:4])}: its password is not theirs."
    proof = [e for _, found in clients[:3] for e in found.evidence[:1]]
    affected = {*scene.around(store), *(w for w, _ in clients)}
    facts = {"clients": [w.as_json() for w, _ in clients]}
    return Hypothesis("WrongCredentials", workload_ref(scene, store), 0.9, words, proof, facts, affected=affected)
