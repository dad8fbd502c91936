"""The evaluation's stand-in for a model is asked through litellm like any other."""

from __future__ import annotations

import json

import pytest

from healing.diagnosis.advice import digest as digests, opinion as opinions, prompt
from healing.diagnosis.reasoner import diagnose
from healing.diagnosis.scene import Scene
from healing.llm.client import LiteLlm
from healing.ports.errors import RateLimited, Unavailable
from healing.ports.language_model import ModelChoice, Question
from recist_web.evaluation import scripted_model
from tests.llm.worlds import TARGET, bad_rollout

pytestmark = [
    pytest.mark.usefixtures("litellm_loaded"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


def a_question() -> tuple[str, digests.Digest]:
    world = bad_rollout()
    found = diagnose(world.snapshot, target=TARGET, symptom="CrashLoopBackOff")
    digest = digests.build(Scene(world.snapshot, target=TARGET), found, TARGET, ["CrashLoopBackOff"], "it crashes")
    return prompt.user(digest.text), digest


def test_it_has_all_its_moods_and_keeps_to_them() -> None:
    moods = [scripted_model.mood_of(f"question {n}") for n in range(2000)]
    for share, mood in scripted_model.MOODS:
        assert moods.count(mood) / 2000 == pytest.approx(share, abs=0.04)
    assert scripted_model.mood_of("question 1") == moods[1]


def test_its_answers_are_read_as_those_of_others() -> None:
    text, digest = a_question()
    agreed = opinions.read(scripted_model.answer(text, "agrees"), digest)
    assert agreed.opinion is not None
    assert agreed.opinion.cause == "BadRollout"
    lied = opinions.read(scripted_model.answer(text, "lies"), digest)
    assert any("e-invented" in struck for struck in lied.struck)
    assert opinions.read(scripted_model.answer(text, "rambles"), digest).opinion is None


def test_it_answers_over_http() -> None:
    text, _ = a_question()
    seen = set()
    with scripted_model.serving() as url:
        for number in range(12):
            question = Question("s", f"{text[: text.index('{')]}{number} {text[text.index('{') :]}", {}, 1.0)
            mood = scripted_model.mood_of(question.prompt)
            seen.add(mood)
            choice = ModelChoice(scripted_model.NAME, "none", url)
            if mood == "refuses":
                with pytest.raises(RateLimited):
                    LiteLlm().ask(choice, question)
            elif mood == "hangs":
                with pytest.raises(Unavailable):
                    LiteLlm().ask(choice, question)
            elif mood != "rambles":
                patient = Question(question.system, question.prompt, {}, 30.0)
                assert json.loads(LiteLlm().ask(choice, patient).text)["evidence"]
    assert "agrees" in seen
