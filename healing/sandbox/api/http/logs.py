"""pods/log: what a container wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response, StreamingResponse

from healing.sandbox.api import errors
from healing.sandbox.api.cluster import ApiServer
from healing.sandbox.api.http.objects import Call
from healing.sandbox.api.http.request import flag, integer
from healing.sandbox.api.meta import parse_timestamp
from healing.sandbox.ports import LogLine, LogSource, Object

_PULL_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_KUBELET_PORT = 10250


def pod_logs(server: ApiServer, call: Call, pod: Object) -> Response:
    """The ``log`` subresource; 204 while the pod has no node."""
    container = _container(call, pod)
    options = _LogOptions(server, call)
    if not (pod.get("spec") or {}).get("nodeName"):
        return Response(status_code=204)
    _check_node(server, call, pod, container)
    source = server.log_source
    status = _status_of(pod, container)
    uid = pod["metadata"]["uid"]
    if options.previous:
        lines = source.logs(uid, container, previous=True) if source else None
        terminated = (status.get("lastState") or {}).get("terminated")
        if lines is None and terminated is None:
            raise errors.bad_request(
                f'previous terminated container "{container}" in pod "{pod["metadata"]["name"]}" not found'
            )
        return Response(options.render(lines or ()), media_type="text/plain")
    _check_started(pod, container, status)
    lines = (source.logs(uid, container) if source else None) or ()
    if flag(call.query, "follow") and source is not None:
        return StreamingResponse(options.follow(lines, source, uid, container), media_type="text/plain")
    return Response(options.render(lines), media_type="text/plain")


def _container(call: Call, pod: Object) -> str:
    spec = pod.get("spec") or {}
    containers = [item["name"] for item in spec.get("containers") or ()]
    inits = [item["name"] for item in spec.get("initContainers") or ()]
    name = call.query.get("container") or ""
    pod_name = pod["metadata"]["name"]
    if name:
        if name not in containers and name not in inits:
            raise errors.bad_request(f"container {name} is not valid for pod {pod_name}")
        return name
    if len(containers) == 1:
        return str(containers[0])
    listed = " ".join(containers)
    extra = f" or one of the init containers: [{' '.join(inits)}]" if inits else ""
    raise errors.bad_request(f"a container name must be specified for pod {pod_name}, choose one of: [{listed}]{extra}")


def _status_of(pod: Object, container: str) -> Object:
    status = pod.get("status") or {}
    for field in ("containerStatuses", "initContainerStatuses"):
        for item in status.get(field) or ():
            if item.get("name") == container:
                return dict(item)
    return {}


def _check_started(pod: Object, container: str, status: Object) -> None:
    state = status.get("state") or {}
    if state.get("running") is not None or state.get("terminated") is not None:
        return
    if (status.get("lastState") or {}).get("terminated") is not None:
        # Between two runs the last one's lines are still the current log.
        return
    reason = (state.get("waiting") or {}).get("reason") or "ContainerCreating"
    if reason in _PULL_REASONS:
        reason = "trying and failing to pull image"
    name = pod["metadata"]["name"]
    raise errors.bad_request(f'container "{container}" in pod "{name}" is waiting to start: {reason}')


def _check_node(server: ApiServer, call: Call, pod: Object, container: str) -> None:
    """A kubelet that does not answer is the API server's own failure, with the dial error."""
    node = server.get("nodes", None, pod["spec"]["nodeName"])
    if node is None:
        return
    conditions = {item.get("type"): item for item in (node.get("status") or {}).get("conditions") or ()}
    ready = conditions.get("Ready")
    if ready is None or ready.get("status") != "Unknown":
        return
    addresses = {item.get("type"): item.get("address") for item in node["status"].get("addresses") or ()}
    address = f"{addresses.get('InternalIP') or node['metadata']['name']}:{_KUBELET_PORT}"
    metadata = pod["metadata"]
    path = f"containerLogs/{metadata['namespace']}/{metadata['name']}/{container}"
    query = f"?{call.query}" if str(call.query) else ""
    raise errors.failure(
        500, "", f'Get "https://{address}/{path}{query}": dial tcp {address}: connect: connection refused'
    )


class _LogOptions:
    def __init__(self, server: ApiServer, call: Call) -> None:
        query = call.query
        name = call.target.name
        self.previous = flag(query, "previous")
        self._timestamps = flag(query, "timestamps")
        self._tail = integer(query, "tailLines")
        self._limit = integer(query, "limitBytes")
        since = integer(query, "sinceSeconds")
        since_time = query.get("sinceTime")
        causes = []
        if self._tail is not None and self._tail < 0:
            causes.append(errors.invalid_value("tailLines", self._tail, "must be greater than or equal to 0"))
        if self._limit is not None and self._limit < 1:
            causes.append(errors.invalid_value("limitBytes", self._limit, "must be greater than 0"))
        if since is not None and since < 1:
            causes.append(errors.invalid_value("sinceSeconds", since, "must be greater than 0"))
        if since is not None and since_time:
            causes.append(errors.forbidden_field("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
        if query.get("stream"):
            causes.append(errors.forbidden_field("stream", "may not be specified"))
        if causes:
            raise errors.invalid("PodLogOptions", "", name, causes)
        self._since = 0.0
        if since is not None:
            self._since = server.clock() - since
        elif since_time:
            try:
                self._since = parse_timestamp(since_time)
            except ValueError:
                raise errors.bad_request(
                    f'parsing time "{since_time}" as "2006-01-02T15:04:05Z07:00": cannot parse "{since_time}" as "2006"'
                ) from None

    def _line(self, line: LogLine) -> str:
        if not self._timestamps:
            return line.text + "\n"
        whole = datetime.fromtimestamp(int(line.time), UTC).strftime("%Y-%m-%dT%H:%M:%S")
        nanos = int((line.time - int(line.time)) * 1e9)
        return f"{whole}.{nanos:09d}Z {line.text}\n"

    def _chosen(self, lines: Sequence[LogLine]) -> Sequence[LogLine]:
        chosen = [line for line in lines if line.time >= self._since] if self._since else list(lines)
        if self._tail is not None:
            chosen = chosen[-self._tail :] if self._tail else []
        return chosen

    def render(self, lines: Sequence[LogLine]) -> bytes:
        data = "".join(self._line(line) for line in self._chosen(lines)).encode()
        return data[: self._limit] if self._limit is not None else data

    async def follow(
        self, lines: Sequence[LogLine], source: LogSource, uid: str, container: str
    ) -> AsyncIterator[bytes]:
        """What is there, then what comes, until the container ends or the client goes."""
        # The new lines are asked for before the old ones are sent, so that none falls between.
        coming: Any = source.follow(uid, container)
        sent = self.render(lines)
        if sent:
            yield sent
        async for line in coming:
            yield self._line(line).encode()
