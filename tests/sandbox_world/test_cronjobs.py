"""CronJobs and their schedules."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from healing.sandbox.ports import Exit, Object
from healing.sandbox.world.cron import Schedule
from tests.sandbox_world.lab import NAMESPACE, Lab
from tests.sandbox_world.programs import Program
from tests.sandbox_world.test_workloads import in_lab

RESOURCE = "cronjobs.batch"


@pytest.mark.parametrize(
    ("schedule", "after", "wanted"),
    [
        ("*/5 * * * *", "2026-11-23T10:03:20", "2026-11-23T10:05:00"),
        ("0 9-17/4 * * mon-fri", "2026-11-21T12:00:00", "2026-11-23T09:00:00"),
        ("30 2 1 * *", "2026-11-23T00:00:00", "2026-12-01T02:30:00"),
        ("0 0 13 * 5", "2026-11-23T00:00:00", "2026-11-27T00:00:00"),
        ("@hourly", "2026-11-23T10:00:00", "2026-11-23T11:00:00"),
        ("0 0 29 2 *", "2026-11-23T00:00:00", "2028-02-29T00:00:00"),
        ("15,45 0 * jan 7", "2026-11-23T00:00:00", "2027-01-03T00:15:00"),
    ],
)
def test_schedules(schedule: str, after: str, wanted: str) -> None:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC).timestamp()
    found = Schedule.parse(schedule).next_after(moment)
    assert found is not None
    assert datetime.fromtimestamp(found, UTC).strftime("%Y-%m-%dT%H:%M:%S") == wanted


@pytest.mark.parametrize("schedule", ["* * * *", "60 * * * *", "*/0 * * * *", "5-1 * * * *", "x * * * *"])
def test_wrong_schedules_are_refused(schedule: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Schedule.parse(schedule)


def test_a_day_that_never_comes_is_given_up() -> None:
    assert Schedule.parse("0 0 31 2 *").next_after(0.0) is None


def cron(image: str = "busybox:1.36", **spec: object) -> Object:
    container = {"name": "job", "image": image}
    pod = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 1}
    template = {"spec": {"backoffLimit": 0, "template": {"spec": pod}}}
    return {"metadata": {"name": "tick"}, "spec": {"schedule": "* * * * *", "jobTemplate": template, **spec}}


def jobs(lab: Lab) -> list[Object]:
    return list(lab.cluster.list("jobs.batch", NAMESPACE))


def test_jobs_are_made_on_time_and_old_ones_forgotten() -> None:
    async def scene(lab: Lab) -> None:
        lab.create(RESOURCE, cron())
        await lab.sleep(330)
        assert len(jobs(lab)) == 3, "three successes are kept"
        assert len(lab.events("SuccessfulCreate", "CronJob")) >= 5
        status = lab.get(RESOURCE, "tick")["status"]
        assert {"lastScheduleTime", "lastSuccessfulTime"} <= status.keys()
        assert "active" not in status
        assert lab.events("SawCompletedJob")
        lab.mutate(RESOURCE, "tick", lambda item: item["spec"].update(suspend=True))
        before = {j["metadata"]["name"] for j in jobs(lab)}
        await lab.sleep(130)
        assert {j["metadata"]["name"] for j in jobs(lab)} == before

    in_lab(scene)


def test_a_failed_job_is_followed_by_the_next_one() -> None:
    async def scene(lab: Lab) -> None:
        lab.runtime.programs["busybox:1.36"] = Program(lives_seconds=1.0, exit=Exit(1, "Error"))
        lab.create(RESOURCE, cron())
        await lab.sleep(200)
        assert len(jobs(lab)) == 1, "one failure is kept"
        assert any("condition: Failed" in e["message"] for e in lab.events("SawCompletedJob"))

    in_lab(scene)


@pytest.mark.parametrize(("policy", "running"), [("Forbid", 1), ("Replace", 1), ("Allow", 3)])
def test_what_becomes_of_a_job_that_is_still_running(policy: str, running: int) -> None:
    async def scene(lab: Lab) -> None:
        lab.create(RESOURCE, cron("registry.local/web:1.0", concurrencyPolicy=policy))
        await lab.sleep(185)
        assert len(jobs(lab)) == running
        assert len(lab.get(RESOURCE, "tick")["status"]["active"]) == running
        assert bool(lab.events("JobAlreadyActive")) == (policy == "Forbid")

    in_lab(scene)
