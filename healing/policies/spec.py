"""The spec of a SelfHealingPolicy: the one schema behind the CRD, the admin form and the API.

Field names and enum values of the seed document are accepted as written there. Units are in the names;
fractions are 0..1. Unknown fields are refused, with the field's name.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from healing.policies import freeze

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]

#: Namespaces of the cluster itself: healed only where a policy names them.
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease", "recist-system"})


class Risk(StrEnum):
    """Risk class of an action in its context."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """low 0, medium 1, high 2: for comparisons."""
        return ("low", "medium", "high").index(self.value)


class ActionName(StrEnum):
    """Every action of the registry, as written in ``allowedActions``."""

    RESTART = "restart"
    ROLLBACK = "rollback"
    SCALE = "scale"
    UPDATE_RESOURCES = "updateResources"
    UPDATE_CONFIG = "updateConfig"
    FIX_SERVICE_SELECTOR = "fixServiceSelector"
    RESTART_DEPENDENCY = "restartDependency"
    ISOLATE = "isolate"
    RELEASE = "release"
    PAUSE_ROLLOUT = "pauseRollout"
    RESUME_ROLLOUT = "resumeRollout"
    CORDON = "cordon"
    UNCORDON = "uncordon"
    EVICT = "evict"
    RESTORE_OBJECT = "restoreObject"
    RECREATE_MISSING = "recreateMissing"
    FIX_SERVICE_PORT = "fixServicePort"
    FIX_PROBE = "fixProbe"
    FIX_SCHEDULING = "fixScheduling"
    RAISE_QUOTA = "raiseQuota"
    EXPAND_VOLUME = "expandVolume"
    DELETE_STUCK_POD = "deleteStuckPod"
    DRAIN = "drain"


#: What containment does to stop the bleeding; governed by ``containment``, not by ``allowedActions``.
CONTAINMENT_ACTIONS = frozenset(
    {
        ActionName.ISOLATE,
        ActionName.RELEASE,
        ActionName.PAUSE_ROLLOUT,
        ActionName.RESUME_ROLLOUT,
        ActionName.CORDON,
        ActionName.UNCORDON,
    }
)


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class Thresholds(_Model):
    """When a metric counts as a fault. A missing threshold is not watched."""

    cpu: Fraction | None = Field(0.9, description="CPU use as a fraction of the limit.")
    memory: Fraction | None = Field(0.85, description="Memory use as a fraction of the limit.")
    latency_ms: Annotated[float, Field(gt=0, le=3_600_000)] | None = Field(
        500, description="p99 request latency in milliseconds."
    )
    error_rate: Fraction | None = Field(0.05, description="Failed requests as a fraction of all.")
    for_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        15, description="How long a metric must be over its threshold."
    )


class LlmConfig(_Model):
    """The language model that helps with diagnosis; everything works without one."""

    provider: Literal["claude", "openai", "gemini", "ollama", "openaiCompatible", "none"] = "none"
    model: str = Field("", max_length=200)
    api_key_secret: str = Field("", max_length=253, description="Name of the Secret whose field `key` holds the key.")
    base_url: str = Field("", max_length=2000, description="For ollama and other OpenAI-compatible servers.")
    consult: Literal["never", "whenUnsure", "always"] = Field(
        "whenUnsure", description="When the model is asked; whenUnsure: where the rules are not sure."
    )


class Approval(_Model):
    """Who must agree before an action runs."""

    mode: Literal["always", "riskBased", "never"] = "riskBased"
    auto_approve_max_risk: Risk = Field(Risk.LOW, description="Up to this risk, `riskBased` asks nobody.")
    expire_after_seconds: Annotated[int, Field(ge=10, le=86_400)] = Field(
        1800, description="After that nothing runs and the event is escalated."
    )


class Containment(_Model):
    """How bleeding is stopped before anyone knows the cause."""

    mode: Literal["auto", "soft", "hard", "off"] = Field(
        "auto", description="soft: no traffic to the pod; hard: nothing but DNS; auto: by severity."
    )
    release_after_seconds: Annotated[int, Field(ge=30, le=86_400)] = Field(
        900, description="An isolation is lifted by itself after that."
    )
    pause_rollouts: bool = True
    cordon_nodes: bool = True


class Limits(_Model):
    """Bounds on what automation may do."""

    max_concurrent_healings: Annotated[int, Field(ge=1, le=1000)] = 10
    max_actions_per_workload_and_hour: Annotated[int, Field(ge=0, le=1000)] = 6
    min_healthy_percent: Annotated[int, Field(ge=0, le=100)] = Field(
        50, description="Never act where fewer ready replicas than this would remain."
    )
    cooldown_seconds: Annotated[int, Field(ge=0, le=86_400)] = 60
    max_attempts: Annotated[int, Field(ge=1, le=10)] = Field(3, description="Strategies tried before escalating.")
    freeze_windows: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=50)] = Field(
        default_factory=list,
        description="Nothing is changed unasked in them: 'Mon-Fri 22:00-06:00 Europe/Berlin' or "
        "'2026-12-23T00:00Z/2027-01-02T00:00Z'.",
    )
    circuit_breaker_failures: Annotated[int, Field(ge=0, le=100)] = Field(
        3, description="So many healings of a workload that failed in a row stop automation for it; 0: never."
    )
    storm_faults: Annotated[int, Field(ge=0, le=10_000)] = Field(
        10, description="So many different faults at once in the cluster: nothing is done unasked; 0: never."
    )
    allow_last_replica: bool = Field(False, description="Whether the last ready replica may be isolated or removed.")

    @field_validator("freeze_windows")
    @classmethod
    def _readable_windows(cls, value: list[str]) -> list[str]:
        for text in value:
            freeze.parse(text)
        return value


class Verification(_Model):
    """When a strategy counts as having worked."""

    timeout_seconds: Annotated[int, Field(ge=5, le=3600)] = 120
    stable_seconds: Annotated[int, Field(ge=0, le=3600)] = 10


class PolicySpec(_Model):
    """What is watched, what may be done, and who must agree."""

    target_namespaces: Annotated[list[Name], Field(min_length=1, max_length=500)]
    target_labels: dict[str, str] = Field(default_factory=dict, description="Only workloads with all these labels.")
    thresholds: Thresholds = Field(default_factory=Thresholds)
    allowed_actions: list[ActionName] = Field(
        default_factory=lambda: [action for action in ActionName if action not in CONTAINMENT_ACTIONS]
    )
    autonomy: Literal["observe", "propose", "heal"] = Field(
        "heal", description="observe: diagnose only; propose: every action needs a person; heal: as `approval` says."
    )
    approval: Approval = Field(default_factory=Approval)
    containment: Containment = Field(default_factory=Containment)
    limits: Limits = Field(default_factory=Limits)
    verification: Verification = Field(default_factory=Verification)
    confidence_threshold: Fraction = Field(0.5, description="A diagnosis below it is 'not sure'.")
    decision_threshold: Fraction = Field(0.4, description="A strategy below it is not carried out.")
    max_reasoning_depth: Annotated[int, Field(ge=1, le=10)] = 3
    llm_config: LlmConfig = Field(default_factory=LlmConfig)
    knowledge_ttl_days: Annotated[int, Field(ge=1, le=3650)] = 90
    paused: bool = Field(False, description="Faults are recorded, nothing else happens.")

    @field_validator("target_labels")
    @classmethod
    def _no_empty_selector(cls, value: dict[str, str]) -> dict[str, str]:
        for key, text in value.items():
            if not key or not text or "*" in key or "*" in text:
                raise ValueError("empty or wildcard labels are refused; name each label and value")
        return value

    @model_validator(mode="after")
    def _no_duplicates(self) -> PolicySpec:
        if len(set(self.target_namespaces)) != len(self.target_namespaces):
            raise ValueError("targetNamespaces names a namespace twice")
        return self

    def covers(self, namespace: str, labels: dict[str, str]) -> bool:
        """Whether a workload with these labels is in scope. Cluster-scoped objects have namespace ``""``: see
        `healing.policies.select`."""
        return namespace in self.target_namespaces and self.target_labels.items() <= labels.items()

    def as_json(self) -> dict[str, object]:
        """camelCase, as in the CR."""
        return self.model_dump(mode="json", by_alias=True)
