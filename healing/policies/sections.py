"""The seed's sections of a policy, one an agent (``diagnosisConfig`` and so on): other names for fields of ours.

A policy may be written with either name, not with both and different values. What is written in a section is read as
the field it stands for; the app writes a change back to the place where the resource has it (`place_in`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

#: No numbers as text, no booleans as numbers: what the API server refuses is refused everywhere.
Whole = Annotated[int, Field(strict=True)]
#: One line of text; a NUL among it is an error to PostgreSQL.
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]
Switch = Annotated[bool, Field(strict=True)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0, strict=True)]
CheckIntervalSeconds = Annotated[Whole, Field(ge=1, le=3600)]
LogLookbackMinutes = Annotated[Whole, Field(ge=1, le=1440)]
MaxLogLines = Annotated[Whole, Field(ge=10, le=10_000)]
MaxMicroAgents = Annotated[Whole, Field(ge=1, le=20)]
MaxReasoningDepth = Annotated[Whole, Field(ge=1, le=10)]
ActionTimeoutSeconds = Annotated[Whole, Field(ge=1, le=600)]
VerificationTimeoutSeconds = Annotated[Whole, Field(ge=5, le=3600)]
MaxLocalEvents = Annotated[Whole, Field(ge=1, le=10_000)]
KnowledgeTtlDays = Annotated[Whole, Field(ge=1, le=3650)]
EmbeddingDimensions = Annotated[Whole, Field(ge=1, le=16_384)]


class SpecModel(BaseModel):
    """Base of all parts of a policy: camelCase outside, nothing unknown, no NaN and no infinity."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, allow_inf_nan=False
    )


class ContainmentConfig(SpecModel):
    """The seed's names for parts of `containment`."""

    check_interval_seconds: CheckIntervalSeconds | None = None
    isolation_strategy: Literal["soft", "hard", "auto"] | None = None
    neighbor_capacity_threshold: Fraction | None = None


class DiagnosisConfig(SpecModel):
    """The seed's names for what diagnosis reads and when it is sure."""

    log_lookback_minutes: LogLookbackMinutes | None = None
    max_log_lines: MaxLogLines | None = None
    confidence_threshold: Fraction | None = None


class MetacognitiveConfig(SpecModel):
    """The seed's names for how strategies are argued about, carried out and verified."""

    max_micro_agents: MaxMicroAgents | None = None
    max_reasoning_depth: MaxReasoningDepth | None = None
    action_timeout_seconds: ActionTimeoutSeconds | None = None
    verification_wait_seconds: VerificationTimeoutSeconds | None = None
    decision_threshold: Fraction | None = None


class KnowledgeConfig(SpecModel):
    """The seed's names for what is remembered."""

    similarity_threshold: Fraction | None = None
    max_local_events: MaxLocalEvents | None = None
    knowledge_ttl_days: KnowledgeTtlDays | None = None
    embedding_dimensions: EmbeddingDimensions | None = None


#: (section, its field) -> the field it stands for, in Python's names
STANDS_FOR: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("containment_config", "check_interval_seconds"): ("containment", "check_interval_seconds"),
    ("containment_config", "isolation_strategy"): ("containment", "mode"),
    ("containment_config", "neighbor_capacity_threshold"): ("containment", "neighbor_capacity_threshold"),
    ("diagnosis_config", "log_lookback_minutes"): ("log_lookback_minutes",),
    ("diagnosis_config", "max_log_lines"): ("max_log_lines",),
    ("diagnosis_config", "confidence_threshold"): ("confidence_threshold",),
    ("metacognitive_config", "max_micro_agents"): ("max_micro_agents",),
    ("metacognitive_config", "max_reasoning_depth"): ("max_reasoning_depth",),
    ("metacognitive_config", "action_timeout_seconds"): ("action_timeout_seconds",),
    ("metacognitive_config", "verification_wait_seconds"): ("verification", "timeout_seconds"),
    ("metacognitive_config", "decision_threshold"): ("decision_threshold",),
    ("knowledge_config", "similarity_threshold"): ("similarity_threshold",),
    ("knowledge_config", "max_local_events"): ("max_local_events",),
    ("knowledge_config", "knowledge_ttl_days"): ("knowledge_ttl_days",),
    ("knowledge_config", "embedding_dimensions"): ("embedding_dimensions",),
}
SECTIONS = tuple(dict.fromkeys(section for section, _ in STANDS_FOR))


def camel(path: tuple[str, ...]) -> tuple[str, ...]:
    """Names as in the resource."""
    return tuple(to_camel(name) for name in path)


def merged(spec: BaseModel) -> None:
    """Move what the sections say to the fields they stand for. `ValueError`: both are written and differ.

    Models are frozen for their users; here they are still being made.
    """
    for (section, name), place in STANDS_FOR.items():
        value = getattr(getattr(spec, section), name, None)
        if value is None:
            continue
        owner, written = spec, True
        for part in place[:-1]:
            written = written and part in owner.model_fields_set
            owner = getattr(owner, part)
        written = written and place[-1] in owner.model_fields_set
        ours = getattr(owner, place[-1])
        if written and ours != value:
            there, here = ".".join(camel((section, name))), ".".join(camel(place))
            raise ValueError(f"{there} is {value} and {here} is {ours}, which is the same thing: write one of them")
        _set(spec, place, value)
    for section in SECTIONS:
        spec.__dict__[section] = None
        spec.model_fields_set.discard(section)


def _set(model: BaseModel, place: tuple[str, ...], value: Any) -> None:
    """Nested models are copied: a default may be shared."""
    name = place[0]
    if len(place) > 1:
        nested = getattr(model, name).model_copy()
        _set(nested, place[1:], value)
        value = nested
    model.__dict__[name] = value
    model.model_fields_set.add(name)


def place_in(written: Mapping[str, Any], place: tuple[str, ...]) -> tuple[str, ...]:
    """Where the resource's spec ``written`` has the field ``place``, in camelCase: in its section, if it is there."""
    for (section, name), stands_for in STANDS_FOR.items():
        if camel(stands_for) == place:
            part = written.get(to_camel(section))
            if isinstance(part, Mapping) and part.get(to_camel(name)) is not None:
                return camel((section, name))
    return place
