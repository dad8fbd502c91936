"""One error type per cause; each says whether the same call may succeed later."""

from __future__ import annotations


class SourceError(Exception):
    """A source (cluster, metrics, logs) did not give what was asked. ``retryable``: it may, later."""

    retryable = False

    def __init__(self, message: str, *, status: int | None = None, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        #: HTTP status, where there was one
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class Unavailable(SourceError):
    """Not reachable, timed out, or 5xx."""

    retryable = True


class RateLimited(SourceError):
    """429 that is not a disruption budget."""

    retryable = True


class Unauthorized(SourceError):
    """401: the credentials are missing, wrong or expired."""


class Forbidden(SourceError):
    """403: the credentials lack a permission; the message names the verb and resource."""


class NotFound(SourceError):
    """404: no such object, or no such resource type."""


class AlreadyExists(SourceError):
    """409 ``AlreadyExists`` on create."""


class Conflict(SourceError):
    """409: someone else changed it (stale resourceVersion, uid precondition, field manager conflict)."""

    retryable = True


class Invalid(SourceError):
    """400 or 422: the request itself is wrong, or admission refused it."""


class DisruptionBudgetExceeded(SourceError):
    """429 on an eviction: the PodDisruptionBudget does not allow it now."""

    retryable = True


class Expired(SourceError):
    """410: the resourceVersion or continue token is gone; list again."""


class BadResponse(SourceError):
    """An answer that is not what the protocol says (truncated, not JSON, wrong shape)."""

    retryable = True
