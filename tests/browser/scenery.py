"""A shop to look at: what runs for the map, a month of ended events for the Insight page, warnings that are open."""

from __future__ import annotations

import random
import threading
from datetime import datetime, timedelta

from healing.detection.surveying import Surveyor
from healing.lifecycle import Outcome
from healing.models import EventFigures, HealingEvent, Involvement, WarningKind
from healing.ports.cluster import Object
from tests import stored
from tests.dashboard import test_map as things

#: Namespace, workload, replicas, which of them are ready, whom it calls.
WORKLOADS = (
    ("shop", "web", 6, 6, ("checkout", "catalogue", "search", "recommender")),
    ("shop", "checkout", 4, 4, ("payments.bank", "stock", "orders")),
    ("shop", "catalogue", 3, 3, ("stock",)),
    ("shop", "search", 3, 2, ()),
    ("shop", "payments", 3, 3, ()),
    ("shop", "stock", 2, 2, ()),
    ("shop", "mail", 1, 1, ()),
    ("shop", "orders", 3, 0, ("stock",)),
    ("shop", "recommender", 2, 1, ()),
    ("bank", "payments", 4, 4, ("ledger",)),
    ("bank", "ledger", 3, 3, ()),
    ("bank", "reports", 1, 1, ("ledger",)),
    ("media", "transcoder", 8, 8, ("thumbs",)),
    ("media", "thumbs", 5, 5, ()),
    ("observability", "collector", 3, 3, ()),
    ("observability", "gateway", 2, 2, ("collector",)),
)

#: Which ConfigMaps all variables of a workload come from.
READS = {"web": ("common", "web-texts"), "checkout": ("common",), "payments": ("common", "banks"), "mail": ("banks",)}


#: Kinds of workloads in each area of a large namespace.
PARTS = (
    "gateway api rules slots sessions reserve worker cache db audit import export mailer planner report scorer sync"
    " tracker views webhooks"
).split()


def map_of_a_shop(cluster: str, *, is_large: bool = False) -> None:
    """What the watcher would tell the dashboard; with a namespace of 300 workloads and 3,000 pods beside it."""
    objects = a_market() if is_large else []
    objects += [things.node("node-a"), things.node("node-b"), things.node("node-c", cordoned=True)]
    for space, name, replicas, ready, calls in WORKLOADS:
        env = {f"{callee.partition('.')[0].upper()}_URL": f"http://{callee}:80" for callee in calls}
        made = things.deployment(space, name, replicas, env)
        sources = [{"configMapRef": {"name": config}} for config in READS.get(name, ())]
        made["spec"]["template"]["spec"]["containers"][0]["envFrom"] = sources
        objects += [made, things.replicaset(space, name)]
        objects.append(things.service(space, name))
        objects += [
            things.pod(space, name, number, ready=number < ready, node=f"node-{'abc'[number % 3]}")
            for number in range(replicas)
        ]
    Surveyor(cluster, things.world(*objects), threading.Event()).look()


def a_market(workloads: int = 300, pods: int = 10, *, is_well: bool = False) -> list[Object]:
    """One namespace as large companies have them: areas of about twenty workloads behind a gateway each, databases of
    their own, and a few services that everybody calls. Some are wrong; one has an isolated pod."""
    dice = random.Random(11)
    areas = "basket billing catalog content delivery fraud identity loyalty media orders pricing returns search".split()
    areas += ["stock", "support"]
    shared = ("auth", "feature-flags", "events")
    names = [
        f"{areas[n % len(areas)]}-{PARTS[n // len(areas) % len(PARTS)]}" for n in range(workloads - len(shared) - 1)
    ]
    calls: dict[str, set[str]] = {name: set() for name in (*names, *shared)}
    calls["edge"] = {name for name in names if name.endswith("-gateway")}
    for name in names:
        area, _, part = name.partition("-")
        mine = [other for other in names if other.startswith(f"{area}-") and other != name]
        if part == "gateway":
            calls[name] |= set(dice.sample(mine, min(8, len(mine))))
        elif dice.random() < 0.7:
            calls[name].add(dice.choice(mine))
        if dice.random() < 0.4:
            calls[name].add(dice.choice(shared))
        if dice.random() < 0.1:
            calls[name].add(dice.choice(names))
    bad = {"pricing-rules": 0, "delivery-slots": pods - 3, "identity-sessions": pods - 1}
    objects: list[Object] = []
    for name, callees in calls.items():
        env = {f"{callee.upper()}_URL": f"http://{callee}:80" for callee in sorted(callees)}
        ready = bad.get(name, pods) if not is_well else pods
        objects += [things.deployment("market", name, pods, env), things.replicaset("market", name)]
        objects.append(things.service("market", name))
        for number in range(pods):
            made = things.pod("market", name, number, ready=number < ready, node=f"node-{'abc'[number % 3]}")
            if not is_well and name == "stock-reserve" and number == 0:
                made["metadata"] |= {
                    "labels": {"recist.io/quarantine": "he-x"},
                    "annotations": {"recist.io/quarantined-from": f"Deployment/{name}"},
                    "ownerReferences": [],
                }
            objects.append(made)
    return objects


def a_month(now: datetime, cluster: str, count: int = 600) -> None:
    """Ended events, most of them healed, a few slow ones; more of them on two bad days."""
    dice = random.Random(7)
    causes = ("BadRollout", "MemoryLimitTooLow", "ImageNotFound", "ConfigKeyMissing", "NodePressure", "ProbeTooStrict")
    rows = []
    for _ in range(count):
        days = dice.choice((3.2, 3.4, 17.1)) if dice.random() < 0.12 else dice.random() * 30
        detected = now - timedelta(days=days, minutes=dice.random() * 60)
        outcome = dice.choices(list(Outcome), (30, 4, 2, 2, 1))[0]
        phases = [round(min(60.0, dice.lognormvariate(mean, 0.5)), 2) for mean in (0.3, 1.3, 2.2, 0.2)]
        rows.append(
            EventFigures(
                cluster=cluster,
                namespace=dice.choice(("shop", "shop", "bank", "media")),
                cause=dice.choices(causes, (9, 6, 4, 4, 2, 1))[0],
                policy_name=dice.choice(("shop/careful", "shop/careful", "bank/strict")),
                source=dice.choices(("watch", "metrics", "person"), (8, 3, 1))[0],
                outcome=outcome,
                involvement=Involvement.NONE if dice.random() < 0.86 else dice.choice(list(Involvement)),
                acted=outcome != Outcome.RECOVERED,
                detected_at=detected,
                finished_at=detected + timedelta(minutes=2),
                containment_seconds=phases[0],
                diagnosis_seconds=phases[1],
                metacognition_seconds=phases[2],
                knowledge_seconds=phases[3],
                total_seconds=sum(phases),
                waited_seconds=0.0,
                undone=int(dice.random() < 0.05),
                undo_failed=0,
            )
        )
    EventFigures.objects.bulk_create(rows)


def warnings(now: datetime, cluster: str) -> None:
    """Three that are open."""
    mib = 2.0**20
    points = [[(now - timedelta(minutes=60 - n)).timestamp(), (300 + n * 2.6 + n % 3) * mib] for n in range(60)]
    common = {"cluster": cluster, "looks": 9, "at": now}
    stored.warning(
        WarningKind.MEMORY,
        "checkout-1-0002",
        **common,
        workload_kind="Deployment",
        workload_name="checkout",
        message="Memory of checkout-1-0002 grows by 156 MiB an hour and reaches its limit of 512 MiB.",
        level=457 * mib,
        limit=512 * mib,
        slope_per_second=156 * mib / 3600,
        confidence=0.93,
        breach_at=now + timedelta(minutes=21),
        breach_earliest_at=now + timedelta(minutes=17),
        breach_latest_at=now + timedelta(minutes=28),
        evidence={"points": points},
        opened_at=now - timedelta(minutes=12),
    )
    stored.warning(
        WarningKind.VOLUME,
        "ledger-data",
        **common,
        namespace="bank",
        workload_kind="Deployment",
        workload_name="ledger",
        message="The volume ledger-data fills by 1.1 GiB an hour: it is full in about five hours.",
        level=44.6 * 1024 * mib,
        limit=50 * 1024 * mib,
        slope_per_second=1.1 * 1024 * mib / 3600,
        confidence=0.88,
        breach_at=now + timedelta(hours=5),
        breach_earliest_at=now + timedelta(hours=4, minutes=20),
        opened_at=now - timedelta(hours=1),
    )
    stored.warning(
        WarningKind.CERTIFICATE,
        "web-tls",
        **common,
        message="The certificate in Secret shop/web-tls ends in six days.",
        confidence=1.0,
        breach_at=now + timedelta(days=6),
        opened_at=now - timedelta(days=8),
    )


def undoable(event: HealingEvent) -> None:
    """What was done to the cluster can be taken back: the plan of each action stands beside what was there before."""
    for run in event.actions.filter(strategy__isnull=False).select_related("strategy"):
        step = next(step for step in run.strategy.steps if step["action"] == run.action)
        run.pre_state = {**run.pre_state, "plan": step["plan"]}
        run.save(update_fields=["pre_state"])
