"""What an attempt of ours has left behind is no former state to go back to."""

from __future__ import annotations

from datetime import timedelta

import pytest

from healing.actions.base import CannotPlan
from healing.findings import Finding
from healing.lifecycle import Phase
from tests.actions import events
from tests.actions.live import Live, Namespace
from tests.metacognition.test_fresh_starts import case

pytestmark = pytest.mark.django_db


def test_a_revision_that_came_while_the_fault_was_healed_is_not_good(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment(env=[{"name": "TRIED", "value": "no"}]))
    of = case(live, ref, Finding("LivenessProbeMisconfigured", ref, 0.9, ""))
    # Kubernetes tells time in whole seconds.
    events.put(of.event, Phase.PLANNING, detected_at=of.event.detected_at - timedelta(seconds=1))
    for value in ("yes", "no"):  # done, and put back
        ns.patch_container(ref, env=[{"name": "TRIED", "value": value}])
        ns.rolled_out(ref)
    former = of.last_good(of.workload()).revision.template["spec"]["containers"][0]["env"]
    assert former == [{"name": "TRIED", "value": "yes"}], "of the first attempt nobody knows better"
    events.put(of.event, Phase.PLANNING, attempt=2)
    with pytest.raises(CannotPlan, match="made while this fault was being healed"):
        of.last_good(of.workload())
