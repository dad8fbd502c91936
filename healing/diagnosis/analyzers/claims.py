"""PersistentVolumeClaims that stay unbound: class, size, access mode, selector, zone, or a volume others have."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from healing.diagnosis import reading as r
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence, of_event
from healing.diagnosis.objects import Event
from healing.diagnosis.reading import Object
from healing.diagnosis.scene import Scene
from healing.diagnosis.selectors import matches
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

_NO_CLASS = re.compile(r"storageclass(?:\.storage\.k8s\.io)? \"(?P<name>[^\"]+)\" not found", re.IGNORECASE)
_NO_DEFAULT = re.compile(r"no persistent volumes available for this claim and no storage class is set", re.IGNORECASE)
_PROVISIONER = re.compile(r"provisioner '(?P<name>[^']+)'|provisioner \"(?P<other>[^\"]+)\"")
#: (cause, what the controller or a provisioner says)
_SAID: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (cause, re.compile(pattern, re.IGNORECASE))
    for cause, pattern in (
        (
            "VolumeAccessModeMismatch",
            (
                r"access ?modes?\b.{0,60}(?:not |un)supported|only supports?"
                r" [\w, ()+.]{0,60}access ?mode|incompatible access"
                r" ?modes?|(?:not |un)supported access ?mode|MULTI_NODE\w* (?:is )?not supported|invalid AccessModes?"
                r"|volume capabilit(?:y|ies)[^\n]{0,80}not supported"
            ),
        ),
        (
            "VolumeSelectorMismatch",
            r"claim\.?(?:Spec\.)?Selector is not supported|selector is not supported|parsing claim selector",
        ),
        (
            "VolumeSizeMismatch",
            (
                r"requested PV is too small|(?:size|capacity)\b.{0,60}(?:exceeds?"
                r"|larger|greater|too (?:large|big|small)|maximum"
                r"|not enough)|not enough (?:free )?(?:space|capacity)"
                r"|insufficient (?:free )?(?:space|capacity|storage)"
                r"|code = (?:OutOfRange|ResourceExhausted)|quota exceeded"
            ),
        ),
        ("VolumeAlreadyClaimed", r"already bound to a different claim|already (?:bound|claimed) by"),
        (
            "VolumeNodeAffinityConflict",
            (
                r"no available topology found|no topology key found|topology"
                r" requirement|not (?:available )?in (?:zone|region)"
            ),
        ),
    )
)
#: A claim that is only being provisioned is not stuck yet.
_PATIENCE = timedelta(seconds=45)


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """StorageClassNotFound, NoDefaultStorageClass, VolumeAccessModeMismatch, VolumeSizeMismatch and others."""
    pending = [
        claim
        for claim in scene.snapshot.of_kind("PersistentVolumeClaim")
        if r.text(claim, "status", "phase") in ("Pending", "Lost")
        and scene.covers(r.text(claim, "metadata", "namespace"))
    ]
    users = _users(scene) if pending else {}
    for claim in pending:
        ref = bare(ObjectRef.of(claim, "PersistentVolumeClaim"))
        found = _judge(scene, claim, users.get(ref, set()))
        if found is not None:
            yield found


def claims_of(pod: Object) -> list[str]:
    """Names of the claims a pod mounts, those of its generic ephemeral volumes too."""
    names = []
    for volume in r.dicts(pod, "spec", "volumes"):
        names.append(r.text(volume, "persistentVolumeClaim", "claimName"))
        if r.mapping(volume, "ephemeral"):
            names.append(f"{r.text(pod, 'metadata', 'name')}-{r.text(volume, 'name')}")
    return [n for n in names if n]


def _users(scene: Scene) -> dict[ObjectRef, set[ObjectRef]]:
    found: dict[ObjectRef, set[ObjectRef]] = defaultdict(set)
    for workload, pods in scene.pods.items():
        for pod in pods:
            for name in claims_of(pod):
                found[ObjectRef("PersistentVolumeClaim", workload.namespace, name)].add(workload)
    return found


def _judge(scene: Scene, claim: Object, users: set[ObjectRef]) -> Hypothesis | None:
    ref = ObjectRef.of(claim, "PersistentVolumeClaim")
    events = scene.snapshot.events(claim)
    messages = " \n".join(e.message for e in events)
    classes = [r.text(c, "metadata", "name") for c in scene.snapshot.of_kind("StorageClass")]
    wanted = r.text(claim, "spec", "storageClassName")
    phase = r.text(claim, "status", "phase")
    facts: dict[str, Any] = {
        "storage_class": wanted,
        "known_classes": classes,
        "requested": r.at(claim, "spec", "resources", "requests", "storage"),
        "access_modes": r.strings(claim, "spec", "accessModes"),
    }
    proof = [evidence("status", f"PersistentVolumeClaim {ref.name} is {phase}", _asks(claim), obj=bare(ref))]
    proof += [of_event(e) for e in events[-2:]]
    affected = {*users, *(near for u in users for near in scene.around(u))}

    def hypothesis(cause: str, strength: float, words: str, more: list[Evidence] | None = None) -> Hypothesis:
        return Hypothesis(cause, ref, strength, words, [*proof, *(more or [])], facts, affected)

    if phase == "Lost":
        return hypothesis("PersistentVolumeClaimUnbound", 0.9, f"The volume of claim {ref.name} is gone.")
    missing = _NO_CLASS.search(messages)
    static = [v for v in scene.snapshot.of_kind("PersistentVolume") if r.text(v, "spec", "storageClassName") == wanted]
    if missing or (wanted and classes and wanted not in classes and not static and "no-provisioner" not in wanted):
        name = missing["name"] if missing else wanted
        facts |= {"storage_class": name, "suggested_class": r.closest(name, classes)}
        words = f"Claim {ref.name} asks for StorageClass {name}, which does not exist."
        return hypothesis("StorageClassNotFound", 0.96 if missing else 0.85, words)
    if any(e.reason == "WaitForFirstConsumer" for e in events[-1:]) and not users:
        return None  # as it should be: nobody uses it yet
    said = _said(events)
    if said is not None:
        cause, event = said
        return hypothesis(cause, 0.93, f"No volume can be made or bound for claim {ref.name}: {event.message[:240]}")
    compared = _against_volumes(scene, claim)
    if compared is not None:
        cause, strength, words, volume = compared
        facts["volume"] = r.text(volume, "metadata", "name")
        return hypothesis(cause, strength, words, [_volume(volume)])
    if _NO_DEFAULT.search(messages) and not wanted:
        words = f"Claim {ref.name} names no StorageClass, and the cluster has no default."
        return hypothesis("NoDefaultStorageClass", 0.94, words)
    failed = [e for e in events if e.reason == "ProvisioningFailed"]
    if failed:
        words = f"No volume could be made for claim {ref.name}: {failed[-1].message[:240]}"
        return hypothesis("PersistentVolumeClaimUnbound", 0.82, words)
    waiting = [e for e in events if e.reason in ("ExternalProvisioning", "Provisioning")]
    if waiting and users and _is_old(scene, claim):
        match = _PROVISIONER.search(waiting[-1].message)
        facts["provisioner"] = (match["name"] or match["other"]) if match else ""
        who = facts["provisioner"] or "of its class"
        words = f"Claim {ref.name} waits for the provisioner {who}, which does not act."
        return hypothesis("VolumeProvisionerUnavailable", 0.85, words)
    if (users and _is_old(scene, claim)) or any(e.reason == "FailedBinding" for e in events):
        asked = f"{facts['requested']}, {', '.join(facts['access_modes'])}"
        return hypothesis("PersistentVolumeClaimUnbound", 0.72, f"No volume fits claim {ref.name} ({asked}).")
    return None


def _is_old(scene: Scene, claim: Object) -> bool:
    created = r.moment(claim, "metadata", "creationTimestamp")
    return created is None or scene.now - created > _PATIENCE or bool(scene.snapshot.events(claim))


def _said(events: list[Event]) -> tuple[str, Event] | None:
    for event in reversed(events):
        if event.reason in ("ProvisioningFailed", "VolumeMismatch", "FailedBinding"):
            for cause, pattern in _SAID:
                if pattern.search(event.message):
                    return cause, event
    return None


def _against_volumes(scene: Scene, claim: Object) -> tuple[str, float, str, Object] | None:
    """(cause, strength, words, volume): what keeps the volume that fits best from being bound."""
    name, named = r.text(claim, "metadata", "name"), r.text(claim, "spec", "volumeName")
    wanted = r.text(claim, "spec", "storageClassName")
    volumes = scene.snapshot.of_kind("PersistentVolume")
    candidates = [
        v
        for v in volumes
        if (r.text(v, "metadata", "name") == named if named else r.text(v, "spec", "storageClassName") == wanted)
    ]
    provisioned = {
        r.text(c, "metadata", "name")
        for c in scene.snapshot.of_kind("StorageClass")
        if "no-provisioner" not in r.text(c, "provisioner")
    }
    if not candidates or (
        not named and wanted in provisioned and all(r.text(v, "spec", "claimRef", "uid") for v in candidates)
    ):
        return None
    judged = sorted(
        ((_mismatches(claim, volume), volume) for volume in candidates),
        key=lambda entry: (
            len(entry[0]),
            "VolumeAlreadyClaimed" in dict(entry[0]),
            r.text(entry[1], "metadata", "name"),
        ),
    )
    reasons, best = judged[0]
    if not reasons:
        return None
    # a volume that is taken is the cause only where nothing else is wrong with it
    cause, _why = reasons[0]
    strength = 0.92 if len(reasons) == 1 else 0.75
    words = f"Claim {name} cannot have volume {r.text(best, 'metadata', 'name')}: {'; '.join(w for _, w in reasons)}."
    return cause, strength, words, best


def _mismatches(claim: Object, volume: Object) -> list[tuple[str, str]]:
    """(cause, words) of everything in the volume that does not suit the claim."""
    found = []
    modes, offered = r.strings(claim, "spec", "accessModes"), r.strings(volume, "spec", "accessModes")
    if offered and not set(modes) <= set(offered):
        found.append(
            ("VolumeAccessModeMismatch", f"it asks for {', '.join(modes)}, the volume has {', '.join(offered)}")
        )
    asked = r.quantity(r.at(claim, "spec", "resources", "requests", "storage"))
    size = r.quantity(r.at(volume, "spec", "capacity", "storage"))
    if asked is not None and size is not None and size < asked:
        shown = r.at(claim, "spec", "resources", "requests", "storage"), r.at(volume, "spec", "capacity", "storage")
        found.append(("VolumeSizeMismatch", f"it asks for {shown[0]}, the volume has {shown[1]}"))
    selector = r.mapping(claim, "spec", "selector")
    if selector and not matches(selector, r.labels(volume, "metadata", "labels")):
        found.append(("VolumeSelectorMismatch", f"its selector {_labels(selector)} does not match the volume's labels"))
    if r.text(claim, "spec", "storageClassName") != r.text(volume, "spec", "storageClassName"):
        found.append(("PersistentVolumeClaimUnbound", "their StorageClasses differ"))
    kinds = [r.text(o, "spec", "volumeMode") or "Filesystem" for o in (claim, volume)]
    if kinds[0] != kinds[1]:
        found.append(("PersistentVolumeClaimUnbound", f"it asks for a {kinds[0]}, the volume is a {kinds[1]}"))
    owner = r.mapping(volume, "spec", "claimRef")
    mine = (r.text(claim, "metadata", "namespace"), r.text(claim, "metadata", "name"))
    taken_by = (r.text(owner, "namespace"), r.text(owner, "name"))
    uid, my_uid = r.text(owner, "uid"), r.text(claim, "metadata", "uid")
    if owner and (taken_by != mine or (uid and my_uid and uid != my_uid)):
        gone = " (Released)" if r.text(volume, "status", "phase") == "Released" else ""
        found.append(("VolumeAlreadyClaimed", f"the volume belongs to claim {'/'.join(taken_by)}{gone}"))
    return found


def _labels(selector: Object) -> str:
    return ", ".join(f"{k}={v}" for k, v in r.labels(selector, "matchLabels").items()) or "of expressions"


def _asks(claim: Object) -> str:
    parts = [
        f"storage: {r.at(claim, 'spec', 'resources', 'requests', 'storage')}",
        f"access modes: {', '.join(r.strings(claim, 'spec', 'accessModes'))}",
        f"class: {r.text(claim, 'spec', 'storageClassName') or 'none named'}",
    ]
    return "\n".join(parts)


def _volume(volume: Object) -> Evidence:
    ref = bare(ObjectRef.of(volume, "PersistentVolume"))
    owner = r.mapping(volume, "spec", "claimRef")
    text = f"storage: {r.at(volume, 'spec', 'capacity', 'storage')}\naccess modes: "
    text += ", ".join(r.strings(volume, "spec", "accessModes"))
    if owner:
        text += f"\nclaimed by {r.text(owner, 'namespace')}/{r.text(owner, 'name')}"
    return evidence("spec", f"PersistentVolume {ref.name} ({r.text(volume, 'status', 'phase') or '?'})", text, obj=ref)
