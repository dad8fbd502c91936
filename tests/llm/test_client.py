"""litellm against a local server that behaves as real ones do at their worst."""

from __future__ import annotations

import json
import time

import pytest

from healing.llm.client import LiteLlm
from healing.ports.errors import (
    BadResponse,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    SourceError,
    Unauthorized,
    Unavailable,
)
from healing.ports.language_model import ModelChoice, Question
from tests.llm.server import fake_model
from tests.parts.crowd import crowding

# litellm uses what pydantic has deprecated; that is theirs to change.
pytestmark = [
    pytest.mark.usefixtures("litellm_loaded"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]

SCHEMA = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}


def question(seconds: float = 20.0) -> Question:
    return Question("You are a test.", "Say a word.", SCHEMA, timeout_seconds=seconds)


def choice(url: str) -> ModelChoice:
    return ModelChoice("openai/some-model", api_key="sk-test", base_url=url)


def test_an_answer_comes_in_pieces_and_is_counted() -> None:
    told: list[str] = []
    with fake_model(lambda _: json.dumps({"word": "wound " * 40}), pieces=8, pause_seconds=0.15) as model:
        answer = LiteLlm().ask(choice(model.url), question(), on_text=told.append)
    assert json.loads(answer.text)["word"].startswith("wound")
    assert (answer.prompt_tokens, answer.completion_tokens) == (1200, 80)
    assert answer.cost_usd is None  # nobody knows what some-model costs
    assert len(told) >= 2
    assert all(answer.text.startswith(piece) for piece in told)
    [sent] = model.requests
    assert sent["response_format"]["json_schema"]["schema"] == SCHEMA
    assert sent["stream"] is True


def test_the_price_of_a_known_model_is_told() -> None:
    with fake_model(lambda _: '{"word": "x"}') as model:
        answer = LiteLlm().ask(ModelChoice("openai/gpt-4o-mini", "sk-test", model.url), question())
    assert answer.cost_usd is not None
    assert 0 < answer.cost_usd < 0.01


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (400, Invalid),
        (429, RateLimited),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_each_refusal_is_an_error_of_its_own_and_asked_once(status: int, error: type[SourceError]) -> None:
    with fake_model(status=status) as model:
        started = time.monotonic()
        with pytest.raises(error) as caught:
            LiteLlm().ask(choice(model.url), question())
        assert time.monotonic() - started < 5.0
        assert len(model.requests) == 1, "its own retries would eat the phase's budget"
    assert "some-model" in str(caught.value)
    assert "sk-test" not in str(caught.value)


def test_a_model_that_hangs_costs_the_time_it_was_given() -> None:
    with fake_model(delay_seconds=30.0) as model:
        started = time.monotonic()
        with pytest.raises(Unavailable, match="did not answer"):
            LiteLlm().ask(choice(model.url), question(1.5))
        assert time.monotonic() - started < 1.5 + 1.0 * crowding()


def test_a_model_that_never_finishes_is_cut_off() -> None:
    with fake_model(lambda _: "x" * 4000, pieces=4000, pause_seconds=0.05) as model:
        started = time.monotonic()
        with pytest.raises(Unavailable):
            LiteLlm().ask(choice(model.url), question(1.5))
        assert time.monotonic() - started < 1.5 + 1.0 * crowding()


def test_a_flood_is_cut_off() -> None:
    with fake_model(lambda _: "x" * 200_000) as model, pytest.raises(BadResponse, match="cut off"):
        LiteLlm().ask(choice(model.url), question())


@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b"{", b'{"choices": []}', b"\xff\xfe\x00"])
def test_a_body_that_is_no_stream_is_an_error(body: bytes) -> None:
    with fake_model(raw_body=body) as model, pytest.raises(SourceError):
        LiteLlm().ask(choice(model.url), question(5.0))


def test_nothing_is_an_error() -> None:
    with fake_model(lambda _: "") as model, pytest.raises(BadResponse, match="nothing"):
        LiteLlm().ask(choice(model.url), question())


def test_nobody_listening_is_an_error() -> None:
    with pytest.raises(Unavailable):
        LiteLlm().ask(choice("http://127.0.0.1:9/v1"), question(5.0))
