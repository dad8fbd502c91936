"""Why a decision was not taken, in words for the person who tried."""

from __future__ import annotations

from healing.models import Approval, Takeover


class DecisionError(Exception):
    """A decision that cannot be taken; the message tells the person why."""


class NotAllowed(DecisionError):
    """This person may not; the message says why and whom to ask."""


class AlreadyDecided(DecisionError):
    """Somebody (or the clock) was first."""

    def __init__(self, approval: Approval) -> None:
        who = f" by {approval.decided_by_name}" if approval.decided_by_name else ""
        when = f" at {approval.decided_at:%H:%M:%S} UTC" if approval.decided_at else ""
        super().__init__(f"This approval was already {approval.get_state_display()}{who}{when}.")
        self.approval = approval


class AlreadyVoted(DecisionError):
    """The same person's second click: two different people are needed."""


class Held(DecisionError):
    """Somebody has stopped it for a while."""

    def __init__(self, approval: Approval) -> None:
        super().__init__(
            f"{approval.held_by_name} holds this until {approval.held_until:%H:%M:%S} UTC: {approval.hold_reason} "
            "Until then it can only be rejected, or the hold ended."
        )
        self.approval = approval


class PlanChanged(DecisionError):
    """The person saw another plan than the one that would run."""

    def __init__(self, approval: Approval) -> None:
        super().__init__("The plan has changed since you opened it. Read the new plan and decide again.")
        self.approval = approval


class EditRefused(DecisionError):
    """Parameters that the action does not have or that are out of its bounds; ``errors`` names the fields."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{error['field']}: {error['message']}" for error in errors))
        self.errors = errors


class AlreadyTaken(DecisionError):
    """The event is in somebody's hands."""

    def __init__(self, takeover: Takeover) -> None:
        super().__init__(f"{takeover.by_name} took this over by hand at {takeover.at:%H:%M:%S} UTC.")
        self.takeover = takeover
