"""The bundled snapshots, read from their files as `manage.py diagnose` does: what is expected of each comes first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from healing.diagnosis.collect.files import read_snapshot
from healing.diagnosis.reasoner import diagnose

DIRECTORY = Path(__file__).parent / "snapshots"
EXPECTED = json.loads((DIRECTORY / "expected.json").read_text())


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_bundled_snapshots(name: str) -> None:
    diagnosis = diagnose(read_snapshot(DIRECTORY / f"{name}.tar.gz"))
    shown = [f"{f.cause} {f.object} {f.confidence} {f.explanation}" for f in diagnosis.findings]
    wanted = EXPECTED[name]
    if wanted is None:
        assert shown == []
        return
    assert diagnosis.best is not None
    about = diagnosis.best.object
    assert {"cause": diagnosis.best.cause, "kind": about.kind, "name": about.name} == wanted, shown


def test_every_snapshot_has_an_expected_answer() -> None:
    assert {path.name.removesuffix(".tar.gz") for path in DIRECTORY.glob("*.tar.gz")} == EXPECTED.keys()
    assert sum(value is None for value in EXPECTED.values()) >= 10
