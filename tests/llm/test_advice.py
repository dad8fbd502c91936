"""What is shown to a model, what of its answer is believed, what that changes."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given, strategies as st

from healing.asking import clean
from healing.diagnosis.advice import digest as digests, opinion as opinions
from healing.diagnosis.advice.opinion import Opinion
from healing.diagnosis.advice.weigh import ALONE, SURE, weigh
from healing.diagnosis.catalogue import CAUSES
from healing.diagnosis.reasoner import diagnose
from healing.diagnosis.scene import Scene
from healing.findings import DOUBTED, Diagnosis, Evidence, Finding
from healing.ports.cluster import ObjectRef
from tests.llm.worlds import TARGET, bad_rollout

A, B = ObjectRef("Deployment", "shop", "a"), ObjectRef("Deployment", "shop", "b")
MEASURED, SAID = Evidence("e-1", "status", "kubernetes", "status"), Evidence("e-2", "log", "logs", "a line")
EVIDENCE = {e.id: e for e in (MEASURED, SAID)}


@pytest.fixture(scope="module")
def digest() -> digests.Digest:
    world = bad_rollout()
    diagnosis = diagnose(world.snapshot, target=TARGET, symptom="CrashLoopBackOff")
    return digests.build(Scene(world.snapshot, target=TARGET), diagnosis, TARGET, ["CrashLoopBackOff"], "it crashes")


def answer(digest: digests.Digest, **changed: Any) -> str:
    good = {
        "cause": "BadRollout",
        "object": "Deployment shop/web",
        "confidence": 0.9,
        "explanation": "Revision 2 panics at its start.",
        "evidence": [next(iter(digest.evidence))],
        "would_settle": "",
    }
    return json.dumps({**good, **changed})


def test_a_digest_names_what_matters(digest: digests.Digest) -> None:
    document = json.loads(digest.text)
    assert document["complaint"] == {
        "object": "Deployment shop/web",
        "symptoms": ["CrashLoopBackOff"],
        "message": "it crashes",
    }
    assert "Deployment shop/web" in document["objects"]
    assert document["findings of the rules"][0]["cause"] == "BadRollout"
    assert {item["id"] for item in document["evidence"]} == set(digest.evidence)
    assert "panic: runtime error" in digest.text


def test_a_digest_of_a_chatty_cluster_is_bounded() -> None:
    world = bad_rollout()
    for number in range(60):
        world.deployment(f"other-{number}")
        world.service(f"other-{number}")
    for pod in world.pods("web"):
        world.log(pod, "\n".join(f"ERROR request {n} failed: {'x' * 500}" for n in range(2000)))
        for number in range(50):
            world.event(pod, "Unhealthy", f"probe failed {number}: {'y' * 2000}")
    diagnosis = diagnose(world.snapshot, target=TARGET)
    built = digests.build(Scene(world.snapshot, target=TARGET), diagnosis, TARGET, ["x"], "z" * 50_000)
    assert len(built.text) < digests.MOST_CHARACTERS * 1.5
    assert {e for f in diagnosis.findings[:1] for e in f.evidence} <= set(built.evidence)
    assert len(built.objects) <= 40


def test_secrets_do_not_leave() -> None:
    world = bad_rollout()
    key = "AKIA" + "IOSFODNN7EXAMPLE"
    world.log(world.pods("web", 2)[0], f"FATAL cannot sign in with password=s3cr3t-pw and key {key}", previous=True)
    diagnosis = diagnose(world.snapshot, target=TARGET)
    built = digests.build(Scene(world.snapshot, target=TARGET), diagnosis, TARGET, ["x"], f"token: {'a1B2' * 10}")
    assert "s3cr3t-pw" not in built.text
    assert key not in built.text
    assert "a1B2a1B2" not in built.text
    assert "cannot sign in" in built.text


def test_a_good_answer_is_believed(digest: digests.Digest) -> None:
    reading = opinions.read(answer(digest), digest)
    assert reading.opinion is not None
    assert (reading.opinion.cause, str(reading.opinion.object)) == ("BadRollout", "Deployment shop/web")
    assert not reading.struck
    fenced = opinions.read(f"Sure! Here it is:\n```json\n{answer(digest)}\n```", digest)
    assert fenced.opinion == reading.opinion


def test_evidence_that_does_not_exist_is_struck(digest: digests.Digest) -> None:
    real = next(iter(digest.evidence))
    reading = opinions.read(answer(digest, evidence=["e-made-up", real]), digest)
    assert reading.opinion is not None
    assert reading.opinion.evidence == (real,)
    assert "e-made-up" in reading.struck[0]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"evidence": ["e-made-up"]}, "names no evidence"),
        ({"evidence": []}, "names no evidence"),
        ({"cause": "CosmicRays"}, "no cause"),
        ({"cause": "Unknown"}, "does not know"),
        ({"object": "Deployment kube-system/coredns"}, "not among the objects"),
        ({"object": "Deployment shop/invented"}, "not among the objects"),
        ({"confidence": 1.5}, "form"),
        ({"confidence": -1}, "form"),
        ({"confidence": "high"}, "form"),
        ({"confidence": True}, "form"),
        ({"evidence": "e-1"}, "form"),
        ({"explanation": None}, "form"),
        ({"explanation": "x" * 100_000}, "form"),
    ],
)
def test_claims_that_do_not_hold_are_struck(digest: digests.Digest, changed: dict[str, Any], why: str) -> None:
    reading = opinions.read(answer(digest, **changed), digest)
    assert reading.opinion is None
    assert why in " ".join(reading.struck)


@pytest.mark.parametrize(
    "text",
    ["", "no", "[]", "null", "42", '"x"', "{", '{"cause": "BadRoll', "NaN", '{"confidence": NaN}', "[" * 100_000],
)
def test_nonsense_is_struck(digest: digests.Digest, text: str) -> None:
    reading = opinions.read(text, digest)
    assert reading.opinion is None
    assert reading.struck


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    empty = digests.Digest("{}", {}, {})
    assert opinions.read(text, empty).opinion is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
_FIELDS = ("cause", "object", "confidence", "explanation", "evidence", "would_settle")


@given(st.dictionaries(st.sampled_from(_FIELDS), _JSON))
def test_any_json_is_read(value: dict[str, Any]) -> None:
    reading = opinions.read(json.dumps(value), digests.Digest("{}", {"e-1": MEASURED}, {str(A): A}))
    assert reading.opinion is None or reading.opinion.evidence == ("e-1",)


# --- weighing ---

_causes = st.sampled_from(sorted(CAUSES)[:6])
_findings = st.lists(
    st.builds(
        Finding,
        cause=_causes,
        object=st.sampled_from([A, B]),
        confidence=st.floats(0.05, 0.97),
        explanation=st.just("rules"),
        evidence=st.just(("e-1",)),
    ),
    max_size=4,
    unique_by=lambda f: (f.cause, f.object),
).map(lambda found: tuple(sorted(found, key=lambda f: -f.confidence)))
_opinions = st.builds(
    Opinion,
    cause=_causes,
    object=st.sampled_from([A, B]),
    confidence=st.floats(0, 1),
    explanation=st.just("model"),
    evidence=st.lists(st.sampled_from(["e-1", "e-2"]), min_size=1, unique=True).map(tuple),
)


@given(_findings, _opinions, st.floats(0.45, 0.9))
def test_bounds_hold_whatever_is_said(findings: tuple[Finding, ...], opinion: Opinion, threshold: float) -> None:
    before = Diagnosis(findings=findings, evidence=(MEASURED,))
    weighed = weigh(before, opinion, EVIDENCE, confidence_threshold=threshold)
    after = weighed.diagnosis
    assert list(after.findings) == sorted(after.findings, key=lambda f: -f.confidence)
    assert {(f.cause, f.object) for f in findings} <= {(f.cause, f.object) for f in after.findings}
    assert all(0 <= f.confidence <= 0.97 for f in after.findings)
    assert all(i in {e.id for e in after.evidence} for i in opinion.evidence)
    old = {(f.cause, f.object): f.confidence for f in findings}
    for finding in after.findings:
        known = old.get((finding.cause, finding.object))
        if known is None:
            assert finding.confidence <= ALONE
        elif opinion.evidence == ("e-2",) and known < threshold:
            assert finding.confidence < threshold, "what a program wrote lifts nothing over the threshold"
    if findings and findings[0].confidence >= SURE:
        assert (after.findings[0].cause, after.findings[0].object) == (findings[0].cause, findings[0].object)


def test_agreement_raises_and_disagreement_lowers() -> None:
    rules = Diagnosis(findings=(Finding("BadRollout", A, 0.6, ""), Finding("MemoryLeak", B, 0.5, "")))
    agreed = weigh(rules, Opinion("BadRollout", A, 0.9, "", ("e-1",)), EVIDENCE, confidence_threshold=0.5)
    assert agreed.verdict == "agrees"
    assert agreed.diagnosis.findings[0].confidence > 0.7
    other = weigh(rules, Opinion("MemoryLeak", B, 0.9, "", ("e-1",)), EVIDENCE, confidence_threshold=0.5)
    assert other.verdict == "prefers"
    assert [f.cause for f in other.diagnosis.findings] == ["MemoryLeak", "BadRollout"]
    assert other.diagnosis.findings[1].confidence < 0.6
    new = weigh(rules, Opinion("DiskFull", A, 1.0, "", ("e-1",)), EVIDENCE, confidence_threshold=0.5)
    assert new.verdict == "adds"
    assert new.diagnosis.findings[-1].facts == {"said_by": "language model"}
    assert "doubted" not in agreed.diagnosis.findings[0].facts
    for doubted in (other, new):
        assert doubted.diagnosis.best is not None
        assert doubted.diagnosis.best.facts[DOUBTED].endswith(("Deployment shop/a", "Deployment shop/b"))


@given(st.text(max_size=200), st.integers(20, 100))
def test_cleaning_is_bounded_and_leaves_nothing_hidden(text: str, limit: int) -> None:
    cleaned = clean(text, limit=limit)
    assert len(cleaned) <= limit
    assert not {unicodedata.category(c) for c in cleaned if c not in "\n\t"} & {"Cc", "Cf", "Co", "Cs", "Cn"}
