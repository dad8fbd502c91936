"""One message as every channel gets it, before it takes the channel's form."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

Severity = Literal["info", "warning", "critical"]
#: What it means for an incident that is open elsewhere.
Effect = Literal["trigger", "acknowledge", "resolve"]


@dataclass(frozen=True, slots=True)
class Message:
    """``title`` is one line; ``text`` says what happened, why, and what to do. ``path`` is the page to open.
    ``incident`` names what it is about: all messages about one event have the same. ``at``: ISO 8601, UTC."""

    kind: str
    title: str
    text: str
    at: str
    incident: str
    path: str = ""
    severity: Severity = "warning"
    effect: Effect = "trigger"
    cluster: str = ""
    namespace: str = ""
    event: str = ""
    #: (name, value), in the order they are shown
    facts: list[tuple[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For the row."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Message:
        """The inverse."""
        facts = [(str(name), str(text)) for name, text in value.get("facts") or ()]
        return cls(**cast("Any", {**value, "facts": facts}))
