"""What ReCiSt tells of itself: counts and durations (`count`, `observe`, `mark`), and spans of traces (`span`).

Nothing here raises, and nothing waits for a store: healing must not notice that it is watched.
"""

from healing.telemetry.counting import count, flush, mark, observe
from healing.telemetry.spans import span, use_tracer, with_context

__all__ = ["count", "flush", "mark", "observe", "span", "use_tracer", "with_context"]
