"""Where requests of ours may go: addresses of models that a policy names are judged like those of webhooks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pytest_django import Settings

from healing.asking import choose
from healing.policies.spec import PolicySpec
from healing.ports.errors import Invalid
from healing.safe_http import Allowed
from recist_web.doctor import helpers
from recist_web.doctor.report import Level


def context(base_url: str) -> Any:
    config = {"provider": "openaiCompatible", "model": "m", "baseUrl": base_url} if base_url else {"provider": "none"}
    policy = PolicySpec.model_validate({"targetNamespaces": ["shop"], "llmConfig": config})
    return SimpleNamespace(policy=policy, event=SimpleNamespace(policy_name="shop/shop"), ports=None)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6379/",
        "http://10.0.0.1:8080/v1",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:8000/",
        "http://[::ffff:127.0.0.1]/",
        "http://localhost:9090/",
        "http://0.0.0.0/",
        "http://2130706433/",
    ],
)
def test_a_policy_cannot_make_us_call_inside(url: str, settings: Settings) -> None:
    settings.LLM_ALLOWED = Allowed.parse([], variable="LLM_ALLOW_PRIVATE")
    with pytest.raises(Invalid, match="not called"):
        choose(context(url), timeout_seconds=1)


def test_what_an_administrator_allows_is_called_and_metadata_never(settings: Settings) -> None:
    settings.LLM_ALLOWED = Allowed.parse(["127.0.0.1"], variable="LLM_ALLOW_PRIVATE")
    chosen = choose(context("http://127.0.0.1:11434/v1"), timeout_seconds=1)
    assert chosen is not None
    assert chosen.base_url == "http://127.0.0.1:11434/v1"
    settings.LLM_ALLOWED = Allowed.parse(["*"], variable="LLM_ALLOW_PRIVATE")
    with pytest.raises(Invalid, match="never called"):
        choose(context("http://169.254.169.254/"), timeout_seconds=1)


def test_the_message_names_the_setting(settings: Settings) -> None:
    settings.LLM_ALLOWED = Allowed.parse([], variable="LLM_ALLOW_PRIVATE")
    with pytest.raises(Invalid, match="LLM_ALLOW_PRIVATE"):
        choose(context("http://10.2.3.4/"), timeout_seconds=1)


def test_the_installation_s_own_address_is_judged_too(settings: Settings) -> None:
    settings.LLM_MODEL, settings.LLM_BASE_URL = "openai/m", "http://169.254.169.254/"
    settings.LLM_ALLOWED = Allowed.parse(["169.254.169.254"], variable="LLM_ALLOW_PRIVATE")
    with pytest.raises(Invalid, match="LLM_BASE_URL is not called"):
        choose(context(""), timeout_seconds=1)
    [finding] = helpers.language_model(ask=False)
    assert finding.level is Level.ERROR
