"""The record. One module a concept; import from here."""

from healing.models.action import ActionRun, ActionState
from healing.models.approval import Approval, ApprovalState
from healing.models.audit_entry import AuditActorKind, AuditEntry
from healing.models.brakes import CircuitReset, Halt
from healing.models.event import ActorKind, HealingEvent, PhaseRun, PhaseRunState, TimelineEntry
from healing.models.isolation import Isolation
from healing.models.known_state import KnownState
from healing.models.llm_call import LlmCall, LlmCallState
from healing.models.policy import Policy
from healing.models.role_binding import Role, RoleBinding
from healing.models.strategy import Strategy, StrategyState

__all__ = [
    "ActionRun",
    "ActionState",
    "ActorKind",
    "Approval",
    "ApprovalState",
    "AuditActorKind",
    "AuditEntry",
    "CircuitReset",
    "Halt",
    "HealingEvent",
    "Isolation",
    "KnownState",
    "LlmCall",
    "LlmCallState",
    "PhaseRun",
    "PhaseRunState",
    "Policy",
    "Role",
    "RoleBinding",
    "Strategy",
    "StrategyState",
    "TimelineEntry",
]
