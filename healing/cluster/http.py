"""GET and form POST over httpx for Prometheus and Loki: both only ever read, so both may be repeated."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping

import httpx

from healing import telemetry
from healing.cluster.backoff import wait_seconds
from healing.cluster.source_access import SourceAccess
from healing.deadline import Deadline
from healing.ports.errors import (
    BadResponse,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    SourceError,
    Unauthorized,
    Unavailable,
)

DEFAULT_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 3.0
MAX_ANSWER_BYTES = 128 * 1024 * 1024
_MESSAGE_LENGTH = 1000

_BY_STATUS: Mapping[int, type[SourceError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    429: RateLimited,
}


class HttpSource:
    """One server. ``url`` may hold a user and password; ``name`` is what messages call it."""

    def __init__(self, url: str, name: str, access: SourceAccess | None = None) -> None:
        self._name = name
        self._base = url.rstrip("/")
        access = access or SourceAccess()
        self._client = httpx.Client(
            headers={**access.headers, "User-Agent": "recist", "Accept": "application/json"},
            auth=_auth(access, name),
            verify=access.verify(name),
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=30.0),
            follow_redirects=False,
        )

    def close(self) -> None:
        """Give the connections back; nothing can be asked after that."""
        self._client.close()

    def call(self, path: str, parameters: Mapping[str, str], *, post: bool, timeout_seconds: float | None) -> bytes:
        """The body of a 2xx answer; everything else is raised as `healing.ports.errors`."""
        deadline = Deadline.after(DEFAULT_TIMEOUT_SECONDS if timeout_seconds is None else timeout_seconds)
        attempt = 0
        while True:
            attempt += 1
            try:
                with telemetry.span(f"ask {self._name}", **{"url.path": path}):
                    return self._once(path, parameters, deadline, post=post)
            except SourceError as error:
                wait = wait_seconds(attempt, error.retry_after_seconds, deadline) if error.retryable else None
                if wait is None:
                    raise
                time.sleep(wait)

    def _once(self, path: str, parameters: Mapping[str, str], deadline: Deadline, *, post: bool) -> bytes:
        remaining = deadline.remaining_seconds()
        if remaining <= 0:
            raise Unavailable(f"{self._name}: there was no time left to ask it.")
        timeout = httpx.Timeout(remaining, connect=min(CONNECT_TIMEOUT_SECONDS, remaining))
        try:
            request = self._client.build_request(
                "POST" if post else "GET",
                self._base + path,
                params=None if post else dict(parameters),
                data=dict(parameters) if post else None,
                timeout=timeout,
            )
            response = self._client.send(request, stream=True)
            try:
                body = self._body(response, deadline)
            finally:
                response.close()
        except httpx.TimeoutException as error:
            raise Unavailable(f"{self._name}: no answer within {remaining:.1f} s ({type(error).__name__}).") from error
        except httpx.RemoteProtocolError as error:
            raise BadResponse(f"{self._name}: the answer was cut off ({error}).") from error
        except httpx.DecodingError as error:
            raise BadResponse(f"{self._name}: the answer cannot be decoded ({error}).") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise Unavailable(f"{self._name} cannot be reached: {error or type(error).__name__}.") from error
        if response.is_success:
            return body
        raise self._error(response, body)

    def _body(self, response: httpx.Response, deadline: Deadline) -> bytes:
        chunks: list[bytes] = []
        size = 0
        for chunk in response.iter_bytes():
            chunks.append(chunk)
            size += len(chunk)
            if deadline.is_over:
                raise Unavailable(f"{self._name}: the answer did not end in time.")
            if size > MAX_ANSWER_BYTES:
                raise BadResponse(f"{self._name}: the answer is larger than {MAX_ANSWER_BYTES} bytes.")
        return b"".join(chunks)

    def _error(self, response: httpx.Response, body: bytes) -> SourceError:
        text = body.decode("utf-8", "replace").strip()[:_MESSAGE_LENGTH]
        try:
            retry_after = float(response.headers["Retry-After"])
        except (KeyError, ValueError):
            retry_after = None
        status = response.status_code
        known = _BY_STATUS.get(status)
        if known is None:
            known = Invalid if 400 <= status < 500 else Unavailable if status >= 500 else BadResponse
        message = f"{self._name} answered {status}: {text or response.reason_phrase}"
        return known(message, status=status, retry_after_seconds=retry_after)


def _auth(access: SourceAccess, name: str) -> httpx.Auth | None:
    """None: what the URL itself says (``https://user:password@host``)."""
    if access.bearer_token_file is not None or access.bearer_token:
        return _Bearer(access, name)
    return httpx.BasicAuth(access.username, access.password) if access.username else None


class _Bearer(httpx.Auth):
    def __init__(self, access: SourceAccess, name: str) -> None:
        self._access = access
        self._name = name

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._access.token(self._name)}"
        yield request
