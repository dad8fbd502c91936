"""Asks the language model about one event, within the phase's budget, and writes down what was asked and answered.

Whatever goes wrong (no key, no money, 429, nonsense, a model that hangs), the rules' answer stands and the page says
so.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from healing import asking, shared_clock
from healing.asking import clean
from healing.diagnosis.advice import digest as digests, opinion as opinions, prompt
from healing.diagnosis.advice.weigh import SURE, Verdict, weigh
from healing.diagnosis.catalogue import CAUSES
from healing.diagnosis.scene import Scene
from healing.findings import Diagnosis
from healing.models import ActorKind, LlmCall, LlmCallState
from healing.phase import Note, PhaseContext
from healing.ports.cluster import ObjectRef
from healing.ports.errors import SourceError
from healing.ports.language_model import Question

log = structlog.get_logger(__name__)

#: Less time than this is not enough for any model.
_LEAST_SECONDS = 2.0
#: What weighing and the commit need afterwards.
_RESERVE_SECONDS = 1.0

_VERDICTS: dict[Verdict, str] = {
    "agrees": "agrees with the rules",
    "prefers": "prefers another finding of the rules",
    "adds": "names something the rules have not found; without them it counts little",
}


def advise(
    context: PhaseContext, scene: Scene, diagnosis: Diagnosis, target: ObjectRef, symptoms: Iterable[str]
) -> Diagnosis:
    """The diagnosis after the model has been heard; the same one where it was not or could not be asked.

    Raises `healing.phase.LostRun` only."""
    config, model = context.policy.llm_config, context.ports.language_model
    sure = diagnosis.best is not None and diagnosis.best.confidence >= SURE
    if model is None or config.consult == "never" or (config.consult == "whenUnsure" and sure):
        return diagnosis
    seconds = context.deadline.remaining_seconds() - _RESERVE_SECONDS
    try:
        choice = asking.choose(context, timeout_seconds=max(0.1, min(2.0, seconds)))
    except SourceError as error:
        return _not_asked(context, diagnosis, config.model or config.provider, str(error))
    if choice is None:
        return diagnosis
    if (why := asking.over_budget(shared_clock.now())) or (
        why := "" if seconds >= _LEAST_SECONDS else "The phase's time is nearly over."
    ):
        return _not_asked(context, diagnosis, choice.model, why)
    digest = digests.build(scene, diagnosis, target, symptoms, context.event.message)
    question = Question(
        system=prompt.system({code: cause.title for code, cause in CAUSES.items()}),
        prompt=prompt.user(digest.text),
        schema=opinions.schema(digest),
        timeout_seconds=seconds,
    )
    call = asking.Call(context, choice, question, source="diagnosis", what="its opinion")
    try:
        answer = call.ask(model)
    except SourceError as error:
        call.close(LlmCallState.FAILED, remarks=[clean(str(error), limit=300)])
        return _unheard(context, diagnosis, choice.model, clean(str(error), limit=300))
    reading = opinions.read(answer.text, digest)
    if reading.opinion is None:
        call.close(LlmCallState.STRUCK, answer, remarks=list(reading.struck))
        return _unheard(context, diagnosis, choice.model, " ".join(reading.struck))
    weighed = weigh(
        diagnosis, reading.opinion, digest.evidence, confidence_threshold=context.policy.confidence_threshold
    )
    remarks = [f"It {_VERDICTS[weighed.verdict]}.", *reading.struck]
    call.close(LlmCallState.USED, answer, remarks=remarks, verdict=weighed.verdict)
    _tell_opinion(context, choice.model, reading.opinion, weighed.verdict, diagnosis, weighed.diagnosis)
    return weighed.diagnosis


def _not_asked(context: PhaseContext, diagnosis: Diagnosis, model: str, why: str) -> Diagnosis:
    LlmCall.objects.create(event=context.event, model=model, state=LlmCallState.SKIPPED, remarks=[why])
    context.report(Note("llm-skipped", f"The language model is not asked: {why} The rules decide.", source="diagnosis"))
    return diagnosis


def _unheard(context: PhaseContext, diagnosis: Diagnosis, model: str, why: str) -> Diagnosis:
    text = f"No usable answer: {why} The rules' answer stands."
    context.report(Note("llm-failed", text, actor_kind=ActorKind.LLM, actor=model, source="diagnosis"))
    return diagnosis


def _tell_opinion(
    context: PhaseContext,
    model: str,
    opinion: opinions.Opinion,
    verdict: Verdict,
    before: Diagnosis,
    after: Diagnosis,
) -> None:
    best = after.best
    moved = ""
    if best is not None and before.best is not None:
        moved = f" Confidence {before.best.confidence:.0%} before, {best.confidence:.0%} now."
    text = f"{opinion.cause} on {opinion.object} ({opinion.confidence:.0%}); it {_VERDICTS[verdict]}.{moved}"
    data = {
        "cause": opinion.cause,
        "object": opinion.object.as_json(),
        "confidence": opinion.confidence,
        "explanation": opinion.explanation,
        "evidence": list(opinion.evidence),
        "would_settle": opinion.would_settle,
        "verdict": verdict,
    }
    context.report(Note("llm-answered", text, data=data, actor_kind=ActorKind.LLM, actor=model, source="diagnosis"))
