"""Tells people elsewhere what waits for them: Slack, e-mail, PagerDuty, webhooks.

The database is the outbox. `collect` looks at what the engine has committed (events, approvals, halts) and writes one
row for every message and channel in the transaction that marks it as seen; a task of its own queue sends them. Nothing
of it runs in a phase, so a receiver that hangs delays no healing; a process killed anywhere loses nothing, and at worst
sends again under the same key.
"""

from healing.notifications.message import Message
from healing.notifications.outbox import announce

__all__ = ["Message", "announce"]
