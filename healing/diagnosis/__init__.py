"""Phase 2, inflammation: gather evidence, name the root cause with a confidence and the evidence for it.

`run` is the phase's handler. The core is pure: a `snapshot.Snapshot` (filled by `collect`), `analyzers` that answer
hypotheses, `rank` that weighs them, `graph` that draws them; `reasoner.diagnose` joins these.
"""

from __future__ import annotations

from healing.phase import PhaseContext, PhaseResult


def run(context: PhaseContext) -> PhaseResult:
    """See `healing.diagnosis.phase.run`."""
    # Imported late: `manage.py diagnose` needs the core only, and models import nothing of ours.
    from healing.diagnosis import phase  # noqa: PLC0415

    return phase.run(context)
