"""Admission webhooks: which ones a request meets, what they answer, and what happens when they cannot be reached.

What a webhook answers is up to ``webhook_call``; without one, a webhook whose Service has ready endpoints admits
everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Review:
    """A webhook's answer."""

    #: why the call fails, in the words of Go's HTTP client; empty if it does not
    problem: str = ""
    denied: bool = False
    #: why it was denied
    message: str = ""


#: (Service reference, timeout in seconds, the request of the AdmissionReview) -> its answer
WebhookCall = Callable[[Object, float, Object], Review]
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
    """500 `ApiError` when a webhook that must be asked cannot be, 403 when one denies the request."""
    if resource.storage in _EXEMPT:
        return
    request: Object = {
        "operation": operation, "subResource": subresource, "resource": {"group": resource.group,
        "resource": resource.plural}, "namespace": obj["metadata"].get("namespace") or "",
        "name": obj["metadata"].get("name") or "", "object": obj,
    }  # fmt: skip
    for webhook in _concerned(server, resource, obj, operation, subresource):
        service = (webhook.get("clientConfig") or {}).get("service")
        if service is None:
            continue  # an address outside the cluster, which is none of the sandbox's business
        review = _ask(server, service, float(webhook.get("timeoutSeconds") or 10), request)
        if review.problem and webhook.get("failurePolicy", "Fail") == "Fail":
            raise _failed(webhook, service, review.problem)
        if review.denied:
            raise _denied(webhook, review.message)


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


def _ask(server: ApiServer, service: Object, timeout_seconds: float, request: Object) -> Review:
    namespace, name = service["namespace"], service["name"]
    if server.get("services", namespace, name) is None:
        return Review(f'service "{name}" not found')
    slices = server.list("endpointslices.discovery.k8s.io", namespace, {"kubernetes.io/service-name": name})
    ready = any((e.get("conditions") or {}).get("ready") for item in slices for e in item.get("endpoints") or ())
    if not ready:
        return Review(f'no endpoints available for service "{name}"')
    return server.webhook_call(service, timeout_seconds, request) if server.webhook_call is not None else Review()


def _denied(webhook: Object, message: str) -> ApiError:
    start = f'admission webhook "{webhook["name"]}" denied the request'
    return errors.failure(403, "Forbidden", f"{start}: {message}" if message else f"{start} without explanation")


def _failed(webhook: Object, service: Object, problem: str) -> ApiError:
    address = (
        f"https://{service['name']}.{service['namespace']}.svc:{service.get('port', 443)}{service.get('path') or ''}"
    )
    url = f"{address}?timeout={int(webhook.get('timeoutSeconds') or 10)}s"
    text = f'failed calling webhook "{webhook["name"]}": failed to call webhook: Post "{url}": {problem}'
    return errors.failure(
        500, "InternalError", f"Internal error occurred: {text}", details={"causes": [{"message": text}]}
    )
