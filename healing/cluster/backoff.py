"""How long to wait before a call is repeated."""

from __future__ import annotations

import random

from healing.deadline import Deadline

# No secrets here: so that many clients do not come back together.
_random = random.SystemRandom()

MAX_ATTEMPTS = 4
_FIRST_SECONDS = 0.1
_LONGEST_SECONDS = 2.0


def wait_seconds(attempt: int, asked_for: float | None, deadline: Deadline) -> float | None:
    """Seconds to wait after the attempt (1 is the first); None: give up, the deadline comes before.

    ``asked_for`` is the server's Retry-After. Without one the wait doubles, with full jitter, so that many clients
    do not come back together.
    """
    if attempt >= MAX_ATTEMPTS:
        return None
    if asked_for is not None:
        wait = asked_for + _random.uniform(0.0, 0.1)
    else:
        wait = _random.uniform(0.02, min(_FIRST_SECONDS * 2**attempt, _LONGEST_SECONDS))
    return wait if wait < deadline.remaining_seconds() else None
