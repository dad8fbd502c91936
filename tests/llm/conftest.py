from __future__ import annotations

import pytest

from healing.llm.client import LiteLlm
from healing.ports.language_model import ModelChoice, Question
from tests.cluster.fixtures import live, namespace, sandbox
from tests.llm.server import fake_model

__all__ = ["live", "namespace", "sandbox"]


@pytest.fixture(scope="session")
def litellm_loaded() -> None:
    """Its import takes seconds, many on a busy machine; no test's clock pays for it."""
    with fake_model(lambda _: "{}") as model:
        LiteLlm().ask(ModelChoice("openai/m", "sk-test", model.url), Question("s", "p", {}, timeout_seconds=90.0))
