"""Which half of the scenarios rules may be tuned on (`dev`), and which is only ever looked at in sums (`sealed`)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

Split = Literal["dev", "sealed"]
SPLITS: tuple[Split, ...] = ("dev", "sealed")
#: Fixed, so that what is sealed stays sealed.
DEFAULT_SEED = 20260101


def assign(strata: Mapping[str, str], seed: int = DEFAULT_SEED) -> dict[str, Split]:
    """Scenario name -> side, from scenario name -> stratum.

    Within each stratum names are put in the order of a hash of seed and name, and dealt out alternately; which side
    begins is the stratum's hash. So each stratum is halved, and so is the whole. The same names with the same strata
    and seed always fall the same way; a scenario that is added moves others of its own stratum only.
    """
    sides: dict[str, Split] = {}
    for stratum in sorted(set(strata.values())):
        members = sorted((n for n, s in strata.items() if s == stratum), key=lambda name: _hash(seed, name))
        first = _hash(seed, f"stratum {stratum}") % 2
        for number, name in enumerate(members):
            sides[name] = SPLITS[(first + number) % 2]
    return sides


def _hash(seed: int, text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{text}".encode()).digest()[:8], "big")
