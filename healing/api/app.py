"""The API put together: routers, who may call, limits, errors, and the OpenAPI document."""

from __future__ import annotations

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
            for operation in path.values():
                for status, answer in operation["responses"].items():
                    if int(status) >= 400 and "content" in answer:
                        answer["content"] = {errors.CONTENT_TYPE: answer["content"].pop("application/json")}
        return schema


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
api.add_router("/events", events.router)
api.add_router("/events", hands.router)
api.add_router("/approvals", approvals.router)
api.add_router("/autonomy", autonomy.router)
api.add_router("/audit", audit.router)
api.add_router("/policies", policies.router)
api.add_router("/brakes", brakes.router)
api.add_router("/warnings", warnings.router)
api.add_router("/health", health.router)
api.add_router("/tokens", tokens.router)
api.add_router("/webhooks", webhooks.router)
