"""Text from logs, events and objects on its way to a model: anyone may have written it."""

from __future__ import annotations

import unicodedata

from healing.redaction import redact

#: Invisible or direction-changing: kinds by which text hides from a person's eye what a model reads.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Co", "Cs", "Cn"})
_KEPT = frozenset("\n\t")


def clean(text: str, *, limit: int) -> str:
    """Redacted, without control, format, private and unassigned characters, at most ``limit`` characters long.

    What is cut is cut in the middle: beginnings name the error, ends tell how it came out."""
    shown = "".join(c for c in text if c in _KEPT or unicodedata.category(c) not in _HIDDEN_CATEGORIES)
    shown = redact(shown)
    if len(shown) <= limit:
        return shown
    half = (limit - 7) // 2
    return f"{shown[:half]} [...] {shown[-half:]}"
