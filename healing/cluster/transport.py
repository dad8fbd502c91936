"""Requests to an API server through the official client: credentials, timeouts, retries, one error type per cause."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson
import structlog
from kubernetes.client import ApiClient, ApiException
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse

from healing import telemetry
from healing.cluster import errors
from healing.cluster.backoff import wait_seconds
from healing.cluster.config import ClusterConfig, authorization_headers
from healing.cluster.pace import Pace
from healing.deadline import Deadline
from healing.ports.errors import BadResponse, RateLimited, SourceError, Unauthorized, Unavailable

log = structlog.get_logger(__name__)

DEFAULT_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 3.0
MAX_ANSWER_BYTES = 256 * 1024 * 1024
_RELOAD_AT_MOST_EVERY_SECONDS = 5.0
_CHUNK_BYTES = 1 << 16

Query = Mapping[str, str | int]


class Unsent(Unavailable):
    """The server surely has not seen the request: no connection came about."""


class Transport:
    """One cluster's connection pool. Safe to share between threads."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._lock = threading.RLock()
        self._client: Any = None
        self._loaded_at = 0.0
        self._changed_at = 0.0
        self._failure: Unauthorized | None = None
        self.pace = Pace()
        #: no connection came about for all the attempts of a call, and none has since
        self._is_away = False

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout_seconds: float | None = None,
    ) -> bytes:
        """The answer's body, whole. Reads are repeated while there is time; a write only if it was never sent, or was
        turned away by the server's own throttling. A cluster that could not be reached by the last call is tried once:
        whoever calls repeats that anyway, and there may be many such clusters."""
        deadline = Deadline.after(DEFAULT_TIMEOUT_SECONDS if timeout_seconds is None else timeout_seconds)
        is_read = method == "GET"
        attempt = 0
        reloaded = False
        while True:
            attempt += 1
            try:
                response = self.open(method, path, query=query, body=body, content_type=content_type, deadline=deadline)
                return _read(response, deadline, f"{method} {path}")
            except Unauthorized as error:
                # Perhaps only our copy of the credentials is old.
                if reloaded or not self.renew():
                    raise self._refused(error) from error
                reloaded = True
            except SourceError as error:
                if not error.retryable or not (is_read or isinstance(error, Unsent | RateLimited)):
                    raise
                is_unsent = isinstance(error, Unsent)
                wait = wait_seconds(attempt, error.retry_after_seconds, deadline)
                if wait is None or (is_unsent and self._is_away):
                    self._is_away = is_unsent
                    raise
                log.debug("calling the cluster again", call=f"{method} {path}", error=str(error), wait_seconds=wait)
                time.sleep(wait)

    def call_json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """As `call`, for an answer that is a JSON object. What is no JSON counts as a broken answer."""
        answer = self.call(method, path, **options)
        try:
            value = orjson.loads(answer)  # lists of a whole namespace: several times faster than json
        except ValueError as error:
            raise BadResponse(f"{method} {path}: the answer is not JSON ({error}).") from error
        if not isinstance(value, dict):
            raise BadResponse(f"{method} {path}: the answer is not an object.")
        return value

    def stream(self, path: str, *, query: Query, deadline: Deadline) -> BaseHTTPResponse:
        """An answer that goes on and on, its body unread. Old credentials are read anew once."""
        try:
            return self.open("GET", path, query=query, deadline=deadline)
        except Unauthorized as error:
            if not self.renew():
                raise self._refused(error) from error
        try:
            return self.open("GET", path, query=query, deadline=deadline)
        except Unauthorized as error:
            raise self._refused(error) from error

    def open(
        self,
        method: str,
        path: str,
        *,
        deadline: Deadline,
        query: Query | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> BaseHTTPResponse:
        """Send once and return the answer with its body unread. Anything but 2xx is raised."""
        call = f"{method} {path}"
        try:
            client = self._current()
        except Unavailable as error:  # a kubeconfig that is not there (yet)
            raise Unsent(str(error)) from error
        url = client.configuration.host.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json, */*", "User-Agent": "recist"}
        if body is not None:
            headers["Content-Type"] = content_type
            if content_type == "application/apply-patch+yaml":
                body = json.dumps(body)  # JSON is YAML; the client takes a string as it is
        remaining = deadline.remaining_seconds()
        if remaining <= 0:
            raise Unavailable(f"{call}: there was no time left for it.")
        with self._lock:
            headers.update(authorization_headers(client.configuration))
        timeout = (min(CONNECT_TIMEOUT_SECONDS, remaining), remaining)
        started = time.monotonic()
        try:
            rest: Any = client.rest_client
            with telemetry.span(f"kubernetes {method}", **{"http.request.method": method, "url.path": path}):
                response: BaseHTTPResponse = rest.request(
                    method, url, headers=headers, body=body, _request_timeout=timeout
                ).response
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise Unsent(f"{call}: the cluster cannot be reached ({error}).") from error
        except ReadTimeoutError as error:
            self.pace.gave_up(time.monotonic() - started)
            raise Unavailable(f"{call}: no answer within {remaining:.1f} s.") from error
        except (HTTPError, OSError) as error:
            raise Unavailable(f"{call}: the connection broke ({error}).") from error
        except ApiException as error:  # how the client passes on TLS errors
            raise Unavailable(f"{call}: {_in_words(str(error.reason))}") from error
        self._is_away = False
        self.pace.answered(time.monotonic() - started)
        if 200 <= response.status < 300:
            return response
        raise errors.from_answer(response.status, _read(response, deadline, call), response.headers, call)

    def close(self) -> None:
        """Give the idle connections back."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _refused(self, error: Unauthorized) -> Unauthorized:
        return Unauthorized(
            f"{error}. The credentials of {self._config} are refused, and reading them anew did not help: they have "
            "run out or are wrong. Renew them there; they are read again by themselves.",
            status=error.status,
        )

    def _current(self) -> Any:
        with self._lock:
            changed_at = self._config.changed_at
            if self._client is None or changed_at != self._changed_at:
                if self._failure is not None and changed_at == self._changed_at and not self._may_load():
                    raise self._failure  # a plug-in that fails is not run for each of many calls
                self.close()
                self._loaded_at, self._changed_at = time.monotonic(), changed_at
                try:
                    # The official client has no types.
                    self._client = ApiClient(self._config.load())
                except Unauthorized as error:
                    self._failure = error
                    raise
                self._failure = None
            return self._client

    def _may_load(self) -> bool:
        return time.monotonic() - self._loaded_at >= _RELOAD_AT_MOST_EVERY_SECONDS

    def renew(self) -> bool:
        """Read the configuration anew, unless that has just been done."""
        with self._lock:
            if not self._may_load():
                return False
            self.close()
            return True


def _in_words(reason: str) -> str:
    """A TLS error, with what to do about it."""
    reason = " ".join(reason.split())
    if "hostname mismatch" in reason.lower() or "not valid for" in reason:
        return (
            f"the server's certificate is for another name ({reason}). Use that name as the server in the kubeconfig, "
            "or say it with tls-server-name."
        )
    if "certificate verify failed" in reason.lower():
        return (
            f"the server's certificate is not trusted ({reason}). Is certificate-authority(-data) in the kubeconfig "
            "that of this cluster?"
        )
    return reason


def set_read_timeout(response: BaseHTTPResponse, seconds: float) -> None:
    """Bound the next read of an open answer; a connection that closes after it has given its socket away already."""
    connection = response.connection
    sock = getattr(connection, "sock", None)
    if sock is not None:
        sock.settimeout(max(seconds, 0.001))


def _read(response: BaseHTTPResponse, deadline: Deadline, call: str) -> bytes:
    """The whole body, within the deadline even if it comes byte by byte."""
    chunks: list[bytes] = []
    size = 0
    try:
        while True:
            set_read_timeout(response, deadline.remaining_seconds())
            chunk = response.read1(_CHUNK_BYTES)
            if not chunk:
                break
            chunks.append(chunk)
            size += len(chunk)
            if deadline.is_over:
                raise Unavailable(f"{call}: the answer did not end in time.")
            if size > MAX_ANSWER_BYTES:
                raise BadResponse(f"{call}: the answer is larger than {MAX_ANSWER_BYTES} bytes.")
    except ReadTimeoutError as error:
        response.close()
        raise Unavailable(f"{call}: the answer did not end in time.") from error
    except (HTTPError, OSError, ValueError) as error:
        response.close()
        raise BadResponse(f"{call}: the answer was cut off ({error}).") from error
    except SourceError:
        response.close()
        raise
    response.release_conn()
    return b"".join(chunks)
