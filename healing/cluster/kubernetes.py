"""`healing.ports.Cluster` over the official Kubernetes client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from healing.cluster import watch as watching
from healing.cluster.config import ClusterConfig
from healing.cluster.kinds import KINDS, Discovery, Resource, is_unserved
from healing.cluster.transport import DEFAULT_TIMEOUT_SECONDS, Query, Transport
from healing.deadline import Deadline
from healing.ports.cluster import Object, ObjectList, PatchType, WatchEvent
from healing.ports.errors import BadResponse, Expired, NotFound

FIELD_MANAGER = "recist"
_PAGE = 500
_LISTS_BEFORE_GIVING_UP = 3
_T = TypeVar("_T")
_CONTENT_TYPES: dict[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}


class KubernetesCluster:
    """A cluster. Safe to share between threads; see `healing.ports.Cluster` for the contract."""

    def __init__(self, config: ClusterConfig, *, default_timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        self._transport = Transport(config)
        self._default_timeout_seconds = default_timeout_seconds
        self._discovery = Discovery(
            lambda path, timeout_seconds: self._transport.call_json("GET", path, timeout_seconds=timeout_seconds)
        )

    # --- reads ---------------------------------------------------------------------------------------------

    def get(self, kind: str, namespace: str, name: str, *, timeout_seconds: float | None = None) -> Object:
        return self._served(
            kind, timeout_seconds, lambda resource, left: self._json("GET", resource.path(namespace, name), left)
        )

    def list(
        self,
        kind: str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: float | None = None,
    ) -> ObjectList:
        query: dict[str, str | int] = {"limit": _PAGE}
        if label_selector:
            query["labelSelector"] = label_selector
        if field_selector:
            query["fieldSelector"] = field_selector
        return self._served(
            kind, timeout_seconds, lambda resource, left: self._consistent(resource, namespace, query, left)
        )

    def watch(
        self,
        kind: str,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        timeout_seconds: float = 300.0,
        stop: threading.Event | None = None,
    ) -> Iterator[WatchEvent]:
        deadline = Deadline.after(timeout_seconds + watching.GRACE_SECONDS)
        resource = self._discovery.resource(kind, deadline.remaining_seconds())
        query: dict[str, str | int] = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": max(1, round(timeout_seconds)),
        }
        if label_selector:
            query["labelSelector"] = label_selector
        path = resource.path(namespace)
        response = self._transport.stream(path, query=query, deadline=deadline)
        try:
            with watching.INTERRUPTER.guard(response, stop, deadline.remaining_seconds()) as entry:
                for event in watching.events(response, entry, f"watch of {path}"):
                    event.object.setdefault("kind", resource.kind)
                    event.object.setdefault("apiVersion", resource.api_version)
                    yield event
        finally:
            response.close()

    def pod_logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        previous: bool = False,
        tail_lines: int = 500,
        limit_bytes: int = 1_000_000,
        timeout_seconds: float | None = None,
    ) -> str:
        resource, deadline = self._begin("Pod", timeout_seconds)
        query: dict[str, str | int] = {"tailLines": tail_lines, "limitBytes": limit_bytes}
        if container:
            query["container"] = container
        if previous:
            query["previous"] = "true"
        path = resource.path(namespace, pod, "log")
        answer = self._transport.call("GET", path, query=query, timeout_seconds=deadline.remaining_seconds())
        return answer.decode("utf-8", "replace")

    def version(self, *, timeout_seconds: float | None = None) -> str:
        answer = self._json("GET", "/version", Deadline.after(self._seconds(timeout_seconds)))
        return str(answer.get("gitVersion", ""))

    def serves(self, kind: str, *, timeout_seconds: float | None = None) -> bool:
        """Whether the cluster has the resource type now; anyone who is signed in may ask that."""
        resource, deadline = self._begin(kind, timeout_seconds)
        root = "/apis" if "/" in resource.api_version else "/api"
        try:
            answer = self._json("GET", f"{root}/{resource.api_version}", deadline)
        except NotFound:
            return False
        return any(entry.get("name") == resource.plural for entry in answer.get("resources") or ())

    def can_i(
        self, verb: str, kind: str, namespace: str = "", *, subresource: str = "", timeout_seconds: float | None = None
    ) -> bool:
        resource, deadline = self._begin(kind, timeout_seconds)
        attributes = {"verb": verb, "group": resource.group, "resource": resource.plural, "namespace": namespace}
        if subresource:
            attributes["subresource"] = subresource
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
        }
        review = self._discovery.resource("SelfSubjectAccessReview")
        answer = self._json("POST", review.path(), deadline, body=body)
        return bool((answer.get("status") or {}).get("allowed"))

    # --- writes --------------------------------------------------------------------------------------------

    def create(
        self, kind: str, namespace: str, body: Object, *, dry_run: bool = False, timeout_seconds: float | None = None
    ) -> Object:
        def send(resource: Resource, deadline: Deadline) -> Object:
            content = _in_version(resource, {"apiVersion": resource.api_version, "kind": resource.kind, **body})
            return self._json("POST", resource.path(namespace), deadline, query=_writing(dry_run=dry_run), body=content)

        return self._served(kind, timeout_seconds, send)

    def patch(
        self,
        kind: str,
        namespace: str,
        name: str,
        patch: Any,
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
        dry_run: bool = False,
        force: bool = False,
        timeout_seconds: float | None = None,
    ) -> Object:
        query = _writing(dry_run=dry_run)
        if patch_type == "apply" and force:
            query["force"] = "true"

        def send(resource: Resource, deadline: Deadline) -> Object:
            body = patch
            if patch_type == "apply":
                body = _in_version(resource, {"apiVersion": resource.api_version, "kind": resource.kind, **patch})
            return self._json(
                "PATCH",
                resource.path(namespace, name, subresource),
                deadline,
                query=query,
                body=body,
                content_type=_CONTENT_TYPES[patch_type],
            )

        return self._served(kind, timeout_seconds, send)

    def delete(
        self,
        kind: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace_seconds: int | None = None,
        dry_run: bool = False,
        timeout_seconds: float | None = None,
    ) -> None:
        options = _delete_options(uid, dry_run=dry_run)
        options |= {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        self._served(
            kind,
            timeout_seconds,
            lambda resource, left: self._json("DELETE", resource.path(namespace, name), left, body=options),
        )

    def evict(
        self, namespace: str, pod: str, *, uid: str = "", dry_run: bool = False, timeout_seconds: float | None = None
    ) -> None:
        resource, deadline = self._begin("Pod", timeout_seconds)
        body: Object = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
            "deleteOptions": _delete_options(uid, dry_run=dry_run),
        }
        self._json(
            "POST", resource.path(namespace, pod, "eviction"), deadline, query=_writing(dry_run=dry_run), body=body
        )

    def close(self) -> None:
        """Give idle connections back; the object stays usable."""
        self._transport.close()

    # --- small parts ---------------------------------------------------------------------------------------

    def _seconds(self, timeout_seconds: float | None) -> float:
        asked = self._default_timeout_seconds if timeout_seconds is None else timeout_seconds
        return self._transport.pace.patience(asked)

    def _begin(self, kind: str, timeout_seconds: float | None) -> tuple[Resource, Deadline]:
        deadline = Deadline.after(self._seconds(timeout_seconds))
        return self._discovery.resource(kind, deadline.remaining_seconds()), deadline

    def _served(self, kind: str, timeout_seconds: float | None, call: Callable[[Resource, Deadline], _T]) -> _T:
        """The call, in the version of the kind's API that this cluster serves: 404 for a version that it does not have
        is no answer about the object."""
        resource, deadline = self._begin(kind, timeout_seconds)
        try:
            return call(resource, deadline)
        except NotFound as error:
            other = self._discovery.instead_of(resource, deadline.remaining_seconds()) if is_unserved(error) else None
            if other is None:
                raise
        return call(other, deadline)

    def _json(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        *,
        query: Query | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Object:
        return self._transport.call_json(
            method,
            path,
            query=query,
            body=body,
            content_type=content_type,
            timeout_seconds=deadline.remaining_seconds(),
        )

    def _consistent(self, resource: Resource, namespace: str, query: Query, deadline: Deadline) -> ObjectList:
        for last in (False,) * (_LISTS_BEFORE_GIVING_UP - 1) + (True,):
            try:
                return self._pages(resource, namespace, query, deadline)
            except Expired:  # the pages took longer than the server remembers: start over for a consistent list
                if last:
                    raise
        raise AssertionError("unreachable")

    def _pages(self, resource: Resource, namespace: str, query: Query, deadline: Deadline) -> ObjectList:
        items: list[Object] = []
        token = ""
        while True:
            page_query = {**query, "continue": token} if token else query
            page = self._json("GET", resource.path(namespace), deadline, query=page_query)
            raw, meta = page.get("items"), page.get("metadata")
            if not isinstance(meta, dict) or not (raw is None or isinstance(raw, list)):
                raise BadResponse(f"GET {resource.path(namespace)}: the answer is not a list of objects.")
            for item in raw or ():
                item.setdefault("kind", resource.kind)
                item.setdefault("apiVersion", page.get("apiVersion") or resource.api_version)
                items.append(item)
            token = str(meta.get("continue") or "")
            if not token:
                return ObjectList(items=items, resource_version=str(meta.get("resourceVersion") or ""))


def _in_version(resource: Resource, body: Object) -> Object:
    """The body in the version it is sent to: one that was written for the table's version may meet another one."""
    return body if resource == KINDS.get(resource.kind) else {**body, "apiVersion": resource.api_version}


def _writing(*, dry_run: bool) -> dict[str, str | int]:
    query: dict[str, str | int] = {"fieldManager": FIELD_MANAGER}
    if dry_run:
        query["dryRun"] = "All"
    return query


def _delete_options(uid: str, *, dry_run: bool) -> Object:
    options: Object = {}
    if uid:
        options["preconditions"] = {"uid": uid}
    if dry_run:
        options["dryRun"] = ["All"]
    return options
