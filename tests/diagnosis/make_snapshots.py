"""Writes tests/diagnosis/snapshots: ``python -m tests.diagnosis.make_snapshots``.

From the cases of tests/diagnosis/cases and from the recordings of a real cluster; the snapshots of the sandbox
(``sandbox-*``) come from tests/diagnosis/capture.py and are kept as they are. ``expected.json`` says what is to be
found in each: ``{"name": {"cause", "kind", "name"} | null}``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent / "snapshots"


def files_of(objects: list[dict[str, Any]]) -> dict[str, bytes]:
    """One file a kind, as ``kubectl get KIND -A -o json`` prints it."""
    kinds = sorted({o["kind"] for o in objects})
    return {
        f"{kind.lower()}.json": json.dumps(
            {"kind": "List", "apiVersion": "v1", "items": [o for o in objects if o["kind"] == kind]},
            separators=(",", ":"),
        ).encode()
        for kind in kinds
    }


def main() -> None:
    from tests.diagnosis import recorded
    from tests.diagnosis.capture import write
    from tests.diagnosis.cases import all_cases
    from tests.diagnosis.test_recorded import FAULTS, HEALTHY

    DIRECTORY.mkdir(exist_ok=True)
    expected_path = DIRECTORY / "expected.json"
    known = json.loads(expected_path.read_text()) if expected_path.exists() else {}
    expected: dict[str, Any] = {name: value for name, value in known.items() if name.startswith("sandbox-")}
    for name, one in all_cases().items():
        write(DIRECTORY / f"{name}.tar.gz", one.world().files())
        cause, kind, about = one.expected or ("", "", "")
        expected[name] = {"cause": cause, "kind": kind, "name": about} if one.expected else None
    for scenario, at, (cause, kind, about), _ in FAULTS:
        name = f"recorded-{scenario}"
        write(DIRECTORY / f"{name}.tar.gz", files_of(recorded.objects(scenario, at)))
        expected[name] = {"cause": cause, "kind": kind, "name": about}
    for scenario, at in HEALTHY:
        name = f"recorded-healthy-{scenario}" + ("" if at > 1e6 else f"-{at:g}")
        write(DIRECTORY / f"{name}.tar.gz", files_of(recorded.objects(scenario, at)))
        expected[name] = None
    expected_path.write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "recist_web.settings")
    import django

    django.setup()
    main()
