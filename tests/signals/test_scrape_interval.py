"""How often the embedded Prometheus looks at nodes and at objects."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from healing.sandbox.compose import build
from healing.sandbox.scenarios import load_scenario

SCENARIO = """
apiVersion: sandbox.recist.io/v1
kind: Scenario
metadata: {name: quiet}
nodes: 1
"""


@pytest.mark.parametrize(("line", "seconds"), [("", 2.0), ("scrapeSeconds: 10", 10.0)])
def test_each_is_looked_at_once_in_an_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, seconds: float
) -> None:
    path = tmp_path / "quiet.yaml"
    path.write_text(SCENARIO + line)
    signals = build(load_scenario(path)).signals
    seen: dict[str, list[float]] = {"nodes": [], "objects": []}
    monkeypatch.setattr(signals, "scrape", seen["nodes"].append)
    monkeypatch.setattr(signals, "scrape_objects", seen["objects"].append)
    for second in range(100, 141):
        signals.tick(float(second))
    for at in seen.values():
        assert {b - a for a, b in itertools.pairwise(at)} == {seconds}
    assert not set(seen["nodes"]) & set(seen["objects"]), "no tick has to do all"
