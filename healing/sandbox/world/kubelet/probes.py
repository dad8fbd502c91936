"""Startup, readiness and liveness probes: when they run and what their results add up to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from healing.sandbox.ports import Object, ProbeResult, Process

Kind = Literal["startup", "readiness", "liveness"]
Verdict = Literal["success", "failure"]
#: startup and readiness are probed at once when a process has started
_FIRST_PROBE_SECONDS = 0.1
#: liveness is probed at fixed times, counted from so long before the pod's first start
_LIVENESS_LEAD_SECONDS = 1.0
_FIELDS: tuple[tuple[Kind, str], ...] = (
    ("startup", "startupProbe"),
    ("readiness", "readinessProbe"),
    ("liveness", "livenessProbe"),
)


@dataclass(slots=True)
class Prober:
    kind: Kind
    spec: Object
    ports: dict[str, int]
    next_at: float = 0.0
    verdict: Verdict = "failure"
    #: a startup or liveness probe has just failed so often that the container must be restarted
    exhausted: bool = False
    _run_of: bool | None = None
    _run_length: int = 0
    _phase: float | None = None

    @classmethod
    def of_container(cls, container: Object) -> list[Prober]:
        ports = {port["name"]: port["containerPort"] for port in container.get("ports") or () if port.get("name")}
        return [cls(kind, container[field], ports) for kind, field in _FIELDS if container.get(field)]

    @property
    def title(self) -> str:
        return self.kind.capitalize()

    @property
    def period_seconds(self) -> float:
        return float(self.spec.get("periodSeconds") or 10)

    def begin(self, now: float) -> None:
        """A new process: nothing is known of it; only liveness is taken for granted."""
        self.verdict = "success" if self.kind == "liveness" else "failure"
        self._run_of, self._run_length, self.exhausted = None, 0, False
        if self._phase is None:
            self._phase = now - _LIVENESS_LEAD_SECONDS if self.kind == "liveness" else now + _FIRST_PROBE_SECONDS
        earliest = now + max(float(self.spec.get("initialDelaySeconds") or 0), _FIRST_PROBE_SECONDS)
        # The prober's ticks go on over restarts; it skips those before the initial delay has passed.
        ticks = math.ceil((earliest - self._phase) / self.period_seconds - 1e-9)
        self.next_at = self._phase + ticks * self.period_seconds
        if self.kind != "liveness" and not self.spec.get("initialDelaySeconds"):
            self.next_at = earliest

    def run(self, process: Process, pod_ip: str, now: float) -> ProbeResult:
        """Probe once and take the result into account; the caller looks at ``verdict`` for what changed."""
        self.next_at = now + self.period_seconds
        result = self._probe(process, pod_ip)
        if result.ok == self._run_of:
            self._run_length += 1
        else:
            self._run_of, self._run_length = result.ok, 1
        threshold = self.spec.get("successThreshold") or 1 if result.ok else self.spec.get("failureThreshold") or 3
        if self._run_length >= threshold:
            self.verdict = "success" if result.ok else "failure"
            self.exhausted = not result.ok and self.kind != "readiness"
        return result

    def _probe(self, process: Process, pod_ip: str) -> ProbeResult:
        spec = self.spec
        if "exec" in spec:
            return process.exec(list(spec["exec"].get("command") or ()))
        if "httpGet" in spec:
            get = spec["httpGet"]
            port = self._port(get["port"])
            if port is None:
                return self._unknown_port(get["port"])
            scheme, path = (get.get("scheme") or "HTTP"), get.get("path") or "/"
            result = process.http_get(port, path, scheme, float(spec.get("timeoutSeconds") or 1))
            if result.ok or result.message.startswith(("HTTP probe failed", "Get ")):
                return result
            host = get.get("host") or pod_ip
            return ProbeResult(False, f'Get "{scheme.lower()}://{host}:{port}{path}": {result.message}')
        target = (spec.get("tcpSocket") or spec.get("grpc") or {}).get("port", 0)
        port = self._port(target)
        return process.tcp_connect(port) if port is not None else self._unknown_port(target)

    def _port(self, port: int | str) -> int | None:
        if isinstance(port, int):
            return port
        return int(port) if port.isdigit() else self.ports.get(port)

    @staticmethod
    def _unknown_port(port: int | str) -> ProbeResult:
        return ProbeResult(False, f'strconv.Atoi: parsing "{port}": invalid syntax')
