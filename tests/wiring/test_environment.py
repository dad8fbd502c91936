"""Settings come from the environment, strictly; what is wrong is told with what to do, never with a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from recist_web.environment import PROJECT_DIR, Environment, parse
from recist_web.settings.database import database_from_url


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("DEBUG", "perhaps"),
        ("LOG_LEVEL", "loud"),
        ("ALLOWED_HOSTS", "https://recist.example.com"),
        ("CSRF_TRUSTED_ORIGINS", "recist.example.com"),
        ("DATABASE_URL", "mysql://u:hunter2@h/db"),
        ("DATABASE_URL", "postgres://u:hunter2@h/"),
        ("DATABASE_URL", "postgres://u:hunter2@h:port/db"),
        ("REDIS_URL", "valkey:6379"),
        ("PROMETHEUS_URL", "prometheus:9090"),
        ("QDRANT_URL", "off"),
        ("CLUSTER_NAME", "My Cluster"),
    ],
)
def test_a_garbled_value_is_a_problem_with_a_hint_and_the_default_holds(variable: str, value: str) -> None:
    parsed = parse({variable: value})
    assert [problem.variable for problem in parsed.problems] == [variable]
    assert variable in parsed.problems[0].hint
    assert "hunter2" not in str(parsed.problems)
    default = Environment.model_fields[variable].default
    assert getattr(parsed.values, variable) == default


@pytest.mark.parametrize(
    ("environ", "attribute", "expected"),
    [
        ({"RUST_LOG": "info,recist=debug"}, "LOG_LEVEL", "info"),
        ({"RUST_LOG": "trace"}, "LOG_LEVEL", "debug"),
        ({"RUST_LOG": "trace", "LOG_LEVEL": "WARN"}, "LOG_LEVEL", "warning"),
        ({"ALLOWED_HOSTS": " a.example , b.example,"}, "ALLOWED_HOSTS", ["a.example", "b.example"]),
        ({"PROMETHEUS_URL": "off"}, "PROMETHEUS_URL", None),
        ({"PROMETHEUS_URL": "https://p.example/prefix/"}, "PROMETHEUS_URL", "https://p.example/prefix"),
        ({"DEMO_FAULTS": "off"}, "DEMO_FAULTS", False),
        ({"PORT": ""}, "PORT", 8000),
    ],
)
def test_values_are_read_as_their_writers_mean_them(environ: dict[str, str], attribute: str, expected: Any) -> None:
    parsed = parse(environ)
    assert parsed.problems == ()
    assert getattr(parsed.values, attribute) == expected


def test_secrets_come_from_files_and_do_not_show_themselves(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("hunter2\n")
    parsed = parse({"LLM_API_KEY_FILE": str(secret)})
    assert parsed.values.LLM_API_KEY is not None
    assert parsed.values.LLM_API_KEY.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(parsed)
    both = parse({"LLM_API_KEY_FILE": str(secret), "LLM_API_KEY": "x"})
    gone = parse({"LLM_API_KEY_FILE": str(tmp_path / "gone")})
    assert [p.variable for p in (*both.problems, *gone.problems)] == ["LLM_API_KEY_FILE"] * 2


def test_a_misspelt_variable_is_suspected() -> None:
    assert [(s.variable, s.hint) for s in parse({"PROMETHUS_URL": "http://x"}).suspicions] == [
        ("PROMETHUS_URL", "Did you mean PROMETHEUS_URL?")
    ]
    assert parse({"PATH": "/bin", "HOME": "/root", "PROMETHEUS_URL": "http://x"}).suspicions == ()


@given(st.dictionaries(st.sampled_from(sorted(Environment.model_fields)), st.text(max_size=40)))
def test_nothing_in_the_environment_ends_in_a_traceback(environ: dict[str, str]) -> None:
    parsed = parse(environ)
    assert {problem.variable for problem in parsed.problems} <= set(environ)


@pytest.mark.parametrize("command", [["manage.py", "check"], ["-c", "import recist_web.asgi"]])
def test_check_and_the_web_process_say_what_is_wrong_and_stop(command: list[str]) -> None:
    environment = {**os.environ, "PORT": "eighty"}
    done = subprocess.run(
        [sys.executable, *command], cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "recist.E001" in done.stderr
    assert "PORT cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_web_process_refuses_to_start_without_a_secret_key() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "SECRET_KEY"}
    command = [sys.executable, "-c", "import recist_web.asgi"]
    done = subprocess.run(command, cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "recist.E002" in done.stderr


def test_database_urls() -> None:
    entry = database_from_url("postgres://me:p%40ss@db.example:5433/recist?sslmode=require")
    assert (entry["USER"], entry["PASSWORD"], entry["HOST"], entry["PORT"]) == ("me", "p@ss", "db.example", "5433")
    assert entry["OPTIONS"]["sslmode"] == "require"
    assert database_from_url("postgres://me@localhost/recist?host=/run/postgresql")["HOST"] == "/run/postgresql"
    assert str(database_from_url("sqlite:////srv/db.sqlite3")["NAME"]) == "/srv/db.sqlite3"
