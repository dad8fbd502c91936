"""HorizontalPodAutoscaler: the size of a workload from the CPU or memory its pods use."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from decimal import Decimal

from healing.sandbox.ports import Object
from healing.sandbox.world import conditions, pods, quantities
from healing.sandbox.world.context import Context, parse_time
from healing.sandbox.world.controllers import autoscaler_limits
from healing.sandbox.world.reconciler import Key, Reconciler, key_of
from healing.sandbox.world.selectors import matches

RESOURCE = "horizontalpodautoscalers.autoscaling"
TOLERANCE = 0.1
#: a pod younger than this does not yet tell how busy the workload is
INITIAL_DELAY_SECONDS = 30.0
_GOT_SCALE = ("SucceededGetScale", "the HPA controller was able to get the target's current scale")
_DISABLED = ("ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
_READY = ("ReadyForNewScale", "recommended size matches current size")
_STABILIZED = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)
_IN_RANGE = ("DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_TOO_FAST = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_TOO_FAST_DOWN = (
    "ScaleDownLimit",
    "the desired replica count is decreasing faster than the maximum scale rate",
)
_UP_STABILIZED = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_TARGETS = {"Deployment": "deployments.apps", "StatefulSet": "statefulsets.apps", "ReplicaSet": "replicasets.apps"}


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one metric asks for; ``error`` if it cannot be read."""

    replicas: int
    reason: str
    current: Object | None = None
    error: str = ""
    #: the reason of the condition and event, and what comes before the error in a list of several
    failure: str = "FailedGetResourceMetric"
    context: str = ""


class AutoscalerController(Reconciler):
    component = "horizontal-pod-autoscaler"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        #: sizes proposed lately: (time, replicas)
        self._history: dict[Key, list[tuple[float, int]]] = {}
        #: resizes made lately: (time, replicas added or taken away)
        self._changes: dict[Key, list[tuple[float, int]]] = {}

    def watch(self) -> None:
        self.on_own(RESOURCE)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(super().run())
            group.create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.context.settings.hpa_sync_seconds)
            for item in self.cluster.list(RESOURCE):
                self.queue.add(key_of(item))

    def reconcile(self, key: Key) -> None:
        autoscaler = self.cluster.get(RESOURCE, *key)
        if autoscaler is None:
            self._history.pop(key, None)
            return
        now = self.context.now()
        last = max((t for t, _ in self._history.get(key, ())), default=0.0)
        if now - last < self.context.settings.hpa_sync_seconds * 0.9:
            return  # woken by its own status
        spec = autoscaler["spec"]
        reference = spec["scaleTargetRef"]
        resource = _TARGETS.get(reference["kind"], "")
        target = self.cluster.get(resource, key[0], reference["name"]) if resource else None
        status: Object = dict(autoscaler.get("status") or {})
        if target is None:
            what = f'{resource or reference["kind"].lower() + "s"} "{reference["name"]}" not found'
            message = f"the HPA controller was unable to get the target's current scale: {what}"
            self._set(status, "AbleToScale", "False", ("FailedGetScale", message))
            self._event(autoscaler, "Warning", "FailedGetScale", what)
            self._history.setdefault(key, []).append((now, 0))
            self._write(key, autoscaler, status)
            return
        current = target["spec"].get("replicas", 1)
        status["currentReplicas"] = current
        self._set(status, "AbleToScale", "True", _GOT_SCALE)
        if current == 0:
            self._set(status, "ScalingActive", "False", _DISABLED)
            status["desiredReplicas"] = 0
            self._history.setdefault(key, []).append((now, 0))
            self._write(key, autoscaler, status)
            return
        wanted, why = self._wanted(autoscaler, target, current, status)
        wanted = self._limit(autoscaler, key, current, wanted, status)
        status["desiredReplicas"] = wanted
        if wanted != current:
            self._rescale(autoscaler, status, (resource, key[0], reference["name"]), wanted, f"{why} above target")
        self._write(key, autoscaler, status)

    def _wanted(self, autoscaler: Object, target: Object, current: int, status: Object) -> tuple[int, str]:
        """The size the busiest metric asks for, and that metric's name."""
        proposals = [self._propose(metric, target, current) for metric in autoscaler["spec"].get("metrics") or ()]
        readable = [p for p in proposals if not p.error]
        status["currentMetrics"] = [p.current for p in readable if p.current is not None] or None
        if not readable:
            error = proposals[0].error if proposals else "no metrics"
            message = f"the HPA was unable to compute the replica count: {error}"
            failed = proposals[0].failure if proposals else "FailedGetResourceMetric"
            self._set(status, "ScalingActive", "False", (failed, message))
            self._event(autoscaler, "Warning", failed, error)
            count = len(proposals) or 1
            context = proposals[0].context if proposals else ""
            message = f"invalid metrics ({count} invalid out of {count}), first error is: {context}{error}"
            self._event(autoscaler, "Warning", "FailedComputeMetricsReplicas", message)
            return current, ""
        best = max(readable, key=lambda p: p.replicas)
        message = f"the HPA was able to successfully calculate a replica count from {best.reason}"
        self._set(status, "ScalingActive", "True", ("ValidMetricFound", message))
        return best.replicas, best.reason

    def _rescale(
        self, autoscaler: Object, status: Object, target: tuple[str, str, str], wanted: int, why_up: str
    ) -> None:
        reason = why_up if wanted > status["currentReplicas"] else "All metrics below target"

        def resize(body: Object) -> None:
            body["spec"]["replicas"] = wanted

        self.cluster.mutate(*target, resize, user=self.user)
        self._event(autoscaler, "Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {reason}")
        status["lastScaleTime"] = self.context.timestamp()
        message = f"the HPA controller was able to update the target scale to {wanted}"
        self._set(status, "AbleToScale", "True", ("SucceededRescale", message))

    def _propose(self, metric: Object, target: Object, current: int) -> Proposal:
        if metric.get("type") != "Resource":
            return _unserved(metric, current, target["metadata"]["namespace"])
        name = metric["resource"]["name"]
        goal = metric["resource"]["target"]
        namespace = target["metadata"]["namespace"]
        members = [
            pod
            for pod in self.cluster.list("pods", namespace)
            if pods.is_active(pod) and matches(target["spec"].get("selector"), pod["metadata"].get("labels") or {})
        ]
        used, asked, counted = Decimal(0), Decimal(0), 0
        source = self.context.log_source
        for pod in members:
            if not self._tells(pod):
                continue
            for container in pod["spec"]["containers"]:
                request = ((container.get("resources") or {}).get("requests") or {}).get(name)
                if request is None and goal.get("type") == "Utilization":
                    where = f"container {container['name']} of Pod {pod['metadata']['name']}"
                    return _unreadable(name, current, f"missing request for {name} in {where}")
                asked += quantities.parse(request)
            for usage in (source.usage(pod["metadata"]["uid"]) if source is not None else {}).values():
                used += Decimal(str(usage.cpu_cores)) if name == "cpu" else Decimal(usage.memory_bytes)
            counted += 1
        if not counted:
            problem = f"unable to get metrics for resource {name}: no metrics returned from resource metrics API"
            return _unreadable(name, current, problem)
        average = used / counted
        shown: Object = {"averageValue": quantities.format_for(name, _rounded(name, average))}
        if goal.get("type") == "Utilization":
            percent = int(used / asked * 100) if asked else 0
            ratio = percent / goal["averageUtilization"]
            shown["averageUtilization"] = percent
            reason = f"{name} resource utilization (percentage of request)"
        else:
            ratio = float(average / quantities.parse(goal.get("averageValue") or 1))
            reason = f"{name} resource"
        wanted = current if abs(ratio - 1) <= TOLERANCE else math.ceil(ratio * counted)
        return Proposal(wanted, reason, {"type": "Resource", "resource": {"name": name, "current": shown}})

    def _tells(self, pod: Object) -> bool:
        """Pods that have just started, or are not Ready, say nothing about the load."""
        if not pods.is_ready(pod):
            return False
        started = parse_time((pod.get("status") or {}).get("startTime"))
        return self.context.now() - started >= INITIAL_DELAY_SECONDS

    def _limit(self, autoscaler: Object, key: Key, current: int, wanted: int, status: Object) -> int:
        """Within minReplicas and maxReplicas, no faster than allowed, and steadied over the stabilization windows."""
        spec, now = autoscaler["spec"], self.context.now()
        rules = autoscaler_limits.rules(
            spec.get("behavior") or {}, self.context.settings.hpa_downscale_stabilization_seconds
        )
        window = max(rules.up.window_seconds, rules.down.window_seconds, 1.0)
        history = [(t, size) for t, size in self._history.get(key, ()) if now - t <= window]
        stable = autoscaler_limits.stabilized(rules, history, current, wanted, now)
        self._history[key] = [*history, (now, wanted)]
        steadied = _STABILIZED if stable < current or wanted < stable else _UP_STABILIZED
        self._set(status, "AbleToScale", "True", steadied if stable != wanted else _READY)
        changes = [(t, change) for t, change in self._changes.get(key, ()) if now - t <= rules.longest_period_seconds]
        least, most = spec.get("minReplicas", 1), spec["maxReplicas"]
        limited = stable
        why = _IN_RANGE
        if stable > current:
            fastest = autoscaler_limits.fastest_up(rules.up, current, changes, now)
            if stable > min(fastest, most):
                limited, why = (most, _TOO_MANY) if most <= fastest else (fastest, _TOO_FAST)
        elif stable < current:
            slowest = autoscaler_limits.fastest_down(rules.down, current, changes, now)
            if stable < max(slowest, least):
                limited, why = (least, _TOO_FEW) if least >= slowest else (slowest, _TOO_FAST_DOWN)
        if limited > most:
            limited, why = most, _TOO_MANY
        elif limited < least:
            limited, why = least, _TOO_FEW
        self._set(status, "ScalingLimited", "False" if why is _IN_RANGE else "True", why)
        if limited != current:
            changes.append((now, limited - current))
        self._changes[key] = changes
        return int(limited)

    def _set(self, status: Object, type_: str, value: str, why: tuple[str, str]) -> None:
        entries = list(status.get("conditions") or ())
        current = conditions.find(entries, type_)
        stamp = self.context.timestamp()
        same = current is not None and current["status"] == value
        entry = {
            "type": type_, "status": value,
            "lastTransitionTime": current["lastTransitionTime"] if same and current else stamp,
            "reason": why[0], "message": why[1],
        }  # fmt: skip
        if current is None:
            status["conditions"] = [*entries, entry]
        else:
            status["conditions"] = [entry if c["type"] == type_ else c for c in entries]

    def _write(self, key: Key, autoscaler: Object, status: Object) -> None:
        status.setdefault("desiredReplicas", 0)
        status.setdefault("currentMetrics", None)
        if status != autoscaler.get("status"):
            self.cluster.mutate(
                RESOURCE, *key, lambda body: body.update(status=status), user=self.user, subresource="status"
            )

    def _event(self, autoscaler: Object, type_: str, reason: str, message: str) -> None:
        self.cluster.record_event(
            autoscaler, type="Warning" if type_ == "Warning" else "Normal", reason=reason, message=message,
            component=self.component,
        )  # fmt: skip


def _unreadable(name: str, current: int, problem: str) -> Proposal:
    error = f"failed to get {name} utilization: {problem}"
    return Proposal(current, "", error=error, context=f"failed to get {name} resource metric value: ")


def _unserved(metric: Object, current: int, namespace: str) -> Proposal:
    """Metrics that need an adapter, which is not installed here."""
    kind = str(metric.get("type"))
    if kind == "External":
        name = metric["external"]["metric"]["name"]
        error = (
            f"unable to get external metric {namespace}/{name}/nil: unable to fetch metrics from external metrics "
            f"API: the server could not find the requested resource (get {name}.external.metrics.k8s.io)"
        )
        return Proposal(current, "", error=error, failure="FailedGetExternalMetric", context=f"failed to get {name} ")
    if kind in ("Pods", "Object"):
        name = metric[kind.lower()]["metric"]["name"]
        missing = (
            "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"
        )
        error = f"unable to get metric {name}: {missing}"
        return Proposal(current, "", error=error, failure=f"FailedGet{kind}Metric", context=f"failed to get {name} ")
    error = f'unknown metric source type "{kind}"'
    return Proposal(current, "", error=error, failure="InvalidMetricSourceType")


def _rounded(name: str, value: Decimal) -> Decimal:
    if name == "cpu":
        return Decimal(math.ceil(value * 1000)) / 1000
    return Decimal(math.ceil(value))
