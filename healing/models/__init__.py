"""The record. One module a concept; import from here."""

from healing.models.action import MAYBE_IN_FORCE, ActionRun, ActionState
from healing.models.api_token import ApiToken, Scope
from healing.models.approval import Approval, ApprovalState, ApprovalVote
from healing.models.audit_entry import AuditActorKind, AuditEntry
from healing.models.brakes import CircuitReset, Halt
from healing.models.cluster_seen import ClusterSeen
from healing.models.event import ActorKind, HealingEvent, PhaseRun, PhaseRunState, TimelineEntry
from healing.models.figures import EventFigures, Involvement
from healing.models.idempotency_key import IdempotencyKey
from healing.models.isolation import Isolation
from healing.models.known_state import KnownState
from healing.models.llm_call import LlmCall, LlmCallState
from healing.models.notification import Delivery, DeliveryState, Notified
from healing.models.policy import Policy
from healing.models.policy_revision import PolicyRevision
from healing.models.received_alert import AlertState, ReceivedAlert
from healing.models.role_binding import Role, RoleBinding
from healing.models.strategy import Strategy, StrategyState
from healing.models.takeover import Takeover, TakeoverEnd
from healing.models.warning import ProactiveWarning, WarningKind, WarningState

__all__ = [
    "MAYBE_IN_FORCE",
    "ActionRun",
    "ActionState",
    "ActorKind",
    "AlertState",
    "ApiToken",
    "Approval",
    "ApprovalState",
    "ApprovalVote",
    "AuditActorKind",
    "AuditEntry",
    "CircuitReset",
    "ClusterSeen",
    "Delivery",
    "DeliveryState",
    "EventFigures",
    "Halt",
    "HealingEvent",
    "IdempotencyKey",
    "Involvement",
    "Isolation",
    "KnownState",
    "LlmCall",
    "LlmCallState",
    "Notified",
    "PhaseRun",
    "PhaseRunState",
    "Policy",
    "PolicyRevision",
    "ProactiveWarning",
    "ReceivedAlert",
    "Role",
    "RoleBinding",
    "Scope",
    "Strategy",
    "StrategyState",
    "Takeover",
    "TakeoverEnd",
    "TimelineEntry",
    "WarningKind",
    "WarningState",
]
