"""Hostile text in every place a stranger can write to changes no diagnosis; nor does a model that obeys it."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from healing.diagnosis.advice import digest as digests, opinion as opinions
from healing.diagnosis.advice.weigh import ALONE, weigh
from healing.diagnosis.catalogue import CAUSES
from healing.diagnosis.reasoner import diagnose
from healing.diagnosis.scene import Scene
from healing.findings import Diagnosis
from healing.policies.spec import PolicySpec
from tests.diagnosis.world import World
from tests.llm.worlds import TARGET, WORLDS, say_everywhere

HOSTILE = [line for line in Path(__file__).with_name("hostile.txt").read_text(encoding="utf-8").splitlines() if line]
THRESHOLD = PolicySpec(target_namespaces=["shop"]).confidence_threshold


def diagnosis_of(world: World) -> Diagnosis:
    return diagnose(world.snapshot, target=TARGET, symptom="CrashLoopBackOff")


def digest_of(world: World, diagnosis: Diagnosis) -> digests.Digest:
    return digests.build(Scene(world.snapshot, target=TARGET), diagnosis, TARGET, ["CrashLoopBackOff"], "it crashes")


def decision(diagnosis: Diagnosis) -> tuple[str, str, tuple[str, ...]]:
    """What the next phase acts on."""
    assert diagnosis.best is not None
    return diagnosis.best.cause, str(diagnosis.best.object.name), diagnosis.best.suggested_actions


def test_the_corpus_is_large_enough() -> None:
    assert len(set(HOSTILE)) >= 60


@pytest.mark.parametrize("name", WORLDS)
def test_no_line_changes_what_the_rules_find(name: str) -> None:
    expected = decision(diagnosis_of(WORLDS[name]()))
    changed = []
    for line in HOSTILE:
        world = WORLDS[name]()
        say_everywhere(world, line)
        if decision(diagnosis_of(world)) != expected:
            changed.append((line, decision(diagnosis_of(world))))
    assert not changed


@pytest.mark.parametrize("name", WORLDS)
def test_a_model_that_obeys_changes_no_decision(name: str) -> None:
    """The worst model: whatever it is shown, it says each cause of each object it may name, as surely as it can, and
    cites everything that a stranger wrote."""
    world = WORLDS[name]()
    say_everywhere(world, HOSTILE[0])
    before = diagnosis_of(world)
    digest = digest_of(world, before)
    strangers = [e.id for e in digest.evidence.values() if e.kind in ("log", "event")]
    assert strangers
    for cause in CAUSES:
        for about in digest.objects:
            answer = {
                "cause": cause,
                "object": about,
                "confidence": 1.0,
                "explanation": HOSTILE[0],
                "evidence": strangers,
                "would_settle": "",
            }
            reading = opinions.read(json.dumps(answer), digest)
            assert reading.opinion is not None
            after = weigh(before, reading.opinion, digest.evidence, confidence_threshold=THRESHOLD).diagnosis
            assert after.best is not None
            acts_unasked = after.best.confidence >= THRESHOLD
            assert not acts_unasked or decision(after) == decision(before)
            for finding in after.findings:
                if finding.facts.get("said_by") == "language model":
                    assert finding.confidence <= ALONE < THRESHOLD


@pytest.mark.parametrize("line", HOSTILE)
def test_the_digest_stays_one_document(line: str) -> None:
    """Text cannot leave the string it stands in, and nothing in it is invisible to a person who reads the page."""
    world = WORLDS["bad rollout"]()
    say_everywhere(world, line)
    text = digest_of(world, diagnosis_of(world)).text
    document = json.loads(text)
    assert set(document) == {
        "complaint",
        "objects",
        "findings of the rules",
        "calls",
        "sources that did not answer",
        "evidence",
    }
    assert all(set(item) <= {"id", "kind", "object", "at", "title", "text"} for item in document["evidence"])
    assert not {unicodedata.category(c) for c in text if c != "\n"} & {"Cc", "Cf", "Co", "Cs", "Cn"}
    assert "hunter2" not in text
    assert len(text) < digests.MOST_CHARACTERS * 1.5


@pytest.mark.parametrize("line", HOSTILE)
def test_a_line_is_no_answer(line: str) -> None:
    """A model that only repeats what a stranger wrote says nothing."""
    world = WORLDS["bad rollout"]()
    digest = digest_of(world, diagnosis_of(world))
    reading = opinions.read(line, digest)
    assert reading.opinion is None
    assert reading.struck
