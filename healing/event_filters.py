"""Which events to show: one filter for the dashboard's address bar, its socket and the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from urllib.parse import urlencode

from django.db.models import Q, QuerySet

from healing.lifecycle import Outcome, Phase
from healing.models import HealingEvent

MAX_TEXT_LENGTH = 200
_TEXT_COLUMNS = ("name", "target_namespace", "target_name", "symptom", "cause", "message")


class BadFilter(ValueError):
    """A value that no event can have; the message says which there are."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Empty means any. ``text``: every word has to occur somewhere in name, target, symptom, cause or message."""

    namespace: str = ""
    phase: str = ""
    outcome: str = ""
    text: str = ""
    cluster: str = ""

    @classmethod
    def parse(cls, values: Mapping[str, str]) -> EventFilter:
        """From query parameters; unknown parameters are ignored. Raises `BadFilter`."""
        parsed = cls(**{f.name: (values.get(f.name) or "").strip() for f in fields(cls)})
        _check("phase", parsed.phase, [str(phase) for phase in Phase])
        _check("outcome", parsed.outcome, [str(outcome) for outcome in Outcome])
        # PostgreSQL cannot store U+0000, so nothing can match it, and asking for it is an error there.
        if "\0" in parsed.namespace + parsed.text + parsed.cluster:
            raise BadFilter("A filter cannot hold a NUL character.")
        if max(len(parsed.namespace), len(parsed.text), len(parsed.cluster)) > MAX_TEXT_LENGTH:
            raise BadFilter(f"A filter can have {MAX_TEXT_LENGTH} characters at most.")
        return parsed

    def apply(self, events: QuerySet[HealingEvent]) -> QuerySet[HealingEvent]:
        """Only what matches."""
        exact = {
            "cluster": self.cluster,
            "target_namespace": self.namespace,
            "phase": self.phase,
            "outcome": self.outcome,
        }
        events = events.filter(**{column: value for column, value in exact.items() if value})
        for word in self.text.split():
            matches = Q()
            for column in _TEXT_COLUMNS:
                matches |= Q(**{f"{column}__icontains": word})
            events = events.filter(matches)
        return events

    def query_string(self) -> str:
        """For links and the socket's address; empty when nothing is filtered."""
        return urlencode({f.name: value for f in fields(self) if (value := getattr(self, f.name))})

    def __bool__(self) -> bool:
        return any(getattr(self, f.name) for f in fields(self))


def _check(name: str, value: str, allowed: list[str]) -> None:
    if value and value not in allowed:
        raise BadFilter(f"There is no {name} {value!r}. It can be {', '.join(allowed)}.")
