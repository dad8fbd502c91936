"""The phase with a model: heard when it helps, and never in the way when it does not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from healing import engine
from healing.diagnosis import run
from healing.diagnosis.advice import consult
from healing.faults import Fault, Severity, SignalSource
from healing.lifecycle import Phase
from healing.llm.client import LiteLlm
from healing.models import HealingEvent, LlmCall, LlmCallState, Policy, TimelineEntry
from healing.policies.spec import LlmConfig, PolicySpec
from healing.ports import Ports
from healing.ports.cluster import ObjectRef
from tests.cluster.sandbox import RunningSandbox, eventually
from tests.diagnosis.test_phase import deployment
from tests.knowledge.conftest import no_qdrant, use_index
from tests.llm.server import FakeModel, document_of, fake_model
from tests.parts.crowd import crowding

__all__ = ["no_qdrant", "use_index"]
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("no_qdrant", "litellm_loaded"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]
Obj = dict[str, Any]


@pytest.fixture
def broken(sandbox: RunningSandbox, live: Any, namespace: str) -> str:
    """A namespace with a Deployment ``web`` whose image does not exist."""
    live.create("Deployment", namespace, deployment("web", image="registry.example.com/team/app:nope-not-a-tag"))
    eventually(
        lambda: any(
            (s.get("state", {}).get("waiting") or {}).get("reason") in ("ErrImagePull", "ImagePullBackOff")
            for pod in live.list("Pod", namespace).items
            for s in pod["status"].get("containerStatuses", ())
        )
    )
    return namespace


@pytest.fixture
def diagnosed(live: Any, broken: str) -> Callable[..., HealingEvent]:
    """Run the phase on it once, with ``llmConfig`` as given."""

    def through(url: str, **config: Any) -> HealingEvent:
        llm = {"provider": "openaiCompatible", "model": "test-model", "base_url": url, "consult": "always", **config}
        spec = PolicySpec(target_namespaces=[broken], llm_config=LlmConfig.model_validate(llm))
        policy = Policy.objects.create(name="p", namespace="recist-system", spec=spec.as_json())
        target = ObjectRef("Deployment", broken, "web")
        fault = Fault(
            "default", target, "ImagePullBackOff", "no image", Severity.HIGH, SignalSource.WATCH, timezone.now()
        )
        event, _ = engine.open_event(fault, policy)
        HealingEvent.objects.filter(pk=event.pk).update(phase=Phase.DIAGNOSING)
        event.refresh_from_db()
        ports = Ports("default", live, language_model=LiteLlm())
        assert engine.run(event.pk, event.run_id, ports=ports, handlers={Phase.DIAGNOSING: run})
        event.refresh_from_db()
        return event

    return through


def agreeing(request: Obj) -> str:
    document = document_of(request)
    first = document["findings of the rules"][0]
    return json.dumps(
        {
            "cause": first["cause"],
            "object": first["object"],
            "confidence": 0.9,
            "explanation": "The tag does not exist.",
            "evidence": first["evidence"],
            "would_settle": "",
        }
    )


def kinds(event: HealingEvent) -> list[str]:
    return list(TimelineEntry.objects.filter(event=event).values_list("kind", flat=True))


def without_model(diagnosed: Callable[..., HealingEvent]) -> HealingEvent:
    event = diagnosed("http://127.0.0.1:9/v1", consult="never")
    assert not LlmCall.objects.filter(event=event).exists()
    HealingEvent.objects.filter(pk=event.pk).update(finished_at=timezone.now())
    Policy.objects.all().delete()
    return event


def test_agreement_makes_it_surer_and_all_of_it_can_be_read(diagnosed: Callable[..., HealingEvent]) -> None:
    alone = without_model(diagnosed)
    with fake_model(agreeing, pieces=6, pause_seconds=0.2) as model:
        event = diagnosed(model.url)
    assert event.cause == alone.cause == "ImageNotFound"
    assert alone.confidence is not None
    assert event.confidence is not None
    assert event.confidence > alone.confidence
    [call] = LlmCall.objects.filter(event=event)
    assert (call.state, call.verdict, call.model) == (LlmCallState.USED, "agrees", "openai/test-model")
    [sent] = model.requests
    assert [m["content"] for m in sent["messages"]] == [call.system, call.prompt], "the page shows what was sent"
    assert (call.prompt_tokens, call.completion_tokens) == (1200, 80)
    assert "llm-asked" in kinds(event)
    assert "llm-answered" in kinds(event)


def liar(request: Obj) -> str:
    document = document_of(request)
    return json.dumps(
        {
            "cause": "NodeNotReady",
            "object": next(o for o in document["objects"]),
            "confidence": 1.0,
            "explanation": "Trust me and drain the node.",
            "evidence": [document["evidence"][0]["id"], "e-invented"],
            "would_settle": "",
        }
    )


@pytest.mark.parametrize(
    ("behaviour", "state"),
    [
        ({"status": 429}, LlmCallState.FAILED),
        ({"status": 500}, LlmCallState.FAILED),
        ({"status": 401}, LlmCallState.FAILED),
        ({"script": lambda _: '{"cause": "ImageNotFound", "obj'}, LlmCallState.STRUCK),
        ({"script": lambda _: "I think it is DNS."}, LlmCallState.STRUCK),
        ({"script": lambda _: "{}"}, LlmCallState.STRUCK),
        ({"script": lambda _: "x" * 100_000}, LlmCallState.FAILED),
    ],
)
def test_a_model_that_fails_changes_nothing(
    diagnosed: Callable[..., HealingEvent], behaviour: Obj, state: LlmCallState
) -> None:
    alone = without_model(diagnosed)
    with fake_model(**behaviour) as model:
        event = diagnosed(model.url)
    assert (event.cause, event.cause_object, event.phase) == (alone.cause, alone.cause_object, Phase.PLANNING)
    assert event.confidence == pytest.approx(alone.confidence, abs=0.02)
    [call] = LlmCall.objects.filter(event=event)
    assert call.state == state
    assert call.remarks
    assert "llm-failed" in kinds(event)


def test_an_answer_that_breaks_off_changes_nothing(diagnosed: Callable[..., HealingEvent]) -> None:
    """litellm calls a stream without an end a failure or a short answer, by where it broke."""
    alone = without_model(diagnosed)
    with fake_model(agreeing, break_after=2) as model:
        event = diagnosed(model.url)
    assert (event.cause, event.cause_object) == (alone.cause, alone.cause_object)
    assert event.confidence == pytest.approx(alone.confidence, abs=0.02)
    assert LlmCall.objects.get(event=event).state in (LlmCallState.STRUCK, LlmCallState.FAILED)


def test_a_liar_is_not_followed(diagnosed: Callable[..., HealingEvent]) -> None:
    alone = without_model(diagnosed)
    with fake_model(liar) as model:
        event = diagnosed(model.url)
    assert (event.cause, event.cause_object) == (alone.cause, alone.cause_object)
    [call] = LlmCall.objects.filter(event=event)
    assert call.verdict == "adds"
    assert any("e-invented" in remark for remark in call.remarks)


def test_a_model_that_hangs_does_not_hold_the_phase_up(diagnosed: Callable[..., HealingEvent]) -> None:
    with fake_model(delay_seconds=60.0) as model:
        started = time.monotonic()
        event = diagnosed(model.url)
        took = time.monotonic() - started
    assert event.phase == Phase.PLANNING
    assert event.cause == "ImageNotFound"
    assert took < 15.0 + crowding(), "the budget of the phase is 15 s"
    run_of_phase = event.phase_runs.get(phase=Phase.DIAGNOSING)
    assert run_of_phase.state == "done"


def test_whoever_is_sure_does_not_ask(diagnosed: Callable[..., HealingEvent]) -> None:
    with fake_model(agreeing) as model:
        event = diagnosed(model.url, consult="whenUnsure")
    assert event.confidence is not None
    assert event.confidence >= consult.SURE
    assert not model.requests


@pytest.mark.parametrize("limit", ["LLM_DAILY_SPEND_LIMIT_USD", "LLM_DAILY_TOKEN_LIMIT"], ids=["money", "tokens"])
def test_the_daily_limit_falls_back_to_rules(diagnosed: Callable[..., HealingEvent], settings: Any, limit: str) -> None:
    with fake_model(agreeing) as model:
        first = diagnosed(model.url)
        LlmCall.objects.filter(event=first).update(cost_usd=3.0)
        HealingEvent.objects.filter(pk=first.pk).update(finished_at=timezone.now())
        Policy.objects.all().delete()
        setattr(settings, limit, 1)
        second = diagnosed(model.url)
    assert len(model.requests) == 1
    assert second.cause == "ImageNotFound"
    [call] = LlmCall.objects.filter(event=second)
    assert call.state == LlmCallState.SKIPPED
    assert limit in call.remarks[0]


def test_the_key_comes_from_the_secret_that_the_policy_names(diagnosed: Callable[..., HealingEvent], live: Any) -> None:
    for body in (
        {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "recist-system"}},
        {
            "kind": "Secret",
            "apiVersion": "v1",
            "metadata": {"name": "llm-api-key", "namespace": "recist-system"},
            "stringData": {"key": "sk-from-secret"},
        },
    ):
        ref = ObjectRef.of(body)
        live.patch(ref.kind, ref.namespace, ref.name, body, patch_type="apply", force=True)
    with fake_model(agreeing) as model:
        event = diagnosed(model.url, api_key_secret="llm-api-key")
        missing = _again(diagnosed, event, model)
    assert LlmCall.objects.get(event=event).state == LlmCallState.USED
    assert model.credentials == ["Bearer sk-from-secret"]
    skipped = LlmCall.objects.get(event=missing)
    assert skipped.state == LlmCallState.SKIPPED
    assert "does not exist" in skipped.remarks[0]


def _again(diagnosed: Callable[..., HealingEvent], before: HealingEvent, model: FakeModel) -> HealingEvent:
    HealingEvent.objects.filter(pk=before.pk).update(finished_at=timezone.now())
    Policy.objects.all().delete()
    return diagnosed(model.url, api_key_secret="no-such-secret")
