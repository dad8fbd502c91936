"""Weighs hypotheses against each other: the cause before its symptoms, the specific before the general.

A hypothesis that another one explains keeps a little of its confidence; one that explains others gains some. What is
explained by nothing is a root. A source that could not be read lowers what is usually proven with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from healing.diagnosis import alerts
from healing.diagnosis.catalogue import CAUSES
from healing.diagnosis.hypothesis import Hypothesis, bare
from healing.diagnosis.scene import Scene
from healing.diagnosis.settle import GIVES
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

#: What a workload shows when something that it calls, or the node below it, is the trouble.
SUFFERING = frozenset(
    {
        "SlowDependency",
        "FailingDependency",
        "DependencyUnavailable",
        "DNSFailure",
        "ApplicationNotReady",
        "PodsUnavailable",
        "ConnectionPoolExhausted",
        "AutoscalerAtMaximum",
    }
)
#: What the loss of a node explains on top of that.
_OF_A_NODE = SUFFERING | {
    "RolloutStuck",
    "InsufficientCPU",
    "InsufficientMemory",
    "UntoleratedTaint",
    "NodeCordoned",
    "Unschedulable",
    "FaultyNode",
    "FaultyPod",
    "PodNetworkSetupFailed",
    "VolumeMountFailed",
}
#: What slows calls down that both sides make as well as ever.
_OF_THE_NETWORK = frozenset({"NetworkDelay", "PacketLoss"})
#: What makes its callers fail, though nothing in them has changed.
_OF_WHAT_IS_CALLED = _OF_THE_NETWORK | {
    "ReadOnlyDependency",
    "ConnectionPoolExhausted",
    "CertificateExpired",
    "WrongCredentials",
    "DNSFailure",
    "NetworkPolicyBlocking",
    "KubeProxyDown",
    "ClockSkew",
    "DiskFull",
}
#: Ends of a program that may only be its answer to a dependency that is gone.
_REACTION = frozenset({"ApplicationCrash", "InitContainerFailed", "BadRollout", "RolloutStuck", "JobFailed"})
#: What is so gone that a program that calls it when it starts cannot start, whatever its revision.
_GONE = frozenset(
    {
        "ScaledToZero",
        "ServiceMissing",
        "ServiceSelectorMismatch",
        "ServicePortMismatch",
        "ServiceProtocolMismatch",
        "ServiceWithoutEndpoints",
        "NetworkPolicyBlocking",
    }
)
#: Who is not ready makes its callers feel it.
_NOT_READY = frozenset({"ApplicationNotReady", "PodsUnavailable"})
_FELT_BY_CALLERS = frozenset({"SlowDependency", "FailingDependency", "DependencyUnavailable"})
#: What explains the latency and errors of the workload itself.
_OWN_TROUBLE = frozenset({"SlowDependency", "FailingDependency", "FaultyPod"})
#: What more replicas would relieve: an autoscaler that may not start them is what a person would change.
_OVERLOAD = _OWN_TROUBLE | {"TrafficSpike", "CPULimitTooLow", "ApplicationNotReady"}
#: What makes the same requests cost more, so that no number of replicas is enough.
_COSTS_MORE = frozenset({"CPUHog", "BadRollout", "MemoryLeak"})
_EXPLAINED = 0.4
#: Weaker ones explain nothing.
_POSSIBLE = 0.5
#: So well proven, a specific cause says more than that a revision brought it.
_PROVEN = 0.84
#: So clear, it is believed to explain what fails around it; beside it, mere numbers of services step back.
_CLEAR, _SOMETHING_ELSE = 0.7, 0.5
_LEAST = 0.12
_MISSING_SOURCE = 0.93
#: What is left of the doubt where an alert that fires tells of the same.
_ALERTED = 0.85


def rank(scene: Scene, hypotheses: Iterable[Hypothesis], missing: Mapping[str, str]) -> list[Hypothesis]:
    """The hypotheses, best first, each with its confidence and what explains it; hopeless ones are dropped."""
    merged = _without_guesses(merge(hypotheses))
    scene.__dict__["_subjects"] = {}
    reach = {h.key: _reach(scene, subject(scene, h)) for h in merged}
    blamers = _blamers(scene, merged)
    causes_of = _Suspects(scene, merged, blamers)
    for one in merged:
        for other in causes_of(one):
            if one is other or not explains(scene, other, one, blamers, reach):
                continue
            mutual = explains(scene, one, other, blamers, reach)
            if not mutual or _stronger(other, one):
                one.explained_by.append(other)
    lacking = {GIVES[source] for source in missing if source in GIVES}
    for one in merged:
        explained = sum(one in h.explained_by for h in merged)
        confidence = one.strength * (_EXPLAINED if one.explained_by else 1.0)
        if not one.explained_by:
            confidence = 1.0 - (1.0 - confidence) * 0.9 ** min(explained, 3)
        if not one.explained_by and (heard := _alerts_about(scene, one)):
            # somebody else's rules see it, too
            confidence = 1.0 - (1.0 - confidence) * _ALERTED
            one.evidence = distinct([*one.evidence, *(alerts.as_evidence(a) for a in heard[:2])])
        lost = lacking.intersection(CAUSES[one.cause].sources)
        one.confidence = round(min(0.98, confidence * _MISSING_SOURCE ** len(lost)), 3)
    kept = [h for h in merged if h.confidence >= _LEAST and not (h.explained_by and CAUSES[h.cause].generic)]
    return sorted(kept, key=lambda h: (-h.confidence, bool(h.explained_by), h.cause, h.object))


def _alerts_about(scene: Scene, one: Hypothesis) -> list[alerts.Alert]:
    """Firing alerts of the same trouble about the object itself. What an alert alone suggested gains nothing by it."""
    known = {item.id for item in one.evidence}
    heard = alerts.about(scene, {bare(one.object), subject(scene, one)}) if scene.snapshot.alerts else []
    return [a for a in heard if alerts.supports(a, one.cause) and alerts.as_evidence(a).id not in known]


def _without_guesses(merged: list[Hypothesis]) -> list[Hypothesis]:
    """What only ranks services by their numbers is heard where nothing else says anything."""
    known = any("moved" not in h.facts and h.strength >= _SOMETHING_ELSE for h in merged)
    return [h for h in merged if not (known and "moved" in h.facts)]


def merge(hypotheses: Iterable[Hypothesis]) -> list[Hypothesis]:
    """One hypothesis per cause and object: the strongest, with the evidence and the effects of all."""
    found: dict[tuple[str, ObjectRef], Hypothesis] = {}
    for one in sorted(hypotheses, key=lambda h: -h.strength):
        known = found.setdefault(one.key, one)
        if known is not one:
            known.evidence = distinct([*known.evidence, *one.evidence])
            known.affected |= one.affected
            known.blames |= one.blames
            known.strength = min(0.98, known.strength + 0.02)
    return list(found.values())


def distinct(evidence: Iterable[Evidence]) -> list[Evidence]:
    """Each observation once, in order."""
    return list({item.id: item for item in evidence}.values())


def subject(scene: Scene, hypothesis: Hypothesis) -> ObjectRef:
    """The workload the hypothesis is about; of a Node, Service or claim the object itself. Computed once each."""
    known: dict[tuple[str, ObjectRef], ObjectRef] = scene.__dict__.setdefault("_subjects", {})
    key = hypothesis.key
    if key not in known:
        known[key] = _subject(scene, hypothesis)
    return known[key]


def _subject(scene: Scene, hypothesis: Hypothesis) -> ObjectRef:
    ref = bare(hypothesis.object)
    named = hypothesis.facts.get("workload")
    if ref.kind in ("ConfigMap", "Secret", "ResourceQuota", "LimitRange") and isinstance(named, dict):
        return bare(ObjectRef.from_json(named))
    if ref.kind in ("Pod", "ReplicaSet", "Job"):
        obj = scene.snapshot.find(ref)
        if obj is not None:
            return bare(scene.snapshot.workload_of(obj))
    return ref


def explains(
    scene: Scene,
    cause: Hypothesis,
    effect: Hypothesis,
    blamers: Mapping[ObjectRef, list[Hypothesis]],
    reach: Mapping[tuple[str, ObjectRef], set[ObjectRef]],
) -> bool:
    """Whether ``cause`` would bring ``effect`` about. ``blamers``: of each workload, the suspicions about it that blame
    something else."""
    if cause.strength < _POSSIBLE:
        return False
    if (of_scaling := _of_autoscaling(scene, cause, effect)) is not None:
        return of_scaling
    if _is_symptom(cause) and not _is_symptom(effect):
        return False
    source, target = subject(scene, cause), subject(scene, effect)
    if bare(cause.object) in effect.blames or source in effect.blames:
        return source != target or not _is_symptom(cause)
    if source == target:
        return _explains_its_own(cause, effect)
    suffers_from = effect.cause in SUFFERING and cause.cause in _OF_WHAT_IS_CALLED and not _is_root_of(cause, effect)
    if suffers_from and {target, bare(effect.object)} & cause.affected:
        return True
    if cause.cause in _OF_THE_NETWORK and effect.cause in SUFFERING and cause.object.kind != "Node":
        return bool(_touches(scene, cause, source) & reach[effect.key])
    if cause.object.kind == "Node":
        return effect.cause in _OF_A_NODE and bool({target, bare(effect.object)} & cause.affected)
    if effect.cause in SUFFERING and _touches(scene, cause, source) & reach[effect.key]:
        is_down = cause.cause in _NOT_READY and effect.cause in _FELT_BY_CALLERS
        is_mute = cause.cause == "DependencyUnavailable" and target in cause.affected
        return not _is_symptom(cause) or cause.cause in _OWN_TROUBLE or bool(effect.blames) or is_down or is_mute
    if effect.cause in _REACTION and cause.cause in _GONE and cause.strength >= _CLEAR:
        called = {*scene.calls.services.get(target, ())}
        called |= {ref for service in called for ref in scene.calls.backends.get(service, ())}
        if _touches(scene, cause, source) & called:
            return True
    if effect.cause in _REACTION:
        return _reacts(scene, cause, effect, target, blamers.get(target, ()))
    return False


def _explains_its_own(cause: Hypothesis, effect: Hypothesis) -> bool:
    """Of two hypotheses about one workload: whether the one brings the other about."""
    if cause.cause in _OF_THE_NETWORK and effect.cause in _NOT_READY:
        return True
    if cause.cause in _OWN_TROUBLE and effect.facts.get("outside"):
        return False  # it fails because of what it calls outside of the cluster, not the other way round
    if effect.cause in _OWN_TROUBLE and cause.facts.get("outside"):
        return True
    if CAUSES[effect.cause].generic and not CAUSES[cause.cause].generic:
        return True
    if effect.cause in (*_OWN_TROUBLE, "DNSFailure") and cause.cause not in SUFFERING:
        return True
    if effect.cause == "BadRollout" and cause.strength >= _PROVEN and cause.cause not in (*SUFFERING, "RolloutStuck"):
        return True  # what exactly is wrong with the revision says more
    if effect.cause == "JobFailed" and cause.cause not in ("ApplicationCrash", "DependencyUnavailable"):
        return True
    return effect.cause == "ApplicationCrash" and not CAUSES[cause.cause].generic


def _of_autoscaling(scene: Scene, cause: Hypothesis, effect: Hypothesis) -> bool | None:
    """An autoscaler at its maximum and the load of what it scales; None: it is not about that."""
    if cause.cause == "AutoscalerAtMaximum" and effect.cause in _OVERLOAD:
        return bool({subject(scene, effect), bare(effect.object)} & cause.affected)
    if effect.cause == "AutoscalerAtMaximum" and cause.cause in _COSTS_MORE:
        return bool({subject(scene, cause), bare(cause.object)} & effect.affected)
    return None


def _is_root_of(cause: Hypothesis, effect: Hypothesis) -> bool:
    """The same cause named of a client and of what it calls: neither is the other's effect by that alone."""
    return cause.cause == effect.cause


class _Suspects:
    """Which hypotheses `explains` could say yes to at all, for each effect, in their order: of hundreds of faults that
    have nothing to do with each other, not every one is held against every other."""

    def __init__(self, scene: Scene, merged: list[Hypothesis], blamers: Mapping[ObjectRef, list[Hypothesis]]) -> None:
        self._scene = scene
        self._all = [h for h in merged if h.strength >= _POSSIBLE]
        self._blamers = blamers
        self._far: list[int] = []
        self._near: dict[ObjectRef, list[int]] = {}
        for number, one in enumerate(self._all):
            is_wide = one.cause in _OF_WHAT_IS_CALLED or one.cause in _GONE or one.cause == "AutoscalerAtMaximum"
            if one.object.kind == "Node" or is_wide:
                self._far.append(number)
            else:
                self._near.setdefault(subject(scene, one), []).append(number)

    def __call__(self, effect: Hypothesis) -> list[Hypothesis]:
        target = subject(self._scene, effect)
        felt_from_afar = effect.blames or effect.cause in SUFFERING or effect.cause == "AutoscalerAtMaximum"
        if felt_from_afar or target in self._blamers:
            return self._all
        return [self._all[number] for number in sorted([*self._far, *self._near.get(target, ())])]


def _blamers(scene: Scene, everyone: Iterable[Hypothesis]) -> dict[ObjectRef, list[Hypothesis]]:
    found: dict[ObjectRef, list[Hypothesis]] = {}
    for one in everyone:
        if one.blames:
            found.setdefault(subject(scene, one), []).append(one)
    return found


def _reacts(
    scene: Scene, cause: Hypothesis, effect: Hypothesis, target: ObjectRef, blamers: Sequence[Hypothesis]
) -> bool:
    """A program that ends because of a dependency says so: a sibling hypothesis blames what ``cause`` is about."""
    if CAUSES[cause.cause].generic:
        return False
    past = scene.history(target)
    is_gone = cause.cause not in SUFFERING and cause.strength >= _CLEAR
    if effect.cause == "BadRollout" and past is not None and past.good_serves and not is_gone:
        return False  # the same dependency is good enough for the old revision
    if cause.cause in _OF_WHAT_IS_CALLED and cause.strength >= _CLEAR and target in cause.affected:
        return True
    if not blamers:
        return False
    touched = {bare(cause.object), subject(scene, cause), *cause.affected}
    return any(h.blames & touched for h in blamers if h is not cause)


def _touches(scene: Scene, cause: Hypothesis, source: ObjectRef) -> set[ObjectRef]:
    """Services and workloads that do not work because of the cause."""
    direct = {bare(cause.object), source}
    if cause.object.kind in ("NetworkPolicy", "PersistentVolumeClaim", "ConfigMap"):
        direct |= {ref for ref in cause.affected if ref.kind != "Pod"}
    return direct


def _reach(scene: Scene, workload: ObjectRef) -> set[ObjectRef]:
    """Services and workloads the workload calls, directly or not, without itself."""
    seen: set[ObjectRef] = set()
    waiting = [workload]
    while waiting:
        current = waiting.pop()
        for service in scene.calls.services.get(current, ()):
            for ref in (service, *scene.calls.backends.get(service, ())):
                if ref not in seen and ref != workload:
                    seen.add(ref)
                    waiting.append(ref)
    if workload.kind == "Service":
        seen |= scene.calls.backends.get(workload, set())
    return seen


def _is_symptom(hypothesis: Hypothesis) -> bool:
    return hypothesis.cause in SUFFERING or CAUSES[hypothesis.cause].generic


def _stronger(one: Hypothesis, other: Hypothesis) -> bool:
    return (one.strength, one.cause, one.object) > (other.strength, other.cause, other.object)
