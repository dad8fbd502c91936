"""The table of pods, with the STATUS column kubectl users know."""

from __future__ import annotations

from typing import Any

from healing.sandbox.api.meta import parse_timestamp
from healing.sandbox.api.tables.columns import NONE, Layout, age, human_duration, name_of, parse_columns
from healing.sandbox.ports import Object

_COLUMNS = parse_columns("Name, Ready, Status, Restarts, Age, IP!, Node!, Nominated Node!, Readiness Gates!")


def _is_sidecar(container: Object) -> bool:
    return container.get("restartPolicy") == "Always"


class _Summary:
    def __init__(self, pod: Object) -> None:
        self.pod = pod
        self.spec = pod.get("spec") or {}
        self.status = pod.get("status") or {}
        self.reason = self.status.get("reason") or self.status.get("phase") or ""
        self.restarts = 0
        self.last_restart = 0.0
        self.ready = 0
        self.total = len(self.spec.get("containers") or ())

    def summarize(self) -> None:
        for condition in self.status.get("conditions") or ():
            if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
                self.reason = "SchedulingGated"
        if not self._init_containers():
            self._containers()
        self._deletion()

    def _restarted(self, status: Object) -> None:
        self.restarts += int(status.get("restartCount") or 0)
        finished = ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt")
        if finished:
            self.last_restart = max(self.last_restart, parse_timestamp(finished))

    def _init_containers(self) -> bool:
        """True while they are not through."""
        specs = {item.get("name"): item for item in self.spec.get("initContainers") or ()}
        self.total += sum(1 for item in specs.values() if _is_sidecar(item))
        statuses = self.status.get("initContainerStatuses") or []
        sidecar_restarts = 0
        initializing = False
        for index, status in enumerate(statuses):
            self._restarted(status)
            sidecar = _is_sidecar(specs.get(status.get("name"), {}))
            if sidecar:
                sidecar_restarts += int(status.get("restartCount") or 0)
                if status.get("started") and status.get("ready"):
                    self.ready += 1
            state = status.get("state") or {}
            terminated, waiting = state.get("terminated"), state.get("waiting") or {}
            if terminated is not None and terminated.get("exitCode") == 0:
                continue
            if sidecar and status.get("started"):
                continue
            if terminated is not None:
                if terminated.get("reason"):
                    self.reason = f"Init:{terminated['reason']}"
                elif terminated.get("signal"):
                    self.reason = f"Init:Signal:{terminated['signal']}"
                else:
                    self.reason = f"Init:ExitCode:{terminated.get('exitCode')}"
            elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
                self.reason = f"Init:{waiting['reason']}"
            else:
                self.reason = f"Init:{index}/{len(specs)}"
            initializing = True
            break
        if not initializing or self._initialized():
            # From here on only sidecars still count among the init containers.
            self.restarts = sidecar_restarts
            return False
        return initializing

    def _initialized(self) -> bool:
        return any(
            item.get("type") == "Initialized" and item.get("status") == "True"
            for item in self.status.get("conditions") or ()
        )

    def _containers(self) -> None:
        running = False
        for status in reversed(self.status.get("containerStatuses") or []):
            self._restarted(status)
            state = status.get("state") or {}
            waiting, terminated = state.get("waiting") or {}, state.get("terminated")
            if waiting.get("reason"):
                self.reason = waiting["reason"]
            elif terminated is not None and terminated.get("reason"):
                self.reason = terminated["reason"]
            elif terminated is not None:
                signal = terminated.get("signal")
                self.reason = f"Signal:{signal}" if signal else f"ExitCode:{terminated.get('exitCode')}"
            elif status.get("ready") and state.get("running") is not None:
                running = True
                self.ready += 1
        if self.reason == "Completed" and running:
            ready = any(
                item.get("type") == "Ready" and item.get("status") == "True"
                for item in self.status.get("conditions") or ()
            )
            self.reason = "Running" if ready else "NotReady"

    def _deletion(self) -> None:
        if not self.pod["metadata"].get("deletionTimestamp"):
            return
        if self.status.get("reason") == "NodeLost":
            self.reason = "Unknown"
        elif self.status.get("phase") not in ("Failed", "Succeeded"):
            self.reason = "Terminating"


def _cells(pod: Object, now: float) -> list[Any]:
    summary = _Summary(pod)
    summary.summarize()
    restarts = str(summary.restarts)
    if summary.restarts and summary.last_restart:
        restarts = f"{summary.restarts} ({human_duration(now - summary.last_restart)} ago)"
    spec, status = summary.spec, summary.status
    gates = spec.get("readinessGates") or ()
    gate_text = NONE
    if gates:
        true = {item.get("type") for item in status.get("conditions") or () if item.get("status") == "True"}
        gate_text = f"{sum(1 for gate in gates if gate.get('conditionType') in true)}/{len(gates)}"
    ips = status.get("podIPs") or ()
    return [
        name_of(pod),
        f"{summary.ready}/{summary.total}",
        summary.reason,
        restarts,
        age(pod, now),
        (ips[0].get("ip") if ips else status.get("podIP")) or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        gate_text,
    ]


PODS = Layout(_COLUMNS, _cells)
