"""postStart and preStop hooks."""

from __future__ import annotations

from healing.sandbox.ports import Object, ProbeResult
from healing.sandbox.world.kubelet.container import Container

#: hooks by HTTP wait as long as the kubelet's HTTP client does
_HTTP_SECONDS = 30.0


def run(hook: Object, container: Container, pod_ip: str) -> ProbeResult:
    """Run a hook in a running container; a ``sleep`` is the caller's to wait for."""
    process = container.process
    if process is None:
        return ProbeResult(ok=False, message="the container does not run")
    if "exec" in hook:
        return process.exec(list(hook["exec"].get("command") or ()))
    if "httpGet" in hook:
        get = hook["httpGet"]
        ports = {port["name"]: port["containerPort"] for port in container.spec.get("ports") or () if port.get("name")}
        port = get["port"] if isinstance(get["port"], int) else ports.get(get["port"])
        if port is None:
            return ProbeResult(ok=False, message=f"no port named {get['port']}")
        path, scheme = get.get("path") or "/", get.get("scheme") or "HTTP"
        return process.http_get(port, path, scheme, timeout_seconds=_HTTP_SECONDS)
    return ProbeResult(ok=True)
