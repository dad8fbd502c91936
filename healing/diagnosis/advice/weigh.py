"""What a model's opinion changes in a diagnosis.

Agreement raises, disagreement lowers confidence, and a person is asked before anything is done about a cause that the
model doubts (`DOUBTED`). Three bounds more keep a mistaken, or misled, model harmless:

- what only the model says never reaches `ALONE`, below every sensible `confidenceThreshold`: a person is asked;
- a finding that the rules are sure of keeps its place;
- an opinion that rests only on what programs write (logs, events, memory) does not lift a finding over the threshold:
  anyone who can make a program log a line could otherwise speak through the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from healing.diagnosis.advice.opinion import Opinion
from healing.diagnosis.catalogue import CAUSES
from healing.diagnosis.hypothesis import bare
from healing.findings import DOUBTED, Diagnosis, Evidence, Finding

Verdict = Literal["agrees", "prefers", "adds"]

#: At most so sure of what no rule has found.
ALONE = 0.4
#: From here on the rules' first finding is not overtaken.
SURE = 0.75
_MOST = 0.97
_AGREEMENT = 0.4
_DOUBT = 0.85
#: Kinds of evidence that the API server or Prometheus measured, not a program wrote.
_MEASURED = frozenset({"status", "spec", "change", "metric", "alert"})


@dataclass(frozen=True, slots=True)
class Weighed:
    """``verdict``: the model agrees with the first finding, prefers a later one, or adds one of its own."""

    diagnosis: Diagnosis
    verdict: Verdict


def weigh(
    diagnosis: Diagnosis, opinion: Opinion, evidence: Mapping[str, Evidence], *, confidence_threshold: float
) -> Weighed:
    """The diagnosis with the opinion taken in. ``evidence``: what the model was shown, by id."""
    findings = list(diagnosis.findings)
    index = next((i for i, f in enumerate(findings) if _is_same(f, opinion)), None)
    cap = _MOST if _is_measured(opinion, evidence) else max(0.0, confidence_threshold - 0.01)
    if index == 0:
        findings[0] = _raised(findings[0], opinion, cap)
        verdict: Verdict = "agrees"
    else:
        if findings:
            findings[0] = replace(findings[0], confidence=round(findings[0].confidence * _DOUBT, 3))
        verdict = "adds" if index is None else "prefers"
        if index is None:
            findings.append(_of_its_own(opinion))
        else:
            findings[index] = _raised(findings[index], opinion, cap)
        findings = _in_order(findings, keep_first=_is_sure(diagnosis))
        otherwise = f"{opinion.cause} of {opinion.object}"
        findings[0] = replace(findings[0], facts={**findings[0].facts, DOUBTED: otherwise})
    known = {e.id for e in diagnosis.evidence}
    added = tuple(evidence[i] for i in opinion.evidence if i in evidence and i not in known)
    return Weighed(replace(diagnosis, findings=tuple(findings), evidence=(*diagnosis.evidence, *added)), verdict)


def _is_same(finding: Finding, opinion: Opinion) -> bool:
    return finding.cause == opinion.cause and bare(finding.object) == opinion.object


def _is_measured(opinion: Opinion, evidence: Mapping[str, Evidence]) -> bool:
    return any(evidence[i].kind in _MEASURED for i in opinion.evidence if i in evidence)


def _is_sure(diagnosis: Diagnosis) -> bool:
    return diagnosis.best is not None and diagnosis.best.confidence >= SURE


def _raised(finding: Finding, opinion: Opinion, cap: float) -> Finding:
    higher = finding.confidence + (1 - finding.confidence) * _AGREEMENT * opinion.confidence
    # A cap never takes away what the rules have found themselves.
    confidence = max(finding.confidence, min(higher, cap))
    evidence = tuple(dict.fromkeys((*finding.evidence, *opinion.evidence)))
    return replace(finding, confidence=round(confidence, 3), evidence=evidence)


def _of_its_own(opinion: Opinion) -> Finding:
    return Finding(
        cause=opinion.cause,
        object=opinion.object,
        confidence=round(min(ALONE, opinion.confidence * ALONE), 3),
        explanation=opinion.explanation,
        evidence=opinion.evidence,
        suggested_actions=CAUSES[opinion.cause].actions,
        facts={"said_by": "language model"},
    )


def _in_order(findings: list[Finding], *, keep_first: bool) -> list[Finding]:
    first, rest = findings[:1], findings[1:]
    if not keep_first:
        return sorted(findings, key=lambda f: -f.confidence)
    below = first[0].confidence
    return [
        *first,
        *sorted((replace(f, confidence=min(f.confidence, below)) for f in rest), key=lambda f: -f.confidence),
    ]
