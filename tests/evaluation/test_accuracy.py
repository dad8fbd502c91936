"""Confidence against being right, and accuracy by cause."""

from __future__ import annotations

from typing import Any

from hypothesis import given, strategies as st

from recist_web.evaluation.accuracy import EDGES, by_cause, calibration


def expectation(confidence: float | None, *, right: bool, cause: str = "BadRollout", detected: bool = True) -> Any:
    return {
        "expectedCause": cause,
        "detected": detected,
        "rootCauseRight": right,
        "namedConfidence": confidence,
    }


def test_a_bin_tells_how_many_were_right() -> None:
    rows = calibration(
        [
            expectation(0.95, right=True),
            expectation(0.91, right=True),
            expectation(1.0, right=False),
            expectation(0.4, right=False),
            expectation(None, right=False),
            expectation(0.95, right=False, detected=False),
        ]
    )
    assert [(row["from"], row["to"]) for row in rows] == [(0.3, 0.5), (0.9, 1.0)]
    assert (rows[1]["right"]["count"], rows[1]["right"]["of"]) == (2, 3)
    assert rows[1]["mean"] == round((0.95 + 0.91 + 1.0) / 3, 3)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans())))
def test_every_named_cause_is_in_one_bin(found: list[tuple[float, bool]]) -> None:
    rows = calibration([expectation(confidence, right=right) for confidence, right in found])
    assert sum(row["right"]["of"] for row in rows) == len(found)
    assert all(row["from"] <= row["mean"] <= row["to"] for row in rows)
    assert len(rows) <= len(EDGES)


def test_causes_are_counted_by_themselves() -> None:
    rows = by_cause(
        [
            expectation(0.9, right=True),
            expectation(0.9, right=False),
            expectation(None, right=False, cause="DiskFull", detected=False),
        ]
    )
    assert rows == [
        {"cause": "BadRollout", "faults": 2, "detected": 2, "rootCause": 1},
        {"cause": "DiskFull", "faults": 1, "detected": 0, "rootCause": 0},
    ]
