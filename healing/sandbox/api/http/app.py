"""The ASGI application of the API server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from healing.sandbox.api import errors
from healing.sandbox.api.authn import Authenticator
from healing.sandbox.api.authz import Access, Authorizer
from healing.sandbox.api.cluster import ApiServer
from healing.sandbox.api.http import discovery, resource_metrics
from healing.sandbox.api.http.bodies import read_body
from healing.sandbox.api.http.execution import Execution
from healing.sandbox.api.http.faults import ApiFaults, DropConnection, parse_fault
from healing.sandbox.api.http.listing import list_objects
from healing.sandbox.api.http.logs import pod_logs
from healing.sandbox.api.http.objects import Call, Objects
from healing.sandbox.api.http.request import Accept, Target, flag, negotiate, parse_path
from healing.sandbox.api.http.respond import JsonResponse, error_response, not_a_page, text
from healing.sandbox.api.http.reviews import Reviews
from healing.sandbox.api.http.subresources import Subresources
from healing.sandbox.api.http.watching import WatchHub, watch_objects
from healing.sandbox.api.openapi import OpenApi
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.ports import ApiError, Object, User

logger = logging.getLogger(__name__)

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_OBJECT_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_COLLECTION_VERBS = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_REVIEW_GROUPS = frozenset({"authentication.k8s.io", "authorization.k8s.io"})
_OPEN_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version"})


class _Dropped(Response):
    """An answer that ends before its length, on which the HTTP server closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
        await send({"type": "http.response.body", "body": b"", "more_body": True})


class ApiApp:
    """HTTP for one `ApiServer`, an ASGI application; ``extra`` routes come before the API's own."""

    def __init__(self, server: ApiServer, *, anonymous_is_admin: bool = True, extra: Sequence[BaseRoute] = ()) -> None:
        self.server = server
        if server.log_source is not None:  # there are kubelets, whom metrics-server asks
            resource_metrics.install(server.registry)
        self.authenticator = Authenticator(server, anonymous_is_admin=anonymous_is_admin)
        self.authorizer = Authorizer(server)
        self.watches = WatchHub()
        self.faults = ApiFaults()
        self._objects = Objects(server)
        self._subresources = Subresources(server, self._objects, self.authenticator)
        self._reviews = Reviews(server, self.authorizer, self.authenticator)
        self._discovery = discovery.Discovery(server.registry, server.kubernetes)
        self._openapi = OpenApi(server.registry, server.kubernetes)
        routes: list[BaseRoute] = [
            *extra,
            *Execution(server, self.authenticator, self.authorizer).routes(),
            Route("/sandbox/v1/api/faults", self._faults, methods=["GET", "POST", "DELETE"]),
            Route("/{path:path}", self._handle, methods=_METHODS),
        ]
        self._starlette = Starlette(routes=routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._starlette(scope, receive, send)

    # -- requests -------------------------------------------------------------------------------------------------

    async def _handle(self, request: Request) -> Response:
        path = request.url.path
        try:
            if self.faults.faults:
                await self.faults.meet(request.method, path)
            user = self.authenticator.authenticate(request.headers)
            target = parse_path(path)
            if target is None or not target.plural:
                return self._document(request, path, user)
            return await self._resource(request, target, user)
        except ApiError as error:
            return error_response(error)
        except DropConnection:
            return _Dropped()
        except Exception:
            logger.exception("%s %s failed", request.method, path)
            return error_response(
                errors.failure(500, "InternalError", "Internal error occurred: the sandbox failed, see its log")
            )

    def _document(self, request: Request, path: str, user: User) -> Response:
        """Everything that is no resource: discovery, OpenAPI, version, health."""
        clean = path.rstrip("/") or "/"
        if clean not in _OPEN_PATHS and not self.authorizer.allowed(user, Access("get", path=clean)):
            raise errors.failure(
                403,
                "Forbidden",
                f'forbidden: User "{user.name}" cannot get path "{path}"',
                details={},
            )
        if clean in ("/api", "/apis"):
            return self._discovery.root(request, core=clean == "/api")
        if clean.startswith(("/healthz", "/livez", "/readyz")):
            return text("ok" if not flag(request.query_params, "verbose") else "[+]ping ok\nreadyz check passed\n")
        if clean.startswith("/openapi/v3/"):
            return self._openapi_v3(clean)
        fixed: dict[str, Callable[[], Response]] = {
            "/": lambda: JsonResponse(discovery.root_paths(self.server.registry)),
            "/version": lambda: JsonResponse(discovery.version_document(self.server.kubernetes)),
            "/openapi/v2": lambda: JsonResponse(self._openapi.v2()),
            "/openapi/v3": lambda: JsonResponse(self._openapi.index()),
        }
        if clean in fixed:
            return fixed[clean]()
        found = self._discovered(clean.strip("/").split("/"))
        return not_a_page() if found is None else JsonResponse(found)

    def _discovered(self, parts: list[str]) -> Object | None:
        registry = self.server.registry
        if parts[0] == "api" and len(parts) == 2:
            return discovery.resource_list(registry, "", parts[1])
        if parts[0] != "apis":
            return None
        if len(parts) == 2:
            return discovery.group_document(registry, parts[1])
        found = discovery.resource_list(registry, parts[1], parts[2]) if len(parts) == 3 else None
        if found is None and parts[1] in registry.groups:
            raise errors.no_such_resource()
        return found

    def _openapi_v3(self, path: str) -> Response:
        parts = path.removeprefix("/openapi/v3/").split("/")
        body = None
        if parts[0] == "api" and len(parts) == 2:
            body = self._openapi.v3("", parts[1])
        elif parts[0] == "apis" and len(parts) == 3:
            body = self._openapi.v3(parts[1], parts[2])
        return not_a_page() if body is None else Response(body, media_type="application/json")

    async def _resource(self, request: Request, target: Target, user: User) -> Response:
        registry = self.server.registry
        resource = registry.find(target.group, target.version, target.plural)
        method = "GET" if request.method == "HEAD" else request.method
        query = request.query_params
        watching = flag(query, "watch") and method == "GET" and not target.subresource
        verb = self._verb(method, target, watching=watching)
        self._authorize(user, target, verb)
        if resource is None:
            if target.group not in registry.groups:
                return not_a_page()
            raise errors.no_such_resource()
        self._check_scope(resource, target)
        self.server.custom.check_ready(resource)
        accept = Accept("json") if target.subresource == "log" else negotiate(request.headers.get("accept", ""))
        agent = request.headers.get("user-agent", "").partition("/")[0] or "unknown"
        body = b"" if method == "GET" else await request.body()
        call = Call(user, resource, target, query, accept, agent, request.headers.get("content-type", ""), body)
        if resource.group in _REVIEW_GROUPS:
            return self._review(call, method)
        if target.subresource:
            return self._subresource(call, method)
        if watching and "watch" in resource.verbs:
            return watch_objects(self.server, self.watches, resource, target, query, accept)
        if verb not in resource.verbs:
            raise errors.method_not_allowed()
        return self._dispatch(call, verb)

    def _dispatch(self, call: Call, verb: str) -> Response:
        if call.resource.group == resource_metrics.GROUP:
            return JsonResponse(resource_metrics.answer(self.server, call, verb))
        if verb == "list":
            return list_objects(self.server, call.resource, call.target, call.query, call.accept)
        handlers = {
            "get": self._objects.get,
            "create": self._objects.create,
            "update": self._objects.replace,
            "patch": self._objects.patch,
            "delete": self._objects.delete,
            "deletecollection": self._objects.delete_collection,
        }
        return handlers[verb](call)

    @staticmethod
    def _verb(method: str, target: Target, *, watching: bool) -> str:
        if watching:
            return "watch"
        if target.subresource and method == "POST":
            return "create"
        table = _OBJECT_VERBS if target.name else _COLLECTION_VERBS
        return table.get(method, "")

    def _authorize(self, user: User, target: Target, verb: str) -> None:
        if not verb:
            raise errors.method_not_allowed()
        resource = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
        namespace = target.namespace
        if target.plural == "namespaces" and not target.group:
            # A namespace is inside itself, so a Role there may speak of it.
            namespace = target.name
        access = Access(verb, target.group, resource, namespace, target.name)
        if self.authorizer.allowed(user, access):
            return
        where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
        why = f'User "{user.name}" cannot {verb} resource "{resource}" in API group "{target.group}" {where}'
        raise errors.forbidden(target.plural, target.group, target.name, why)

    @staticmethod
    def _check_scope(resource: ResourceType, target: Target) -> None:
        if target.namespace and not resource.namespaced:
            raise errors.no_such_resource()
        if resource.namespaced and not target.namespace and target.name:
            raise errors.no_such_resource()

    def _review(self, call: Call, method: str) -> Response:
        if method != "POST" or call.target.name:
            raise errors.method_not_allowed()
        data = read_body(call.resource, call.body, call.content_type)
        data["kind"], data["apiVersion"] = call.resource.kind, call.resource.api_version
        return JsonResponse(self._reviews.answer(call.resource, data, call.user, call.manager), 201)

    def _subresource(self, call: Call, method: str) -> Response:
        name = call.target.subresource
        known = call.resource.subresource(name)
        if known is None:
            if call.resource.custom is not None:
                raise errors.not_found(call.resource.plural, call.resource.group, call.target.name)
            raise errors.no_such_resource()
        verb = "create" if method == "POST" else _OBJECT_VERBS.get(method, "")
        if verb not in known.verbs:
            raise errors.method_not_allowed()
        if name == "log":
            return pod_logs(self.server, call, self._objects.find(call))
        if name == "scale":
            return self._subresources.get_scale(call) if verb == "get" else self._subresources.write_scale(call)
        creators = {
            "binding": self._subresources.bind,
            "eviction": self._subresources.evict,
            "token": self._subresources.token,
        }
        if name in creators:
            return creators[name](call)
        if verb == "get":
            return self._objects.get(call)
        if verb == "update":
            return self._objects.replace(call, name)
        return self._objects.patch(call, name)

    # -- faults ---------------------------------------------------------------------------------------------------

    async def _faults(self, request: Request) -> Response:
        """GET lists, POST adds one (or expires all watches), DELETE removes all."""
        try:
            if request.method == "POST":
                try:
                    data = orjson.loads(await request.body())
                except orjson.JSONDecodeError as error:
                    raise errors.bad_request(f"the body is not JSON: {error}") from error
                if isinstance(data, dict) and data.get("kind") == "expire-watches":
                    self.watches.expire_all()
                else:
                    self.faults.faults.append(parse_fault(data))
            elif request.method == "DELETE":
                self.faults.faults.clear()
        except ApiError as error:
            return error_response(error)
        return JsonResponse({"faults": [fault.as_object() for fault in self.faults.faults]})
