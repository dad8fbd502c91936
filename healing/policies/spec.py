"""The spec of a SelfHealingPolicy: the one schema behind the CRD, the admin form and the API.

Field names and enum values of the seed document are accepted as written there (its sections named after agents:
`healing.policies.sections`). Units are in the names; fractions are 0..1. Unknown fields are refused, with the field's
name; so is a number written as text, as the API server would.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from healing.policies import freeze
from healing.policies.forecasting import Forecasts
from healing.policies.notifications import Address, NotificationChannel, SecretPath, older_channels
from healing.policies.sections import (
    ActionTimeoutSeconds,
    CheckIntervalSeconds,
    ContainmentConfig,
    DiagnosisConfig,
    EmbeddingDimensions,
    Fraction,
    KnowledgeConfig,
    KnowledgeTtlDays,
    Line,
    LogLookbackMinutes,
    MaxLocalEvents,
    MaxLogLines,
    MaxMicroAgents,
    MaxReasoningDepth,
    MetacognitiveConfig,
    SpecModel,
    Switch,
    Whole,
    merged,
)

#: The API server refuses what looks like no window; whether there is such a day or zone, only we know, and say better.
WindowText = Annotated[
    str,
    Field(
        max_length=100,
        json_schema_extra={"pattern": r"^([A-Za-z,-]+ \d\d:\d\d-\d\d:\d\d( \S+)?|[0-9:TZ.+ -]+/[0-9:TZ.+ -]+)$"},
    ),
]
LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
LabelValue = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")]
LabelKey = Annotated[str, Field(min_length=1, max_length=317, pattern=LABEL_KEY)]
Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]

#: Namespaces of the cluster itself: healed only where a policy names them.
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease", "recist-system"})


def _rule(expression: str, message: str) -> dict[str, JsonValue]:
    """For the API server: what JSON Schema cannot say, or a CRD must not."""
    return {"x-kubernetes-validations": [{"rule": expression, "message": message}]}


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
    REBIND_VOLUME = "rebindVolume"
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


class Thresholds(SpecModel):
    """When a metric counts as a fault. A missing threshold is not watched."""

    cpu: Fraction | None = Field(0.9, description="CPU use as a fraction of the limit.")
    memory: Fraction | None = Field(0.85, description="Memory use as a fraction of the limit.")
    latency_ms: Annotated[float, Field(gt=0, le=3_600_000, strict=True)] | None = Field(
        500, description="p99 request latency in milliseconds."
    )
    error_rate: Fraction | None = Field(0.05, description="Failed requests as a fraction of all.")
    for_seconds: Annotated[Whole, Field(ge=0, le=3600)] = Field(
        15, description="How long a metric must be over its threshold."
    )


class LlmConfig(SpecModel):
    """The language model that helps with diagnosis; everything works without one."""

    provider: Literal["claude", "openai", "gemini", "ollama", "openaiCompatible", "none"] = "none"
    model: Line = Field("", max_length=200)
    api_key_secret: Line = Field("", max_length=253, description="Name of the Secret whose field `key` holds the key.")
    base_url: Line = Field("", max_length=2000, description="For ollama and other OpenAI-compatible servers.")
    timeout_seconds: Annotated[Whole, Field(ge=1, le=300)] = Field(
        30, description="So long an answer is waited for at most; the phase's budget may be shorter."
    )
    consult: Literal["never", "whenUnsure", "always"] = Field(
        "whenUnsure", description="When the model is asked; whenUnsure: where the rules are not sure."
    )


ApproverName = Annotated[str, Field(min_length=1, max_length=160, pattern=r"^(group:)?[^\s:]+( [^\s:]+)*$")]


class RequiredApprovals(SpecModel):
    """How many different people have to agree, by the risk of what is proposed."""

    low: Annotated[Whole, Field(ge=1, le=5)] = 1
    medium: Annotated[Whole, Field(ge=1, le=5)] = 1
    high: Annotated[Whole, Field(ge=1, le=5)] = Field(2, description="Two: nobody does a dangerous thing alone.")

    def of(self, risk: Risk) -> int:
        """How many for this risk."""
        return int(getattr(self, risk.value))


class Approval(SpecModel):
    """Who must agree before an action runs."""

    mode: Literal["always", "riskBased", "never"] = "riskBased"
    auto_approve_max_risk: Risk = Field(Risk.LOW, description="Up to this risk, `riskBased` asks nobody.")
    expire_after_seconds: Annotated[Whole, Field(ge=10, le=86_400)] = Field(
        1800, description="After that nothing runs and the event is escalated."
    )
    required_approvals: RequiredApprovals = Field(default_factory=RequiredApprovals)
    approvers: Annotated[list[ApproverName], Field(max_length=100)] = Field(
        default_factory=list,
        description="Who may decide in these namespaces: user names, or `group:NAME`. They need the role approver "
        "too. Empty: everybody with that role.",
    )
    self_approval: Switch = Field(
        False,
        description="Whether somebody's own approval counts for a plan they chose or edited, or for a healing they "
        "started by hand.",
    )


class Containment(SpecModel):
    """How bleeding is stopped before anyone knows the cause."""

    mode: Literal["auto", "soft", "hard", "off"] = Field(
        "auto", description="soft: no traffic to the pod; hard: nothing but DNS; auto: by severity."
    )
    release_after_seconds: Annotated[Whole, Field(ge=30, le=86_400)] = Field(
        900, description="An isolation is lifted by itself after that."
    )
    pause_rollouts: Switch = True
    cordon_nodes: Switch = True
    neighbor_capacity_threshold: Fraction | None = Field(
        None,
        description="A pod is isolated only where its siblings have at least this fraction of their CPU and memory "
        "free. Empty: they are not asked.",
    )
    check_interval_seconds: CheckIntervalSeconds | None = Field(
        None, description="Accepted from older policies and not needed: the cluster is watched, not polled."
    )


class Limits(SpecModel):
    """Bounds on what automation may do."""

    max_concurrent_healings: Annotated[Whole, Field(ge=1, le=1000)] = 10
    max_actions_per_workload_and_hour: Annotated[Whole, Field(ge=0, le=1000)] = 6
    min_healthy_percent: Annotated[Whole, Field(ge=0, le=100)] = Field(
        50, description="Never act where fewer ready replicas than this would remain."
    )
    cooldown_seconds: Annotated[Whole, Field(ge=0, le=86_400)] = 60
    max_attempts: Annotated[Whole, Field(ge=1, le=10)] = Field(3, description="Strategies tried before escalating.")
    freeze_windows: Annotated[list[WindowText], Field(max_length=50)] = Field(
        default_factory=list,
        description="Nothing is changed unasked in them: 'Mon-Fri 22:00-06:00 Europe/Berlin' or "
        "'2026-12-23T00:00Z/2027-01-02T00:00Z'.",
    )
    circuit_breaker_failures: Annotated[Whole, Field(ge=0, le=100)] = Field(
        3, description="So many healings of a workload that failed in a row stop automation for it; 0: never."
    )
    storm_faults: Annotated[Whole, Field(ge=0, le=10_000)] = Field(
        10, description="So many different faults at once in the cluster: nothing is done unasked; 0: never."
    )
    allow_last_replica: Switch = Field(False, description="Whether the last ready replica may be isolated or removed.")

    @field_validator("freeze_windows")
    @classmethod
    def _readable_windows(cls, value: list[str]) -> list[str]:
        for text in value:
            freeze.parse(text)
        return value


class GitOps(SpecModel):
    """What may be done to objects that Argo CD or Flux keeps as a repository says."""

    temporary_changes: Switch = Field(
        False,
        description="Whether they are changed unasked, for a time only: marked on the object, put back by itself, and "
        "never again for a day once the tool has put it back. Off: a person is asked.",
    )
    expire_after_seconds: Annotated[Whole, Field(ge=60, le=86_400)] = Field(
        3600, description="So long such a change lasts: time to make it in the repository."
    )


class Verification(SpecModel):
    """When a strategy counts as having worked."""

    timeout_seconds: Annotated[Whole, Field(ge=5, le=3600)] = 120
    stable_seconds: Annotated[Whole, Field(ge=0, le=3600)] = 10


class Notifications(SpecModel):
    """Whom to tell about this policy's events, beside the channels of the whole installation."""

    enabled: Switch = True
    channels: Annotated[list[NotificationChannel], Field(max_length=20)] = Field(
        default_factory=list, description="Where people are told, and of what. Secrets are named, never written here."
    )
    # The seed's names, read as channels and never written.
    slack_webhook: SecretPath | None = Field(
        None, exclude=True, description="The same as a channel of type slack: Secret, or secret/key, with the address."
    )
    email: Address | None = Field(None, exclude=True, description="The same as a channel of type email.")
    pagerduty_key: SecretPath | None = Field(
        None, exclude=True, description="The same as a channel of type pagerDuty: Secret, or secret/key, with the key."
    )

    @field_validator("slack_webhook", "pagerduty_key", mode="before")
    @classmethod
    def _no_secret(cls, value: object) -> object:
        if isinstance(value, str) and "://" in value:
            raise ValueError("write the name of the Secret that holds it (name or name/key), not the secret itself")
        return value or None

    @model_validator(mode="after")
    def _with_older_names(self) -> Notifications:
        found = older_channels(self.slack_webhook, self.email, self.pagerduty_key)
        if found:
            self.__dict__["channels"] = [*self.channels, *(c for c in found if c not in self.channels)]
            self.model_fields_set.add("channels")
        for name in ("slack_webhook", "email", "pagerduty_key"):
            self.__dict__[name] = None
            self.model_fields_set.discard(name)
        return self


class PolicySpec(SpecModel):
    """What is watched, what may be done, and who must agree."""

    target_namespaces: Annotated[list[Name], Field(min_length=1, max_length=500)] = Field(
        description="Namespaces it covers, each by its name.",
        json_schema_extra=_rule("self.all(a, self.exists_one(b, a == b))", "names a namespace twice"),
    )
    target_labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=20)] = Field(
        default_factory=dict,
        description="Only workloads with all these labels.",
        # Atomic: whoever applies labels says all of them, so that taking one away takes it away.
        json_schema_extra={
            "x-kubernetes-map-type": "atomic",
            **_rule(f"self.all(key, key.size() <= 317 && key.matches(r'{LABEL_KEY}'))", "has a key that is no label's"),
        },
    )
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
    git_ops: GitOps = Field(default_factory=GitOps)
    verification: Verification = Field(default_factory=Verification)
    notifications: Notifications = Field(default_factory=Notifications)
    confidence_threshold: Fraction = Field(0.5, description="A diagnosis below it is 'not sure'.")
    log_lookback_minutes: LogLookbackMinutes | None = Field(
        None, description="How far back logs are read. Empty: as far as the fault needs."
    )
    max_log_lines: MaxLogLines | None = Field(None, description="Log lines read of a container. Empty: as needed.")
    decision_threshold: Fraction = Field(0.4, description="A strategy below it is not carried out.")
    forecasts: Forecasts = Field(default_factory=Forecasts)
    max_reasoning_depth: MaxReasoningDepth = Field(3, description="Turns that micro-agents argue for at most.")
    max_micro_agents: MaxMicroAgents | None = Field(
        None, description="Strategies that are argued for at most. Empty: all that may help."
    )
    action_timeout_seconds: ActionTimeoutSeconds | None = Field(
        None, description="So long an action may take to be sent. Empty: as long as the phase's budget."
    )
    llm_config: LlmConfig = Field(default_factory=LlmConfig)
    knowledge_ttl_days: KnowledgeTtlDays = Field(90, description="After that an entry of the memory is forgotten.")
    similarity_threshold: Fraction | None = Field(
        None, description="Past events less alike than this are not recalled. Empty: the memory decides."
    )
    max_local_events: MaxLocalEvents = Field(
        100, description="So many latest events of a namespace are kept in its fast memory."
    )
    embedding_dimensions: EmbeddingDimensions | None = Field(
        None, description="Accepted from older policies and not needed: the embedding model says it."
    )
    paused: Switch = Field(False, description="Faults are recorded, nothing else happens.")

    # The seed's sections, read as the fields above and never written.
    containment_config: ContainmentConfig | None = Field(None, exclude=True)
    diagnosis_config: DiagnosisConfig | None = Field(None, exclude=True)
    metacognitive_config: MetacognitiveConfig | None = Field(None, exclude=True)
    knowledge_config: KnowledgeConfig | None = Field(None, exclude=True)

    @field_validator("target_namespaces")
    @classmethod
    def _no_namespace_twice(cls, value: list[str]) -> list[str]:
        for name in value:
            if value.count(name) > 1:
                raise ValueError(f"{name} is named twice")
        return value

    @field_validator("target_labels", mode="before")
    @classmethod
    def _no_wildcard(cls, value: object) -> object:
        """In words; what remains is checked by the field's own pattern."""
        for key, text in value.items() if isinstance(value, dict) else ():
            if not key or not text or "*" in str(key) or "*" in str(text):
                raise ValueError("empty or wildcard labels are refused; name each label and value")
        return value

    @model_validator(mode="after")
    def _with_sections(self) -> PolicySpec:
        merged(self)
        return self

    def covers(self, namespace: str, labels: dict[str, str]) -> bool:
        """Whether a workload with these labels is in scope. Cluster-scoped objects have namespace ``""``: see
        `healing.policies.select`."""
        return namespace in self.target_namespaces and self.target_labels.items() <= labels.items()

    def as_json(self) -> dict[str, object]:
        """camelCase, as in the CR. An ``autonomy`` that nobody has written down stays unsaid: on a cluster's first day
        that makes a difference (`healing.policies.first_day`)."""
        unsaid = None if "autonomy" in self.model_fields_set else {"autonomy"}
        return self.model_dump(mode="json", by_alias=True, exclude=unsaid)
