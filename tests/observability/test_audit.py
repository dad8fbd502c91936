"""`make audit` tells the truth about what it could not ask."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recist_web import audit_dependencies
from recist_web.environment import PROJECT_DIR


def test_every_locked_package_is_asked_about() -> None:
    found = audit_dependencies.locked()
    assert len(found) > 100
    names = {entry.partition("==")[0] for entry in found}
    assert {"django", "celery", "redis", "litellm", "cryptography"} <= names


def test_without_a_network_it_says_so_and_does_not_fail(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    environment = {**os.environ, "HTTPS_PROXY": nowhere, "HTTP_PROXY": nowhere, "XDG_CACHE_HOME": str(tmp_path)}
    environment |= {"https_proxy": nowhere, "http_proxy": nowhere, "NO_PROXY": "", "no_proxy": ""}
    lock = tmp_path / "uv.lock"
    lock.write_text('[[package]]\nname = "django"\nversion = "5.2"\nsource = { registry = "x" }\n')
    code = (
        "import sys, pathlib; from recist_web.audit_dependencies import main;sys.exit(main(pathlib.Path(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(lock)],
        cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no network" in done.stdout, done.stdout + done.stderr


def test_an_advisory_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    told = subprocess.CompletedProcess([], 1, "Name Version ID Fix\ndjango 5.2 PYSEC-1 5.2.1\n", "Found 1")
    monkeypatch.setattr(audit_dependencies.subprocess, "run", lambda *_, **__: told)
    assert audit_dependencies.main() == 1
    assert "PYSEC-1" in capsys.readouterr().out
