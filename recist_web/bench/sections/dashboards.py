"""Many open dashboards at once: from the commit of a change to its arrival at each of them.

Real sockets of a real web process, compressed as a browser asks for it; people of three roles, some with filters. The
clients run here and share the machine with the server, so the numbers hold their work too. What a browser adds is the
drawing of a frame.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.db.models import F
from django.test.utils import override_settings
from websockets.asyncio.client import connect
from websockets.typing import Origin

from healing.dispatch import DASHBOARD_GROUP
from healing.lifecycle import Phase, Status
from healing.models import HealingEvent, PhaseRun, TimelineEntry
from recist_web.bench.section import Bench, CannotMeasureError, Number, Result, p50_p95, quantile
from recist_web.people import ensure_demo_people
from recist_web.supervisor import tree as processes
from recist_web.supervisor.database import keep_in, migrate
from recist_web.supervisor.errors import CannotStartError
from recist_web.supervisor.launch import HOST, Tree
from recist_web.supervisor.ports import free_port

TITLE = "Many open dashboards"
NAMESPACES = 8
#: One page in so many has a filter.
FILTERED_EVERY = 5
_CONNECTING_AT_ONCE = 50
#: The tree speaks plain HTTP, whatever holds for this process.
_COOKIE = "sessionid"
_START_SECONDS, _SETTLE_SECONDS = 60.0, 30.0
_MARK = re.compile(r"mark-(\d+)-(\d+)")


@dataclass(slots=True)
class Watched:
    """What one open page has heard: the newest mark of each event, and how late each mark was, in seconds."""

    namespace: str
    newest: dict[int, int] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)


def run(bench: Bench) -> Result:
    """Open the pages, change events at a steady rate, and note when each page hears of it."""
    pages, events = bench.pick(full=500, smoke=10), bench.pick(full=80, smoke=8)
    rate, seconds = bench.pick(full=20, smoke=10), bench.pick(full=30.0, smoke=2.0)
    result = Result(
        parameters={
            "pages": pages,
            "filtered_one_in": FILTERED_EVERY,
            "open_events": events,
            "changes_a_second": rate,
            "seconds": seconds,
        }
    )
    try:
        with Tree(bench.directory / "var", free_port(), bench.say) as tree:
            tree.start_valkey()
            connections.close_all()
            keep_in(tree.var)
            migrate()
            with override_settings(SECRET_KEY=tree.environment["SECRET_KEY"]):
                ensure_demo_people()
                cookies = _sign_in(pages)
                made = _events(events)
                _start_web(tree)
                watched, connected_seconds = asyncio.run(
                    _measure(tree, cookies, made, rate=rate, seconds=seconds, result=result)
                )
            connections.close_all()
    except CannotStartError as error:
        raise CannotMeasureError(str(error)) from error
    late = [each for page in watched for each in page.late]
    worst = [quantile(page.late, 0.95) for page in watched if page.late]
    result.numbers = [
        Number("all pages connected", connected_seconds, "s"),
        *p50_p95("commit to page", late, p95_at_most=1.0),
        Number("commit to page, slowest", max(late, default=None), "s"),
        Number("p95 of the worst page", max((w for w in worst if w is not None), default=None), "s"),
    ]
    return result


def _start_web(tree: Tree) -> None:
    web = processes.product(tree.environment, host=HOST, port=tree.port)[0]
    tree.supervisor.start(web)
    deadline = time.monotonic() + _START_SECONDS
    while not tree.is_ready():
        tree.supervisor.look_after()
        if time.monotonic() > deadline:
            raise CannotMeasureError(f"The web process was not ready within {_START_SECONDS:g} s.")
        time.sleep(0.1)


def _sign_in(pages: int) -> list[str]:
    """A session of its own for each page, dealt out among the demo's people; the cookies."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    people = list(User.objects.filter(is_active=True))
    found = []
    with transaction.atomic():
        for number in range(pages):
            person, session = people[number % len(people)], store()
            session[SESSION_KEY] = str(person.pk)
            session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
            session[HASH_SESSION_KEY] = person.get_session_auth_hash()
            session.create()
            found.append(f"{_COOKIE}={session.session_key}")
    return found


def _events(count: int) -> list[HealingEvent]:
    """Open events that no worker will touch: there is none."""
    now = datetime.now(UTC)
    made = HealingEvent.objects.bulk_create(
        HealingEvent(
            cluster=settings.CLUSTER_NAME,
            fingerprint=uuid.uuid4().hex,
            target_kind="Deployment",
            target_namespace=f"team-{number % NAMESPACES}",
            target_name=f"service-{number}",
            symptom="CrashLoopBackOff",
            severity="high",
            source="watch",
            phase=Phase.DIAGNOSING,
            status=Status.RUNNING,
            detected_at=now - timedelta(seconds=number),
            last_seen_at=now,
            lease_expires_at=now + timedelta(hours=1),
        )
        for number in range(count)
    )
    PhaseRun.objects.bulk_create(PhaseRun(event=e, phase=Phase.DIAGNOSING, number=1, started_at=now) for e in made)
    return made


def _change(event: HealingEvent, index: int, number: int) -> float:
    """As the engine commits a timeline entry; the moment of the commit."""
    with transaction.atomic():
        HealingEvent.objects.filter(pk=event.pk).update(seq=F("seq") + 1)
        event.seq += 1
        TimelineEntry.objects.create(
            event_id=event.pk,
            seq=event.seq,
            at=datetime.now(UTC),
            phase=Phase.DIAGNOSING,
            kind="evidence",
            message=f"mark-{index}-{number} Read status, events, logs, history and 3 metrics",
        )
    return time.monotonic()


async def _measure(
    tree: Tree, cookies: Sequence[str], made: Sequence[HealingEvent], *, rate: int, seconds: float, result: Result
) -> tuple[list[Watched], float]:
    committed: dict[int, float] = {}
    started = time.monotonic()
    gate = asyncio.Semaphore(_CONNECTING_AT_ONCE)
    ready: asyncio.Queue[None] = asyncio.Queue()
    watched = [
        Watched(f"team-{number % NAMESPACES}" if number % FILTERED_EVERY == 0 else "") for number in range(len(cookies))
    ]
    readers = [
        asyncio.create_task(_read(tree.port, cookie, page, committed, gate, ready))
        for cookie, page in zip(cookies, watched, strict=True)
    ]
    try:
        deadline = started + _START_SECONDS + len(cookies) / 5
        while ready.qsize() < len(readers):  # each puts one in when its first message has come
            if any(reader.done() for reader in readers) or time.monotonic() > deadline:
                ended = [str(r.exception() or "closed by the server") for r in readers if r.done()]
                why = ended[0] if ended else "no answer in time"
                raise CannotMeasureError(f"Only {ready.qsize()} of {len(readers)} pages are connected: {why}.")
            await asyncio.sleep(0.1)
        connected_seconds = time.monotonic() - started
        newest = await _change_all(tree, made, committed, rate=rate, seconds=seconds)
        await _settle(watched, made, newest)
        result.failures = _missing(watched, made, newest)
    finally:
        for reader in readers:
            reader.cancel()
        outcomes = await asyncio.gather(*readers, return_exceptions=True)
    broken = [str(error) for error in outcomes if isinstance(error, Exception)]
    if broken:
        result.failures.append(f"{len(broken)} pages lost their connection: {broken[0]}")
    return watched, connected_seconds


async def _read(
    port: int,
    cookie: str,
    page: Watched,
    committed: dict[int, float],
    gate: asyncio.Semaphore,
    ready: asyncio.Queue[None],
) -> None:
    address = f"ws://{HOST}:{port}/ws/now/" + (f"?namespace={page.namespace}" if page.namespace else "")
    async with gate:
        socket = await connect(
            address,
            origin=Origin(f"http://{HOST}:{port}"),
            additional_headers={"Cookie": cookie},
            max_size=None,
            proxy=None,
        )
    async with socket:
        await socket.send(json.dumps({"rows": {}, "frame": {}}))
        first = True
        async for message in socket:
            now = time.monotonic()
            for index, number in _MARK.findall(str(message)):
                mark = int(number)
                if page.newest.get(int(index), -1) < mark:
                    page.newest[int(index)] = mark
                    page.late.append(now - committed.get(mark, now))
            if first:
                first = False
                ready.put_nowait(None)


async def _change_all(
    tree: Tree, made: Sequence[HealingEvent], committed: dict[int, float], *, rate: int, seconds: float
) -> dict[int, int]:
    """Change events one after the other; the newest mark of each."""
    layers: Any = settings.CHANNEL_LAYERS
    prefix = layers["default"]["CONFIG"]["prefix"]
    layer = RedisPubSubChannelLayer(hosts=[tree.environment["REDIS_URL"]], prefix=prefix)
    newest: dict[int, int] = {}
    began = time.monotonic()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        index = number % len(made)
        committed[number] = await asyncio.to_thread(_change, made[index], index, number)
        newest[index] = number
        await layer.group_send(DASHBOARD_GROUP, {"type": "event.changed", "event": made[index].name, "seq": number})
    await layer.flush()
    return newest


async def _settle(watched: Sequence[Watched], made: Sequence[HealingEvent], newest: dict[int, int]) -> None:
    deadline = time.monotonic() + _SETTLE_SECONDS
    while _missing(watched, made, newest) and time.monotonic() < deadline:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.2)


def _missing(watched: Sequence[Watched], made: Sequence[HealingEvent], newest: dict[int, int]) -> list[str]:
    """Pages that do not show the last state of each event they should show."""
    behind = 0
    for page in watched:
        for index, mark in newest.items():
            is_shown = not page.namespace or made[index].target_namespace == page.namespace
            behind += is_shown and page.newest.get(index, -1) < mark
    return [f"{behind} last changes never came to a page that shows them"] if behind else []
