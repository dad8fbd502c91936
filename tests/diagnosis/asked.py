"""What the reasoner says about a made-up world, in short."""

from __future__ import annotations

from healing.diagnosis.reasoner import diagnose
from healing.findings import Diagnosis, Finding
from tests.diagnosis.world import World


def best(world: World) -> Finding:
    diagnosis = diagnose(world.snapshot)
    assert diagnosis.best is not None, diagnosis.missing_sources
    assert not [s for s in diagnosis.missing_sources if s.startswith("analyzer")]
    return diagnosis.best


def named(finding: Finding) -> tuple[str, str, str]:
    return finding.cause, finding.object.kind, finding.object.name


def all_of(world: World) -> Diagnosis:
    return diagnose(world.snapshot)
