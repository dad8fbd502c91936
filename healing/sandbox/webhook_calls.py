"""How the API server's calls to admission webhooks end: by the network, by the program that answers, by its rules."""

from __future__ import annotations

from healing.sandbox.api.cel_eval import evaluate
from healing.sandbox.api.cel_functions import CelError
from healing.sandbox.api.webhooks import Review
from healing.sandbox.apps import AppRuntime
from healing.sandbox.apps.server import ServerProcess
from healing.sandbox.apps.wiring import Way
from healing.sandbox.ports import Object

_LATE = Review("context deadline exceeded")


class WebhookCalls:
    """Is a `healing.sandbox.api.webhooks.WebhookCall`. Calls go to the ways to the Service in turn."""

    def __init__(self, runtime: AppRuntime) -> None:
        self._runtime = runtime
        self._calls = 0

    def __call__(self, service: Object, timeout_seconds: float, request: Object) -> Review:
        if self._runtime.wiring is None:
            return Review()
        ways = self._runtime.wiring.ways(None, service["namespace"], service["name"], int(service.get("port", 443)))
        self._calls += 1
        return _review(ways[self._calls % len(ways)], timeout_seconds, request)


def _review(way: Way, timeout_seconds: float, request: Object) -> Review:
    process = way.process
    if way.verdict == "timeout":
        return _LATE
    if way.verdict != "ok" or not isinstance(process, ServerProcess):
        address = process.start.pod_ip if process is not None else way.pod
        return Review(f"dial tcp {address}:{way.port}: connect: connection refused")
    if process.effects.hang or process.own_seconds + way.link.delay_seconds > timeout_seconds:
        return _LATE
    if way.port not in process.tls_ports:
        return Review("http: server gave HTTP response to HTTPS client")
    if process.effects.certificate_expired:
        return Review("tls: failed to verify certificate: x509: certificate has expired or is not yet valid")
    for rule in process.program.admission:
        if not _holds(rule.expression, request):
            return Review(denied=True, message=rule.message)
    return Review()


def _holds(expression: str, request: Object) -> bool:
    """A rule that cannot be evaluated does not hold, as a careful policy engine has it."""
    if not expression:
        return False
    try:
        return evaluate(expression, {"object": request["object"], "request": request}) is True
    except CelError:
        return False
