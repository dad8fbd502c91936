"""From the refusals of the services that take decisions to problems."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TypeVar

from healing.api.errors import Problem
from healing.approvals import bulk
from healing.approvals.errors import (
    AlreadyDecided,
    AlreadyTaken,
    AlreadyVoted,
    DecisionError,
    EditRefused,
    Held,
    NotAllowed,
    PlanChanged,
)
from healing.approvals.undo import AlreadyTakenBack
from healing.engine import WrongPhase

T = TypeVar("T")


def deciding(decide: Callable[[], T]) -> T:
    """What ``decide`` returns. Raises `Problem`."""
    try:
        return decide()
    except NotAllowed as error:
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", str(error)) from error
    except AlreadyDecided as error:
        first = error.approval
        raise Problem(
            HTTPStatus.CONFLICT,
            "already-decided",
            str(error),
            state=first.state,
            decidedBy=first.decided_by_name,
            decidedAt=_time(first.decided_at),
        ) from error
    except AlreadyTaken as error:
        taken = error.takeover
        raise Problem(
            HTTPStatus.CONFLICT, "taken-over", str(error), decidedBy=taken.by_name, decidedAt=_time(taken.at)
        ) from error
    except AlreadyTakenBack as error:
        raise Problem(HTTPStatus.CONFLICT, "already-taken-back", str(error)) from error
    except AlreadyVoted as error:
        raise Problem(HTTPStatus.CONFLICT, "already-approved", str(error)) from error
    except Held as error:
        raise Problem(HTTPStatus.CONFLICT, "held", str(error), decidedBy=error.approval.held_by_name) from error
    except (PlanChanged, bulk.GroupChanged) as error:
        raise Problem(HTTPStatus.CONFLICT, "plan-changed", str(error)) from error
    except WrongPhase as error:
        raise Problem(HTTPStatus.CONFLICT, "moved-on", f"There is nothing to decide any more: {error}") from error
    except EditRefused as error:
        errors = [{"field": f"parameters.{e['field']}", "message": e["message"]} for e in error.errors]
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", str(error), errors=errors) from error
    except DecisionError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "refused", str(error)) from error


def line(text: str) -> str:
    """One line of what a person wrote."""
    return " ".join(text.replace("\0", "").split())


def _time(at: datetime | None) -> str | None:
    """As everywhere in the API: milliseconds, Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None
