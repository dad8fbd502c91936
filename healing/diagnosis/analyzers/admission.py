"""Pods that the API server refuses to create: quota, LimitRange, ServiceAccount, security, webhooks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from healing.diagnosis import reading as r
from healing.diagnosis.analyzers.common import change_evidence, workload_ref
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence, of_event
from healing.diagnosis.reading import Object
from healing.diagnosis.revisions import Change, History, last_change
from healing.diagnosis.scene import RECENT, Scene
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

_QUOTA = re.compile(
    r"exceeded quota: (?P<quota>[\w.\-]+), requested: (?P<requested>\S+), used: (?P<used>\S+), limited: "
    r"(?P<limited>\S+)"
)
_UNSPECIFIED = re.compile(r"failed quota: (?P<quota>[\w.\-]+): must specify (?P<resources>[^\n]+)")
_RANGE = re.compile(
    r"(?P<bound>maximum|minimum) (?P<resource>\S+) usage per (?P<scope>\w+) is (?P<allowed>[^,\s]+)(?:, but (?:limit"
    r"|request) is (?P<requested>[^,.\s]+))?"
)
_RATIO = re.compile(r"(?P<resource>\S+) max limit to request ratio per \w+ is (?P<allowed>[^,\s]+)")
_ACCOUNT = re.compile(
    r"service account (?P<name>\S+): serviceaccount \"(?P<account>[^\"]+)\" not found|error looking up service"
    r" account (?P<path>\S+):"
)
_SECURITY = re.compile(r"violates PodSecurity \"(?P<level>[^\"]+)\": (?P<violations>[^\n]+)")
_DENIED = re.compile(r"admission webhook \"(?P<webhook>[^\"]+)\" denied the request(?:: (?P<why>[^\n]+))?")
_CALLING = re.compile(
    r"failed calling webhook \"(?P<webhook>[^\"]+)\"(?:[^\n]*?https?://(?P<service>[\w\-]+)\."
    r"(?P<namespace>[\w\-]+)\.svc)?"
)
_WHOLE_CONTAINER = re.compile(r"(?:initContainers|containers)\[[^\]]+\]$")
_PRIORITY = re.compile(r"no PriorityClass with name (?P<name>\S+) was found")


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """QuotaExceeded, LimitRangeViolation, MissingServiceAccount, PodSecurityViolation, admission webhooks."""
    for obj in scene.snapshot.workloads():
        if not scene.covers(r.text(obj, "metadata", "namespace")):
            continue
        complaint = _complaint(scene, obj)
        if complaint is not None:
            message, proof = complaint
            found = _judge(scene, obj, message, proof)
            yield found
            if found.cause == "AdmissionWebhookUnavailable":
                yield from _backend(scene, found)


def _complaint(scene: Scene, workload: Object) -> tuple[str, list[Evidence]] | None:
    """The latest refusal, if the workload still lacks pods."""
    wanted = r.number(workload, "spec", "replicas", default=1)
    if workload.get("kind") == "DaemonSet":
        wanted = r.number(workload, "status", "desiredNumberScheduled")
    have = len(
        [p for p in scene.pods.get(bare(ObjectRef.of(workload)), ()) if not r.text(p, "metadata", "deletionTimestamp")]
    )
    creators = [workload, *scene.snapshot.owned(workload, "ReplicaSet"), *scene.snapshot.owned(workload, "Job")]
    failing = [c for c in creators if r.condition(c, "ReplicaFailure").get("status") == "True"]
    events = [e for c in creators for e in scene.snapshot.events(c, "FailedCreate", "FailedDaemonPod", "Failed")]
    events = [
        e
        for e in events
        if e.message.startswith("Error creating") or "forbidden" in e.message or "webhook" in e.message
    ]
    past = scene.history(ObjectRef.of(workload))
    incomplete = have < wanted or (past is not None and past.current.pods < wanted)
    if failing:
        message = r.text(r.condition(failing[-1], "ReplicaFailure"), "message")
        ref = ObjectRef.of(failing[-1])
        proof = [evidence("status", f"{ref.kind} {ref.name}: ReplicaFailure", message, obj=bare(ref))]
    elif events and incomplete and (events[-1].last is None or scene.now - events[-1].last <= RECENT * 3):
        message, proof = events[-1].message, []
    else:
        return None
    if events:
        latest = max(events, key=lambda e: e.last or scene.now)
        proof.append(of_event(latest))
        message = message or latest.message
    return (message, proof) if incomplete and message else None


def _judge(scene: Scene, workload: Object, message: str, proof: list[Evidence]) -> Hypothesis:
    ref = ObjectRef.of(workload)
    cause, strength, facts, explanation = classify(message)
    facts["workload"] = ref.as_json()
    if cause == "QuotaExceeded":
        quota = scene.snapshot.get("ResourceQuota", ref.namespace, str(facts.get("quota", "")))
        if quota is not None:
            used, hard = r.mapping(quota, "status", "used"), r.mapping(quota, "status", "hard")
            text = "\n".join(f"{name}: {used.get(name, '?')} of {hard[name]}" for name in hard)
            proof = [
                *proof,
                evidence(
                    "status", f"ResourceQuota {facts['quota']}", text, obj=bare(ObjectRef.of(quota, "ResourceQuota"))
                ),
            ]
    past = scene.history(ref) if cause != "AdmissionWebhookUnavailable" else None  # it would answer no other revision
    relevant = _asked_newly(past, cause) if past is not None else []
    if past is not None and past.good is not None and relevant:
        facts |= past.facts()
        proof = [*proof, *change_evidence(past, relevant)]
        explanation += f" Revision {past.current.number} changed {relevant[0].path}."
    about = workload_ref(scene, ref)
    restriction = _newer_restriction(scene, workload, cause, facts)
    if restriction is not None:
        about = ObjectRef.of(restriction)
        when, who = last_change(restriction, fields="f:spec")
        explanation += f" {about.kind} {about.name} was set{f' by {who}' if who else ''} after the workload."
        title = f"{about.kind} {about.name} was changed"
        proof = [*proof, evidence("change", title, f"by {who or 'unknown'}", obj=bare(about), at=when)]
    return Hypothesis(
        cause, about, strength, explanation, proof, facts, affected={*scene.around(ref), bare(ref), bare(about)}
    )


def _asked_newly(past: History, cause: str) -> list[Change]:
    """Changes of the newest revision that such a refusal may be about: not a new image, but a new container."""
    words = ("serviceAccount",) if cause == "MissingServiceAccount" else ("resources", "securityContext", "host")
    return [c for c in past.changes if any(w in c.path for w in words) or _WHOLE_CONTAINER.match(c.path)]


def _backend(scene: Scene, found: Hypothesis) -> Iterator[Hypothesis]:
    """Who should answer for the webhook: scaled to zero, or without a ready pod; what is wrong with it explains all."""
    service = ObjectRef("Service", str(found.facts.get("namespace", "")), str(found.facts.get("service", "")))
    backends = sorted(scene.calls.backends.get(service, ()))
    found.blames |= {service, *backends}
    for backend in backends:
        if scene.ready_pods(backend):
            continue
        affected = {*found.affected, service, *scene.around(backend)}
        obj = scene.snapshot.find(backend) or {}
        webhook = found.facts["webhook"]
        if r.at(obj, "spec", "replicas") == 0:
            when, who = last_change(obj, fields="f:spec")
            text = f"last changed by {who}" if who else ""
            title = f"{backend.kind} {backend.name}: replicas 0"
            proof = [evidence("spec", title, text, obj=backend, at=when), *found.evidence]
            words = f"{backend.kind} {backend.name} is scaled to zero, and admission webhook {webhook} waits for it."
            facts = {"replicas": 0, "suggested_replicas": 1}
            yield Hypothesis("ScaledToZero", workload_ref(scene, backend), 0.95, words, proof, facts, affected)
        else:
            words = f"Admission webhook {webhook} does not answer: {backend.kind} {backend.name} has no ready pod."
            ref, facts = workload_ref(scene, backend), dict(found.facts)
            yield Hypothesis("AdmissionWebhookUnavailable", ref, 0.94, words, list(found.evidence), facts, affected)


def _newer_restriction(scene: Scene, workload: Object, cause: str, facts: dict[str, Any]) -> Object | None:
    """The quota or LimitRange, where it was changed after the workload: then the mistake is there."""
    namespace = r.text(workload, "metadata", "namespace")
    if cause == "QuotaExceeded":
        found = scene.snapshot.get("ResourceQuota", namespace, str(facts.get("quota", "")))
    elif cause == "LimitRangeViolation":
        ranges = scene.snapshot.of_kind("LimitRange", namespace)
        found = ranges[0] if len(ranges) == 1 else None
    else:
        return None
    if found is None:
        return None
    when, _ = last_change(found, fields="f:spec")
    asked, _ = last_change(workload, fields="f:spec")
    past = scene.history(ObjectRef.of(workload))
    if past is not None and past.good is not None and not _asked_newly(past, cause):
        # it asks for what it had: what has changed since is the restriction
        asked = past.good.created
        times = [asked] if asked is not None else []
    else:
        times = [t for t in (asked, past.started if past is not None else None) if t is not None]
    return found if when is not None and times and when > max(times) else None


def classify(message: str) -> tuple[str, float, dict[str, Any], str]:
    """(cause, strength, facts, explanation) of a refusal."""
    if match := _QUOTA.search(message):
        requested, used, limited = (match[g].rstrip(".,") for g in ("requested", "used", "limited"))
        resources = [part.partition("=")[0] for part in requested.split(",")]
        facts: dict[str, Any] = {"quota": match["quota"], "resource": resources[0], "resources": resources}
        facts |= {"requested": requested, "used": used, "limited": limited}
        words = f"The quota {match['quota']} leaves no room: requested {requested}, used {used} of {limited}."
        return "QuotaExceeded", 0.96, facts, words
    if match := _UNSPECIFIED.search(message):
        facts = {"quota": match["quota"], "resource": match["resources"], "requested": "", "used": "", "limited": ""}
        words = f"The quota {match['quota']} demands that pods specify {match['resources']}."
        return "QuotaExceeded", 0.92, facts, words
    if match := _RANGE.search(message) or _RATIO.search(message):
        facts = {k: v for k, v in match.groupdict().items() if v}
        return "LimitRangeViolation", 0.96, facts, f"The namespace's LimitRange refuses the pods: {match[0]}."
    if match := _ACCOUNT.search(message):
        name = match["account"] or (match["path"] or "").rpartition("/")[2]
        return "MissingServiceAccount", 0.96, {"service_account": name}, f"ServiceAccount {name} does not exist."
    if match := _SECURITY.search(message):
        facts = {"level": match["level"], "violations": match["violations"]}
        words = f"Pod Security ({match['level']}) refuses the pods: {match['violations'][:200]}."
        return "PodSecurityViolation", 0.95, facts, words
    if match := _DENIED.search(message):
        words = f"Admission webhook {match['webhook']} refuses the pods: {match['why'] or 'no reason given'}."
        return "AdmissionWebhookDenied", 0.93, {"webhook": match["webhook"]}, words
    if match := _CALLING.search(message):
        facts = {"webhook": match["webhook"], "service": match["service"] or "", "namespace": match["namespace"] or ""}
        return "AdmissionWebhookUnavailable", 0.93, facts, f"Admission webhook {match['webhook']} does not answer."
    return "PodCreationFailed", 0.8, {"error": message[:300]}, f"Pods cannot be created: {message[:250]}"
