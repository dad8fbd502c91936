"""Which handler runs which phase."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from healing import containment, diagnosis, metacognition
from healing.learning import run as learn
from healing.lifecycle import Phase
from healing.phase import PhaseHandler

HANDLERS: Mapping[Phase, PhaseHandler] = MappingProxyType(
    {
        Phase.CONTAINING: containment.run,
        Phase.DIAGNOSING: diagnosis.run,
        Phase.PLANNING: metacognition.plan,
        Phase.HEALING: metacognition.execute,
        Phase.VERIFYING: metacognition.verify,
        Phase.LEARNING: containment.settling(learn),
    }
)
