"""What each kind adds to the general rules: defaults, checks, and what the server writes itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from healing.sandbox.api.errors import Cause
from healing.sandbox.ports import Object

Mutator = Callable[[Object], None]
Check = Callable[[Object], Sequence[Cause]]
#: (new, old)
UpdateMutator = Callable[[Object, Object], None]
UpdateCheck = Callable[[Object, Object], Sequence[Cause]]


@dataclass(frozen=True, slots=True)
class Rules:
    """``default`` runs on what is sent, ``prepare_*`` on what is kept; the checks return all causes at once."""

    default: Mutator | None = None
    prepare_create: Mutator | None = None
    prepare_update: UpdateMutator | None = None
    check: Check | None = None
    check_update: UpdateCheck | None = None
    #: e.g. "a DNS-1035 label": which form ``metadata.name`` has
    name_format: str = "subdomain"
