"""The API put together: routers, who may call, limits, errors, and the OpenAPI document."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from healing.api import (
    approvals,
    audit,
    autonomy,
    brakes,
    errors,
    events,
    hands,
    health,
    idempotency,
    insight,
    knowledge,
    policies,
    tokens,
    warnings,
    webhooks,
)
from healing.api.auth import Basic, Bearer, Session
from healing.api.limits import PerPerson


class Api(NinjaAPI):
    """Says in its document that problems come as problem+json."""

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        for path in schema["paths"].values():
            for method, operation in path.items():
                if method in ("post", "put", "patch", "delete"):
                    _can_be_repeated(operation)
                for status, answer in operation["responses"].items():
                    if int(status) >= 400 and "content" in answer:
                        answer["content"] = {errors.CONTENT_TYPE: answer["content"].pop("application/json")}
        return schema


def _can_be_repeated(operation: dict[str, Any]) -> None:
    """Every change takes an `Idempotency-Key`, and can be refused for it."""
    key = {
        "name": idempotency.HEADER,
        "in": "header",
        "required": False,
        "description": "The same key again: the same answer again, and nothing is done twice. Kept for a day.",
        # A space at an end is no part of a header's value.
        "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
    }
    operation.setdefault("parameters", []).append(key)
    problem = {"schema": {"$ref": "#/components/schemas/ProblemBody"}}
    for status in (409, 422):
        known = {int(code) for code in operation["responses"]}
        if status not in known:
            answer = {"description": HTTPStatus(status).phrase, "content": {"application/json": problem}}
            operation["responses"][status] = answer


api = Api(
    title="ReCiSt",
    version="1",
    description=__doc__ or "",
    # The interactive page would load its scripts from elsewhere, which our content security policy forbids.
    docs_url=None,
    auth=[Bearer(), Basic(), Session()],
    throttle=[PerPerson()],
    urls_namespace="api",
)
errors.install(api)
api.add_decorator(idempotency.known_callers, mode="operation")
api.add_decorator(idempotency.answers, mode="view")
api.add_router("/events", events.router)
api.add_router("/events", hands.router)
api.add_router("/approvals", approvals.router)
api.add_router("/autonomy", autonomy.router)
api.add_router("/audit", audit.router)
api.add_router("/policies", policies.router)
api.add_router("/brakes", brakes.router)
api.add_router("/warnings", warnings.router)
api.add_router("/knowledge", knowledge.router)
api.add_router("/insight", insight.router)
api.add_router("/health", health.router)
api.add_router("/tokens", tokens.router)
api.add_router("/webhooks", webhooks.router)
