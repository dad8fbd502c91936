"""What the catalogue says of a cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal[
    "Rollouts and crashes",
    "Configuration",
    "Images",
    "Memory and CPU",
    "Probes",
    "Scheduling",
    "Admission and quota",
    "Storage",
    "Network and services",
    "Dependencies",
    "Nodes",
    "Control plane",
    "Scaling and jobs",
]
#: Sources a cause is usually proven with. Where one is missing, confidence is lower.
Source = Literal["status", "events", "logs", "metrics", "history"]


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry. ``actions`` are names of the action registry, best first; ``fixes`` is what a person would do."""

    code: str
    family: Family
    title: str
    symptom: str
    evidence: str
    fixes: tuple[str, ...]
    actions: tuple[str, ...] = ()
    #: kind of the object a finding names
    object: str = "workload"
    sources: tuple[Source, ...] = ("status",)
    #: a symptom that some other cause usually explains; ranks after every real cause of the same object
    generic: bool = False
    facts: tuple[str, ...] = ()
