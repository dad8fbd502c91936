"""``/sandbox/v1``: faults and the world's own health, for demos, tests and the evaluation - never for the healer."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from healing.sandbox.apps.runtime import AppRuntime
from healing.sandbox.faults import FaultError, FaultInjector, Injection
from healing.sandbox.ports import Cluster
from healing.sandbox.signals.health import health


def show(injection: Injection) -> dict[str, Any]:
    return {
        "id": injection.id,
        "fault": injection.fault,
        "params": injection.params,
        "at": injection.at,
        "target": injection.target,
        "summary": injection.summary,
        "active": injection.active,
    }


class ControlApi:
    def __init__(self, injector: FaultInjector, cluster: Cluster, runtime: AppRuntime) -> None:
        self.injector = injector
        self._cluster = cluster
        self._runtime = runtime

    def routes(self, prefix: str = "/sandbox/v1") -> list[BaseRoute]:
        return [
            Route(f"{prefix}/faults", self.list_faults, methods=["GET"]),
            Route(f"{prefix}/faults", self.inject, methods=["POST"]),
            Route(f"{prefix}/faults/{{id}}", self.remove, methods=["DELETE"]),
            Route(f"{prefix}/health", self.health, methods=["GET"]),
        ]

    async def list_faults(self, _request: Request) -> Response:
        injections = self.injector.injections.values()
        return JSONResponse(
            {
                "available": self.injector.available(),
                "active": [show(i) for i in injections if i.active],
                "removed": [show(i) for i in injections if not i.active],
            }
        )

    async def inject(self, request: Request) -> Response:
        try:
            body = json.loads(await request.body())
        except ValueError:
            return _refuse("the body is not JSON")
        if not isinstance(body, dict) or not isinstance(body.get("fault"), str):
            return _refuse('send {"fault": NAME, "params": {...}}; GET lists the names')
        params = body.get("params", {})
        if not isinstance(params, dict):
            return _refuse("params: expected an object")
        try:
            injection = self.injector.inject(body["fault"], params, str(body.get("id", "")))
        except FaultError as error:
            return _refuse(str(error))
        return JSONResponse(show(injection), status_code=201)

    async def remove(self, request: Request) -> Response:
        injection = self.injector.remove(request.path_params["id"])
        if injection is None:
            return JSONResponse({"error": f"no active fault {request.path_params['id']!r}"}, status_code=404)
        return JSONResponse(show(injection))

    async def health(self, _request: Request) -> Response:
        return JSONResponse(health(self._cluster, self._runtime))


def _refuse(message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=400)
