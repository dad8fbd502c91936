"""What a warning says to people."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from healing.forecasting.model import Foreseen
from healing.models import WarningKind

#: What would help, as an action of the registry, and why. Empty: a person has to know.
PROPOSALS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        WarningKind.MEMORY: ("restart", "A restart one pod at a time gives back what leaks; or the limit is raised."),
        WarningKind.VOLUME: ("expandVolume", "The claim can be expanded while it is in use, if its class allows it."),
        WarningKind.QUOTA: ("raiseQuota", "The quota can be raised to what is needed."),
    }
)


def sentence(found: Foreseen, object_kind: str, object_name: str) -> str:
    """What will happen and when, in one or two sentences."""
    what = f"{object_kind} {object_name}" + (f" ({found.part})" if found.part else "")
    when = span(found.breach.seconds)
    match found.kind:
        case WarningKind.MEMORY:
            return (
                f"{what} uses {size(found.level)} of {size(found.limit)} and grows by "
                f"{size(found.slope_per_second * 60)} a minute: it will be killed for memory in about {when}."
            )
        case WarningKind.VOLUME:
            return (
                f"{what} holds {size(found.level)} of {size(found.limit)} and grows by "
                f"{size(found.slope_per_second * 3600)} an hour: it will be full in about {when}."
            )
        case WarningKind.QUOTA:
            return (
                f"{what} is used by {found.level / found.limit:.0%} and rising: it will be exhausted in about {when}, "
                f"and no more pods will be admitted."
            )
        case WarningKind.RESTARTS:
            faster = " and more often each time" if found.details.get("accelerates") else ""
            every = span(float(str(found.details.get("everySeconds", 0))))
            return f"{what} restarts every {every}{faster} ({found.level:.0f} times): the next is due in about {when}."
        case WarningKind.ERROR_BUDGET:
            burn, target = found.details.get("burnRate"), float(str(found.details.get("target", 0.999)))
            return (
                f"{found.level:.2%} of the requests to {what} fail: the error budget of {target:.2%} burns {burn} "
                f"times too fast and is gone in about {when}."
            )
        case WarningKind.CERTIFICATE:
            if found.breach.seconds <= 0:
                return f"The certificate of {what} has expired."
            return f"The certificate of {what} expires in {when} and has not been renewed."
    raise ValueError(found.kind)


def span(seconds: float) -> str:
    """A time span as people say it."""
    for length, unit in ((86_400.0, "day"), (3600.0, "hour"), (60.0, "minute")):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {unit}s"
        if seconds >= 0.95 * length:
            return f"1 {unit}"
    return f"{seconds:.0f} seconds"


def size(value: float) -> str:
    """Bytes in binary units."""
    for name, unit in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(value) >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.0f} B"
