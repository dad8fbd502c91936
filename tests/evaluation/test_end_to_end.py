"""Three small worlds through the whole product, as somebody calls the command who has only read the docs."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from recist_web.environment import PROJECT_DIR
from recist_web.supervisor.tree import MANAGE, python
from tests.evaluation import files

pytestmark = [pytest.mark.tree, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    directory = tmp_path_factory.mktemp("evaluation")
    files.write(
        directory / "worlds",
        typo=files.fault("typo"),
        hands_off=files.must_not_act("hands-off"),
        calm=files.healthy("calm"),
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL", "VAR_DIR")}
    command = python(MANAGE, "evaluate", "--scenarios", str(directory / "worlds"), "--observe", "10")
    for kind in ("json", "html", "markdown"):
        command += [f"--{kind}", str(directory / f"report.{kind}")]
    done = subprocess.run(
        command, cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, check=False, timeout=280
    )
    return done, directory


def report(ran: tuple[subprocess.CompletedProcess[str], Path]) -> dict[str, Any]:
    done, directory = ran
    assert done.returncode == 0, done.stdout + done.stderr
    loaded: dict[str, Any] = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    return loaded


def scenario(ran: tuple[subprocess.CompletedProcess[str], Path], name: str) -> dict[str, Any]:
    return next(s for s in report(ran)["scenarios"] if s["name"] == name)


def test_the_fault_is_found_named_and_healed(ran: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    [fault] = scenario(ran, "typo")["score"]["expectations"]
    assert fault["detected"]
    assert fault["rootCauseRight"], fault["namedCause"]
    assert fault["healed"], fault
    assert fault["rightFirst"]
    assert fault["wasUnwell"], "the world's own measure has seen it too"
    [step] = scenario(ran, "typo")["steps"]
    assert step["at"] == pytest.approx(2.0, abs=1.0)
    assert step["problem"] == ""


def test_what_must_not_be_touched_is_named_and_left(ran: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    found = scenario(ran, "hands-off")
    [fault] = found["score"]["expectations"]
    assert fault["detected"]
    assert fault["rootCauseRight"], fault["namedCause"]
    assert found["score"]["unsafe"] == []
    assert [a for event in found["events"] for a in event["actions"] if a["carriedOut"]] == []


def test_the_healthy_world_is_left_alone(ran: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    found = scenario(ran, "calm")
    assert found["score"]["misses"] == [], found["events"]
    assert found["observedSeconds"] >= 10


def test_the_reports_say_the_same(ran: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, directory = ran
    shares = report(ran)["measures"]["total"]["proportions"]
    assert (shares["detected"]["count"], shares["detected"]["of"]) == (2, 2)
    assert (shares["healed"]["count"], shares["healed"]["of"]) == (1, 1)
    page = (directory / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "http" not in re.sub(r"https?://\S*recist", "", page), "nothing is fetched from anywhere"
    for name in ("typo", "hands-off", "calm"):
        assert name in page
        assert name in done.stdout
    assert "| Detected | " in (directory / "report.markdown").read_text(encoding="utf-8")
    for text in (page, (directory / "report.json").read_text(encoding="utf-8")):
        assert str(directory) not in text, "no paths of this machine"
        assert str(PROJECT_DIR) not in text


def test_the_machine_says_how_hard_it_worked(ran: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    machine = report(ran)["machine"]
    assert machine["wallSeconds"] > 10
    assert machine["hosts"][0]["samples"] > 50
    assert machine["restarts"] == {}
