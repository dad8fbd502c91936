"""Admission webhooks: which ones a request meets, and what happens when they cannot be reached.

What a webhook answers is up to ``call``; without one, a webhook whose Service has ready endpoints admits everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from healing.sandbox.api import errors
from healing.sandbox.api.meta import labels_of
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.api.selectors import selector_matches
from healing.sandbox.ports import ApiError, Object

if TYPE_CHECKING:
    from healing.sandbox.api.cluster import ApiServer

GROUP = "admissionregistration.k8s.io"
CONFIGURATIONS = (f"mutatingwebhookconfigurations.{GROUP}", f"validatingwebhookconfigurations.{GROUP}")
#: (Service reference, timeout in seconds) -> why the call fails, in the words of Go's HTTP client; empty if it does not
WebhookCall = Callable[[Object, float], str]
#: what runs inside the control plane is not held up by webhooks, or nothing could be repaired
_EXEMPT = frozenset({"events", "leases.coordination.k8s.io", "nodes", *CONFIGURATIONS})


def default_configuration(obj: Object) -> None:
    for webhook in obj.get("webhooks") or ():
        webhook.setdefault("failurePolicy", "Fail")
        webhook.setdefault("matchPolicy", "Equivalent")
        webhook.setdefault("timeoutSeconds", 10)
        webhook.setdefault("namespaceSelector", {})
        webhook.setdefault("objectSelector", {})
        for rule in webhook.get("rules") or ():
            rule.setdefault("scope", "*")
        service = (webhook.get("clientConfig") or {}).get("service")
        if service is not None:
            service.setdefault("port", 443)


def check_webhooks(
    server: ApiServer, resource: ResourceType, obj: Object, operation: str, *, subresource: str = ""
) -> None:
    """500 `ApiError` when a webhook that must be asked cannot be."""
    if resource.storage in _EXEMPT:
        return
    for webhook in _concerned(server, resource, obj, operation, subresource):
        service = (webhook.get("clientConfig") or {}).get("service")
        if service is None:
            continue  # an address outside the cluster, which is none of the sandbox's business
        problem = _problem(server, service, float(webhook.get("timeoutSeconds") or 10))
        if problem and webhook.get("failurePolicy", "Fail") == "Fail":
            raise _failed(webhook, service, problem)


def _concerned(
    server: ApiServer, resource: ResourceType, obj: Object, operation: str, subresource: str
) -> Iterator[Object]:
    for table in CONFIGURATIONS:
        for configuration in server.list(table):
            for webhook in configuration.get("webhooks") or ():
                rules = webhook.get("rules") or ()
                if any(_rule_matches(rule, resource, operation, subresource) for rule in rules) and _selected(
                    server, webhook, obj
                ):
                    yield webhook


def _rule_matches(rule: Object, resource: ResourceType, operation: str, subresource: str) -> bool:
    def among(values: list[str] | None, value: str) -> bool:
        return bool(values) and ("*" in (values or ()) or value in (values or ()))

    plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
    scope = rule.get("scope", "*")
    return (
        among(rule.get("operations"), operation)
        and among(rule.get("apiGroups"), resource.group)
        and (among(rule.get("resources"), plural) or "*/*" in (rule.get("resources") or ()))
        and (scope == "*" or (scope == "Namespaced") == resource.namespaced)
    )


def _selected(server: ApiServer, webhook: Object, obj: Object) -> bool:
    namespace = server.get("namespaces", None, obj["metadata"].get("namespace") or "")
    if namespace is not None and not selector_matches(webhook.get("namespaceSelector") or {}, labels_of(namespace)):
        return False
    return selector_matches(webhook.get("objectSelector") or {}, labels_of(obj))


def _problem(server: ApiServer, service: Object, timeout_seconds: float) -> str:
    namespace, name = service["namespace"], service["name"]
    if server.get("services", namespace, name) is None:
        return f'service "{name}" not found'
    slices = server.list("endpointslices.discovery.k8s.io", namespace, {"kubernetes.io/service-name": name})
    ready = any((e.get("conditions") or {}).get("ready") for item in slices for e in item.get("endpoints") or ())
    if not ready:
        return f'no endpoints available for service "{name}"'
    return server.webhook_call(service, timeout_seconds) if server.webhook_call is not None else ""


def _failed(webhook: Object, service: Object, problem: str) -> ApiError:
    address = (
        f"https://{service['name']}.{service['namespace']}.svc:{service.get('port', 443)}{service.get('path') or ''}"
    )
    url = f"{address}?timeout={int(webhook.get('timeoutSeconds') or 10)}s"
    text = f'failed calling webhook "{webhook["name"]}": failed to call webhook: Post "{url}": {problem}'
    return errors.failure(
        500, "InternalError", f"Internal error occurred: {text}", details={"causes": [{"message": text}]}
    )
