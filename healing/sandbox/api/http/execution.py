"""pods/exec without a terminal: ``kubectl exec POD -- cat FILE``, by WebSocket (v5.channel.k8s.io and v4)."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from healing.sandbox.api import errors
from healing.sandbox.api.authn import Authenticator
from healing.sandbox.api.authz import Access, Authorizer
from healing.sandbox.api.cluster import ApiServer
from healing.sandbox.api.http.request import flag
from healing.sandbox.api.http.respond import error_response
from healing.sandbox.ports import ApiError, Object, ProbeResult

_PATH = "/api/v1/namespaces/{namespace}/pods/{name}/exec"
_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDOUT, _STDERR, _ERROR = b"\x01", b"\x02", b"\x03"
_KUBELET_PORT = 10250
_ONE_COMMAND = "the sandbox runs single commands only, without a terminal: leave out -i, -t and --stdin"
_NO_SPDY = "the sandbox executes commands over WebSockets only: use kubectl 1.31 or later"


class Execution:
    """Runs commands in containers and answers what they print; there are no terminals and no input."""

    def __init__(self, server: ApiServer, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._server = server
        self._authenticator = authenticator
        self._authorizer = authorizer

    def routes(self) -> list[BaseRoute]:
        return [WebSocketRoute(_PATH, self._over_websocket), Route(_PATH, self._refuse, methods=["GET", "POST"])]

    async def _over_websocket(self, socket: WebSocket) -> None:
        try:
            result = self._run(socket.path_params, socket.query_params, socket.headers)
        except ApiError as error:
            await socket.send_denial_response(error_response(error))
            return
        protocol = next((name for name in _PROTOCOLS if name in socket.scope["subprotocols"]), None)
        await socket.accept(protocol)
        if result.message:
            channel = _STDOUT if result.ok or not flag(socket.query_params, "stderr") else _STDERR
            await socket.send_bytes(channel + result.message.encode())
        await socket.send_bytes(_ERROR + orjson.dumps(_status(ok=result.ok)))
        await socket.close()

    async def _refuse(self, request: Request) -> Response:
        """SPDY, to which kubectl falls back: the same refusals, or that it is not spoken here."""
        try:
            self._check(request.path_params, request.query_params, request.headers)
            raise errors.bad_request(_NO_SPDY)
        except ApiError as error:
            return error_response(error)

    def _run(self, path: Mapping[str, str], query: QueryParams, headers: Mapping[str, str]) -> ProbeResult:
        pod, container = self._check(path, query, headers)
        source = self._server.log_source
        result = source.execute(pod["metadata"]["uid"], container, query.getlist("command")) if source else None
        if result is None:
            raise errors.failure(500, "InternalError", f'container not found ("{container}")')
        return result

    def _check(self, path: Mapping[str, str], query: QueryParams, headers: Mapping[str, str]) -> tuple[Object, str]:
        """The pod and its container; raises `ApiError` for what cannot be done."""
        namespace, name = path["namespace"], path["name"]
        user = self._authenticator.authenticate(headers)
        if not self._authorizer.allowed(user, Access("create", "", "pods/exec", namespace, name)):
            why = (
                f'User "{user.name}" cannot create resource "pods/exec" in API group "" in the namespace "{namespace}"'
            )
            raise errors.forbidden("pods", "", name, why)
        pod = self._server.get("pods", namespace, name)
        if pod is None:
            raise errors.not_found("pods", "", name)
        if not query.getlist("command"):
            raise errors.bad_request("you must specify at least one command for the container")
        if flag(query, "tty") or flag(query, "stdin"):
            raise errors.bad_request(_ONE_COMMAND)
        if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            raise errors.bad_request(f"cannot exec into a container in a completed pod; current phase is "
                                     f"{pod['status']['phase']}")  # fmt: skip
        names = [item["name"] for item in pod["spec"]["containers"]]
        container = query.get("container") or names[0]
        if container not in names:
            raise errors.bad_request(f"container {container} is not valid for pod {name}")
        self._check_node(pod)
        return pod, container

    def _check_node(self, pod: Object) -> None:
        node = self._server.get("nodes", None, pod["spec"].get("nodeName", "")) or {}
        status = node.get("status") or {}
        if any(c["type"] == "Ready" and c["status"] == "Unknown" for c in status.get("conditions") or ()):
            addresses = {item["type"]: item["address"] for item in status.get("addresses") or ()}
            address = f"{addresses.get('InternalIP', node['metadata']['name'])}:{_KUBELET_PORT}"
            raise errors.failure(500, "", f"error dialing backend: dial tcp {address}: connect: connection refused")


def _status(*, ok: bool) -> Object:
    if ok:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": "command terminated with non-zero exit code: exit status 1",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "1"}]},
    }
