"""What of a model's answer is believed: only what names things that were shown to it, with evidence that exists."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from healing.asking import clean
from healing.diagnosis.advice.digest import Digest
from healing.diagnosis.catalogue import CAUSES
from healing.diagnosis.hypothesis import bare
from healing.ports.cluster import ObjectRef

#: For "none of these": the model may say that it does not know.
UNKNOWN = "Unknown"
_FENCE = re.compile(r"```(?:json)?\s*(\{.*\})\s*```", re.DOTALL)
_MOST_EXPLANATION = 1500


class _Raw(BaseModel):
    """The answer's shape. More fields than these are ignored: they could not do anything."""

    model_config = ConfigDict(extra="ignore", strict=True)

    cause: Annotated[str, Field(max_length=100)]
    object: Annotated[str, Field(max_length=400)]
    confidence: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
    explanation: Annotated[str, Field(max_length=20_000)]
    evidence: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=200)]
    would_settle: Annotated[str, Field(max_length=5000)] = ""


@dataclass(frozen=True, slots=True)
class Opinion:
    """A believed answer. ``cause`` is of the catalogue, ``object`` and ``evidence`` were in the digest."""

    cause: str
    object: ObjectRef
    confidence: float
    explanation: str
    evidence: tuple[str, ...]
    would_settle: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """``opinion`` None: nothing of it can be used. ``struck``: what was taken out, and why, in words."""

    opinion: Opinion | None
    struck: tuple[str, ...] = ()


def schema(digest: Digest) -> dict[str, Any]:
    """The JSON Schema of an answer to this digest: it can name only what is there."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["cause", "object", "confidence", "explanation", "evidence", "would_settle"],
        "properties": {
            "cause": {"type": "string", "enum": [*sorted(CAUSES), UNKNOWN]},
            "object": {"type": "string", "enum": sorted(digest.objects)},
            "confidence": {"type": "number", "description": "0 to 1"},
            "explanation": {"type": "string", "description": "why, in at most four sentences"},
            "evidence": {"type": "array", "items": {"type": "string", "enum": sorted(digest.evidence)}},
            "would_settle": {"type": "string", "description": "what to look at to be surer; empty when sure"},
        },
    }


def read(text: str, digest: Digest) -> Reading:
    """Check an answer; never raises. The schema was only a request: a model, or whoever speaks through it, may write
    anything."""
    try:
        raw = _Raw.model_validate(_parsed(text))
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(str(part) for part in e["loc"]) or "answer" for e in error.errors()}))
        return Reading(None, (f"The answer does not have the form asked for ({fields}).",))
    except ValueError as error:
        return Reading(None, (f"The answer is not JSON: {error}.",))
    if raw.cause == UNKNOWN:
        return Reading(None, ("It does not know the cause.", *_settles(raw)))
    if raw.cause not in CAUSES:
        return Reading(None, (f"There is no cause {clean(raw.cause, limit=60)!r}.",))
    about = digest.objects.get(raw.object)
    if about is None:
        return Reading(None, (f"{clean(raw.object, limit=100)!r} is not among the objects it was shown.",))
    evidence = tuple(dict.fromkeys(i for i in raw.evidence if i in digest.evidence))
    struck = [f"There is no evidence {clean(i, limit=40)!r}." for i in raw.evidence if i not in digest.evidence]
    if not evidence:
        return Reading(None, (*struck, "It names no evidence for what it claims."))
    opinion = Opinion(
        raw.cause,
        bare(about),
        raw.confidence,
        clean(raw.explanation, limit=_MOST_EXPLANATION),
        evidence,
        clean(raw.would_settle, limit=400),
    )
    return Reading(opinion, tuple(struck))


def _settles(raw: _Raw) -> tuple[str, ...]:
    text = clean(raw.would_settle, limit=400)
    return (f"What would settle it: {text}",) if text else ()


def _parsed(text: str) -> Any:
    """The JSON object of an answer, bare or in a code fence. ValueError otherwise."""
    stripped = text.strip()
    if (fenced := _FENCE.search(stripped)) is not None:
        stripped = fenced[1]
    try:
        value = json.loads(stripped, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos}") from error
    # Some models write whole numbers where a fraction is asked for.
    if (
        isinstance(value, dict)
        and isinstance(value.get("confidence"), int)
        and not isinstance(value["confidence"], bool)
    ):
        value["confidence"] = float(value["confidence"])
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")
