"""Every case of tests/diagnosis/cases: cause and object first, and silence where nothing is wrong."""

from __future__ import annotations

import pytest

from healing.diagnosis.catalogue import CAUSES
from healing.diagnosis.reasoner import diagnose
from tests.diagnosis.cases import all_cases

FAULTY = {name: one for name, one in all_cases().items() if one.expected is not None}
HEALTHY = {name: one for name, one in all_cases().items() if one.expected is None}


@pytest.mark.parametrize("name", FAULTY)
def test_cause_and_object_come_first(name: str) -> None:
    one = FAULTY[name]
    diagnosis = diagnose(one.world().snapshot)
    shown = [f"{f.cause} {f.object} {f.confidence} {f.explanation}" for f in diagnosis.findings]
    assert not [s for s in diagnosis.missing_sources if s.startswith("analyzer")], diagnosis.missing_sources
    assert diagnosis.best is not None
    assert (diagnosis.best.cause, diagnosis.best.object.kind, diagnosis.best.object.name) == one.expected, shown
    assert diagnosis.best.evidence
    assert diagnosis.best.facts.keys() <= {*CAUSES[diagnosis.best.cause].facts, *diagnosis.best.facts}


@pytest.mark.parametrize("name", HEALTHY)
def test_silence_where_nothing_is_wrong(name: str) -> None:
    diagnosis = diagnose(HEALTHY[name].world().snapshot)
    assert [f"{f.cause} {f.object} {f.confidence} {f.explanation}" for f in diagnosis.findings] == []
