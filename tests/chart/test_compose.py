"""compose.yaml: the same processes, queues and images as the chart, hardened, and without secrets."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from recist_web.celery import QUEUES
from recist_web.environment import PROJECT_DIR, Environment, parse
from tests.chart.rendering import CHART, named, rendered

FILE = PROJECT_DIR / "compose.yaml"
EXAMPLE = PROJECT_DIR / ".env.compose.example"
STORES = {"postgres": "postgresql", "valkey": "valkey", "qdrant": "qdrant"}
#: of compose itself, not of ReCiSt
OF_COMPOSE = {"POSTGRES_PASSWORD", "VALKEY_PASSWORD", "KUBECONFIG_FILE", "RECIST_IMAGE", "RECIST_LISTEN"}
#: keys of a service that the Compose Specification knows, as far as this file uses them
KNOWN = set(
    "build cap_drop command depends_on env_file environment healthcheck image init logging ports read_only restart "
    "security_opt stop_grace_period tmpfs user volumes".split()
)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text()))


def ours(compose: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in compose["services"].items() if name not in STORES}


def test_it_says_only_what_compose_knows(compose: dict[str, Any]) -> None:
    assert set(compose) == {"name", "x-app", "services", "volumes"}
    for name, service in compose["services"].items():
        assert set(service) <= KNOWN, name
        for other, condition in service.get("depends_on", {}).items():
            assert other in compose["services"], name
            wanted = {"service_healthy", "service_completed_successfully"}
            assert condition["condition"] in wanted, name
            if condition["condition"] == "service_healthy":
                assert "test" in compose["services"][other]["healthcheck"], other
        for volume in service.get("volumes", ()):
            source = volume.split("}:")[0] if volume.startswith("${") else volume.partition(":")[0]
            assert source.startswith("${KUBECONFIG_FILE") or source in compose["volumes"], name


def test_it_starts_what_the_chart_starts(compose: dict[str, Any]) -> None:
    objects = rendered()
    for name, service in ours(compose).items():
        if name == "migrations":
            continue
        (main,) = named(objects, "Deployment", f"recist-{name}")["spec"]["template"]["spec"]["containers"]
        # The web process is what the image starts by itself (test_image.py).
        assert service.get("command", main["command"]) == main["command"], name
        assert service["depends_on"]["migrations"]["condition"] == "service_completed_successfully"
    served = [
        queue
        for service in ours(compose).values()
        if "-Q" in service.get("command", ())
        for queue in service["command"][service["command"].index("-Q") + 1].split(",")
    ]
    assert sorted(served) == sorted(QUEUES)


def test_the_stores_are_those_of_the_chart(compose: dict[str, Any]) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for name, part in STORES.items():
        service = compose["services"][name]
        assert service["image"] == values[part]["image"]
        assert "test" in service["healthcheck"], name
        assert "ports" not in service, "nobody from outside"


def test_every_container_may_do_little(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] in ("unless-stopped", "on-failure"), name
        assert service.get("read_only") is (None if name == "qdrant" else True), name
    assert compose["services"]["web"]["ports"] == ["${RECIST_LISTEN:-127.0.0.1:8000}:8000"]


def test_there_are_no_secrets_in_it_and_none_is_forgotten() -> None:
    text = FILE.read_text()
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    assert asked == OF_COMPOSE
    for name in ("POSTGRES_PASSWORD", "VALKEY_PASSWORD", "KUBECONFIG_FILE"):
        assert f"${{{name}:-" not in text, "no default for a secret"
        assert f"${{{name}:?" in text, "said when it is missing"
    example = dict(line.split("=", 1) for line in EXAMPLE.read_text().splitlines() if line and line[0] != "#")
    assert {name for name, value in example.items() if not value} == {
        "SECRET_KEY",
        "POSTGRES_PASSWORD",
        "VALKEY_PASSWORD",
        "KUBECONFIG_FILE",
    }
    assert set(example) <= {*Environment.model_fields, *OF_COMPOSE}


def test_its_settings_are_understood(compose: dict[str, Any]) -> None:
    example = dict(line.split("=", 1) for line in EXAMPLE.read_text().splitlines() if line and line[0] != "#")
    filled = {name: value or "0123456789" * 6 for name, value in example.items() if name not in OF_COMPOSE}
    fixed = {
        name: re.sub(r"\$\{\w+[^}]*\}", "secret", value) for name, value in compose["x-app"]["environment"].items()
    }
    parsed = parse({**filled, **fixed})
    assert parsed.problems == ()
    assert parsed.suspicions == ()
