"""ConfigMaps, Secrets, keys and ServiceAccounts that are not there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from healing.diagnosis import reading as r
from healing.diagnosis.analyzers.common import change_evidence, rollout_blame, status_evidence, workload_ref
from healing.diagnosis.analyzers.secrets import names_read
from healing.diagnosis.hypothesis import Hypothesis, evidence, of_event
from healing.diagnosis.objects import Event
from healing.diagnosis.reading import Object
from healing.diagnosis.revisions import History, last_change
from healing.diagnosis.scene import PATIENCE, Container, Scene, containers_of
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

_MISSING = re.compile(r"(?P<kind>configmap|secret)s? \"(?P<name>[^\"]+)\" (?:is forbidden.*)?not found", re.IGNORECASE)
_MISSING_KEY = re.compile(
    r"couldn't find key (?P<key>\S+) in (?P<kind>ConfigMap|Secret) (?:[\w.\-]+/)?(?P<name>[\w.\-]+)"
    r"|references non-existent (?P<what>config|secret) key: (?P<path>\S+)",
    re.IGNORECASE,
)
_SYNC = re.compile(r"failed to sync (?:configmap|secret) cache", re.IGNORECASE)


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """MissingConfigMap, MissingConfigMapKey, MissingSecret, MissingSecretKey."""
    for workload, containers in scene.containers.items():
        seen: set[tuple[str, str, str]] = set()
        for container in containers:
            for kind, name, key, proof in _complaints(scene, container):
                if (kind, name, key) not in seen:
                    seen.add((kind, name, key))
                    same = [c for c in containers if c.name == container.name and not c.is_ready]
                    yield _judge(scene, workload, container, same, kind, name, key, proof)


def _complaints(scene: Scene, container: Container) -> Iterator[tuple[str, str, str, list[Evidence]]]:
    """(ConfigMap or Secret, its name, key or empty, evidence)"""
    if container.waiting == "CreateContainerConfigError":
        found = parse(container.waiting_message)
        if found:
            yield (*found, [status_evidence(container)])
            return
        for event in scene.snapshot.events(container.pod, "Failed")[::-1]:
            found = parse(event.message)
            if found:
                yield (*found, [status_evidence(container), of_event(event)])
                return
    if (
        container.waiting in ("ContainerCreating", "PodInitializing", "")
        and not container.is_running
        and not container.ended
    ):
        for event in scene.snapshot.events(container.pod, "FailedMount")[::-1]:
            found = None if _SYNC.search(event.message) else parse(event.message)
            if found and _lasts(event):
                yield (*_named(container.pod, event.message, found), [of_event(event), status_evidence(container)])
                return


def parse(message: str) -> tuple[str, str, str] | None:
    """(ConfigMap or Secret, name, key) a kubelet's message misses; the name is empty where only the volume is named."""
    match = _MISSING_KEY.search(message)
    if match:
        if match["path"]:
            return ("ConfigMap" if match["what"].lower() == "config" else "Secret"), "", match["path"]
        return ("ConfigMap" if match["kind"].lower() == "configmap" else "Secret"), match["name"], match["key"]
    match = _MISSING.search(message)
    if match:
        return ("ConfigMap" if match["kind"].lower() == "configmap" else "Secret"), match["name"], ""
    return None


def _named(pod: Object, message: str, found: tuple[str, str, str]) -> tuple[str, str, str]:
    kind, name, key = found
    volume = re.search(r"volume \"([^\"]+)\"", message)
    if not name and volume:
        spec = r.named(r.dicts(pod, "spec", "volumes")).get(volume[1], {})
        name = r.text(spec, "configMap", "name") if kind == "ConfigMap" else r.text(spec, "secret", "secretName")
    return kind, name, key


def _lasts(event: Event) -> bool:
    # the first mount of a new pod may race with the ConfigMap's creation
    return event.count > 1 or event.first is None or event.last is None or event.last - event.first >= PATIENCE / 10


def _judge(
    scene: Scene,
    workload: ObjectRef,
    container: Container,
    failing: list[Container],
    kind: str,
    name: str,
    key: str,
    proof: list[Evidence],
) -> Hypothesis:
    target = workload_ref(scene, workload)
    past, blame = rollout_blame(scene, workload, failing)
    obj = scene.snapshot.get(kind, workload.namespace, name) if name else None
    what = "config_map" if kind == "ConfigMap" else "secret"
    facts: dict[str, object] = {"container": container.name, what: name, "workload": target.as_json()}
    cause = f"Missing{kind}Key" if key else f"Missing{kind}"
    if key:
        facts["key"] = key
        explanation = f"{kind} {name} has no key {key}, which container {container.name} needs."
    else:
        explanation = f"{kind} {name} does not exist; container {container.name} needs it."
    about = target
    introduced = [c for c in past.changes if name and name in f"{c.before}{c.after}"] if past is not None else []
    if past is not None and past.good is not None and introduced and blame >= 0.5:
        facts |= past.facts()
        proof = [*proof, *change_evidence(past, introduced)]
        explanation += f" Revision {past.current.number} asks for it for the first time."
    elif not key and _was_there(scene, workload, kind, name, past):
        about = ObjectRef(kind, workload.namespace, name)
        explanation += " It was there before: the template asked for it and its pods have started."
    elif key and kind == "Secret" and _had_key(scene, workload, name, key, past):
        about = ObjectRef(kind, workload.namespace, name)
        explanation += " It had it before: the template asked for it and its pods have started. The Secret was changed."
    elif key and obj is not None and kind == "ConfigMap":
        changed, who = last_change(obj, fields="f:data")
        created = r.moment(container.pod, "metadata", "creationTimestamp")
        started = past.started if past is not None else created
        value = _value_before(obj, key)
        if value is not None or (changed and started and changed > started):
            # the template asked for it and was served before: the ConfigMap was changed
            about = ObjectRef.of(obj, kind)
            explanation += f" The ConfigMap was changed{f' by {who}' if who else ''} after the workload was rolled out."
            proof = [
                *proof,
                evidence("change", f"{kind} {name} was changed", f"by {who or 'unknown'}", obj=about, at=changed),
            ]
        if value is not None:
            facts["suggested_value"] = value
    if key and obj is not None:
        similar = r.closest(key, list(r.mapping(obj, "data")))
        facts["known_keys"] = sorted(r.mapping(obj, "data"))[:50]
        if similar:
            facts["suggested_key"] = similar
            explanation += f" It has {similar}."
    elif not key and kind == "ConfigMap":
        names = [r.text(o, "metadata", "name") for o in scene.snapshot.of_kind(kind, workload.namespace)]
        if similar := r.closest(name, names):
            facts["suggested_config_map"] = similar
            explanation += f" There is one named {similar}."
    return Hypothesis(cause, about, 0.96, explanation, proof, facts, affected={*scene.around(workload), workload})


def _was_there(scene: Scene, workload: ObjectRef, kind: str, name: str, past: History | None) -> bool:
    """Whether it existed once: a pod that reads it has started, or the revision before asked for it, too."""
    if not name:
        return False
    if any(name in _read_by(spec, kind) for spec in _started(scene, workload.namespace)):
        return True
    return past is not None and past.good is not None and name in _read_by(r.mapping(past.good.template, "spec"), kind)


def _had_key(scene: Scene, workload: ObjectRef, name: str, key: str, past: History | None) -> bool:
    """Whether a Secret had the key once: a container that needs it has started, or the revision before, which serves,
    needs it, too."""
    if any(_needs_key(spec, name, key) for spec in _started(scene, workload.namespace)):
        return True
    good = past.good if past is not None and past.good_serves else None
    return good is not None and _needs_key(r.mapping(good.template, "spec"), name, key)


def _started(scene: Scene, namespace: str) -> Iterator[Object]:
    """Specs of pods all of whose containers have been started."""
    for pods in scene.pods.values():
        for pod in pods:
            containers = containers_of(pod) if r.text(pod, "metadata", "namespace") == namespace else []
            if containers and all(c.is_running or c.ended for c in containers if not c.is_init):
                yield r.mapping(pod, "spec")


def _needs_key(spec: Object, name: str, key: str) -> bool:
    refs = [r.mapping(e, "valueFrom", "secretKeyRef") for c in r.containers(spec) for e in r.dicts(c, "env")]
    return any((ref.get("name"), ref.get("key"), bool(ref.get("optional"))) == (name, key, False) for ref in refs)


def _read_by(spec: Object, kind: str) -> set[str]:
    """ConfigMaps or Secrets that a pod needs to start."""
    return {name for c in r.containers(spec) for name in names_read({"spec": spec}, c, kind)}


def _value_before(config_map: Object, key: str) -> str | None:
    """The key's value as kubectl applied it last, if it knew the key."""
    raw = r.text(config_map, "metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration")
    try:
        applied = json.loads(raw) if raw else {}
    except ValueError:
        return None
    return r.labels(applied, "data").get(key)
