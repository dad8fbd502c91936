"""What an edit would have done to what has happened: old against new, before anybody saves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from healing.models import Policy
from healing.policies.select import select
from healing.policies.spec import PolicySpec
from healing.policy_changes.judging import Case, Judgement, Verdict, judge, without_scope
from healing.policy_changes.recorded import Key, evaluation, last_events

_NEW = -1
Candidates = Sequence[tuple[int, PolicySpec]]


@dataclass(frozen=True, slots=True)
class Row:
    """One case under the policies as they are and as they would be."""

    case: Case
    old: Judgement
    new: Judgement

    @property
    def differs(self) -> bool:
        """Whether people would see a difference."""
        return self.old.is_same_as != self.new.is_same_as


@dataclass(frozen=True, slots=True)
class Replay:
    """``rows``: all cases; ``turns``: how many go from which verdict to which."""

    rows: tuple[Row, ...]

    @property
    def changed(self) -> list[Row]:
        """Those that come out differently."""
        return [row for row in self.rows if row.differs]

    @property
    def turns(self) -> list[tuple[Verdict, Verdict, int]]:
        """(from, to, how many), most first; only what changes."""
        counts = Counter((row.old.verdict, row.new.verdict) for row in self.changed)
        return [(old, new, count) for (old, new), count in counts.most_common()]

    @property
    def totals(self) -> list[tuple[Verdict, int, int]]:
        """(verdict, how many now, how many then) of all that occur."""
        old = Counter(row.old.verdict for row in self.rows)
        new = Counter(row.new.verdict for row in self.rows)
        return [(verdict, old[verdict], new[verdict]) for verdict in Verdict if old[verdict] or new[verdict]]


def replay_events(
    cluster: str,
    spec: PolicySpec,
    *,
    enabled: bool = True,
    policy_id: int | None = None,
    labels: Mapping[Key, Mapping[str, str]] | None = None,
) -> Replay:
    """The last events of the cluster. ``policy_id``: the policy that is edited; None: a new one."""
    edited = policy_id or _NEW
    old = [(policy.pk, spec) for policy, spec in Policy.usable(cluster)]
    new = [(pk, known) for pk, known in old if pk != edited] + ([(edited, spec)] if enabled else [])
    return Replay(
        tuple(
            Row(case, _judged(case, governed_by, old), _judged(case, governed_by, new))
            for case, governed_by in last_events(cluster, labels or {})
        )
    )


def replay_evaluation(old: PolicySpec | None, new: PolicySpec) -> Replay:
    """The recorded evaluation, as if each policy covered all of it. ``old`` None: against the defaults."""
    before = old or PolicySpec(target_namespaces=["default"])
    rows = []
    for case in evaluation():
        was, would = judge(without_scope(before, case), case), judge(without_scope(new, case), case)
        rows.append(Row(case, was, would))
    return Replay(tuple(rows))


def _judged(case: Case, governed_by: int, policies: Candidates) -> Judgement:
    spec = _governing(case, governed_by, policies)
    if isinstance(spec, Judgement):
        return spec
    if spec is None:
        return Judgement(Verdict.UNSEEN, reasons=("No policy covers it.",), limits=("targetNamespaces",))
    return judge(spec, case)


def _governing(case: Case, governed_by: int, policies: Candidates) -> PolicySpec | Judgement | None:
    """The policy that the case falls under, as `healing.detection` chooses it."""
    if case.target.kind == "Node":  # which pods it had is not known any more: it stays with its policy
        return next((spec for pk, spec in policies if pk == governed_by and spec.containment.cordon_nodes), None)
    covering = [(spec, spec) for _, spec in policies if case.target.namespace in spec.target_namespaces]
    known = case.labels or {}
    if case.labels is None and any(spec.target_labels for spec, _ in covering):
        return Judgement(
            Verdict.UNKNOWN, reasons=("The workload is gone, and its labels were not written down.",),
            limits=("targetLabels",),
        )  # fmt: skip
    return select(covering, case.target.namespace, known)
