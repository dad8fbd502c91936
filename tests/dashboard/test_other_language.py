"""The dashboard in another language: a catalogue of all that Python says, made here, is found on the pages and sockets.

Each message is put into brackets, which nothing else uses; so what stands outside of them was not translated."""

from __future__ import annotations

import html
import json
import re
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation
from pytest_django import Settings

from healing.dashboard import probes
from healing.detection import heartbeat
from healing.lifecycle import Phase
from healing.models import HealingEvent, LlmCall, LlmCallState
from tests import stored
from tests.dashboard import cases, story
from tests.dashboard.english import Message, Source
from tests.dashboard.socket import socket
from tests.dashboard.test_translatable import MODULES, PROJECT

Told = dict[str, HealingEvent]

#: Three forms, so that none is English by chance.
_PLURAL = "nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);"
_BRACKETS = re.compile(r"⟦[^⟦⟧]*⟧")
_HOLE = re.compile(r"%\(\w+\)[sd]|%%")
_LONG_ENOUGH = re.compile(r"(?:[^\W\d_]+\W+){3,}")


def messages() -> set[Message]:
    """All that the dashboard's Python says, and the names of choices."""
    modules = [*MODULES, *(PROJECT / "healing/models").glob("*.py"), PROJECT / "knowledge/models.py"]
    return {message for path in modules for message in Source(path.read_text(encoding="utf-8")).messages()}


def catalogue(found: set[Message]) -> bytes:
    """A compiled catalogue (GNU's format for .mo), sorted as it has to be."""
    pairs = {"": f"Content-Type: text/plain; charset=UTF-8\nPlural-Forms: {_PLURAL}\n"}
    # With another plural or none it is one entry: of two, the one with a plural serves both.
    for message in sorted(found, key=lambda message: bool(message.plural)):
        key = f"{message.context}\4{message.text}" if message.context else message.text
        if message.plural:
            forms = (message.text, message.plural, message.plural)
            pairs[f"{key}\0{message.plural}"] = "\0".join(f"⟦{n}:{form}⟧" for n, form in enumerate(forms))
        else:
            pairs[key] = f"⟦{message.text}⟧"
    entries = sorted((key.encode(), value.encode()) for key, value in pairs.items())
    data, table = b"", []
    start = 28 + 16 * len(entries)
    for column in (0, 1):
        for entry in entries:
            table.append(struct.pack("<II", len(entry[column]), start + len(data)))
            data += entry[column] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(entries), 28, 28 + 8 * len(entries), 0, 28)
    return head + b"".join(table) + data


@pytest.fixture
def polish(settings: Settings, tmp_path: Path) -> Iterator[set[Message]]:
    """Polish is shipped."""
    found = messages()
    folder = tmp_path / "pl" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "django.mo").write_bytes(catalogue(found))
    settings.LOCALE_PATHS = [tmp_path]
    settings.LANGUAGES = [("en", "English"), ("pl", "Polski")]
    yield found
    cache.clear()


def outside(text: str) -> str:
    """What is in no brackets."""
    text = html.unescape(text)
    while (shorter := _BRACKETS.sub(" ", text)) != text:
        text = shorter
    return text


def shown(response: HttpResponse) -> str:
    """What a reader sees of it."""
    text = response.content.decode()
    return json.dumps(response.json(), ensure_ascii=False) if "json" in response.headers["Content-Type"] else text  # type: ignore[attr-defined]  # of the test client


def left_english(text: str, found: set[Message]) -> list[str]:
    """Pieces of messages, of at least three words, that a page shows outside of brackets."""
    rest = outside(text)
    pieces = {
        piece.strip()
        for message in found
        for form in (message.text, message.plural)
        for piece in _HOLE.split(form)
        if _LONG_ENOUGH.search(piece)
    }
    return sorted(piece for piece in pieces if piece in rest)


def test_what_was_left_in_english_is_seen() -> None:
    found = {Message("%(name)s has it in hand; nothing is for you to do."), Message("Trouble in %(names)s.")}
    said = "bob has it in hand; nothing is for you to do."
    assert left_english(f"<p>⟦{said}⟧ ⟦⟦Trouble⟧ in x⟧</p>", found) == []
    assert left_english(f"<p>⟦Trouble in x.⟧ {said}</p>", found) == ["has it in hand; nothing is for you to do."]


@pytest.fixture
def everything(told: Told, settings: Settings) -> Told:
    """Warnings, an opinion of a model and a watcher that lags stand beside the events."""
    cache.clear()
    now = timezone.now()
    stored.warning(
        at=now, slope_per_second=1e5, confidence=0.93, looks=9, evidence={"samples": 60, "spanSeconds": 3600},
        message="Memory grows.",
    )  # fmt: skip
    LlmCall.objects.create(
        event=told["healed"], model="qwen", prompt="p", answer="{}", state=LlmCallState.USED, seconds=1.2,
        prompt_tokens=900, completion_tokens=80,
    )  # fmt: skip
    heartbeat.write(
        "default", heartbeat.Heartbeat(now.isoformat(), "me", True, objects=12, synced=True, lag_seconds=0.4)
    )
    return told


def pages(told: Told) -> list[str]:
    plain = ("now", "history", "map", "insight", "warnings", "knowledge", "knowledge-topics", "knowledge-learned",
             "policies", "tokens", "halt", "approvals", "knowledge-note-new")  # fmt: skip
    policy = told["healed"].policy
    assert policy is not None
    return [
        *(reverse(f"dashboard:{name}") for name in plain),
        *(reverse("dashboard:event", args=[event.name]) for event in told.values()),
        *(reverse("dashboard:postmortem", args=[told[name].name]) for name in ("healed", "escalated", "waiting")),
        reverse("dashboard:policy", args=[policy.pk]),
        f"{reverse('dashboard:insight')}?days=soon",
        f"{reverse('dashboard:palette')}?text=orders",
    ]


def test_pages_come_in_the_language_that_is_asked_for(
    client: Client, alice: User, everything: Told, polish: set[Message]
) -> None:
    alice.is_superuser = True
    alice.save()
    client.force_login(alice)
    untranslated = {}
    for url in pages(everything):
        response = client.get(url, headers={"accept-language": "pl,en;q=0.5"})
        text = shown(response)
        assert response.status_code in (HTTPStatus.OK, HTTPStatus.UNPROCESSABLE_ENTITY), url
        assert response.headers["Content-Language"] == "pl"
        assert "__proxy__" not in text, url
        # A value that was not filled in, or a plural that was asked for as if it had none.
        assert not re.search(r"%\(\w+\)", text), url
        assert "⟦" in text, url
        if found := left_english(text, polish):
            untranslated[url] = found
    assert untranslated == {}


def test_the_story_is_a_whole_sentence_in_the_other_language(
    browser: Client, everything: Told, polish: set[Message]
) -> None:
    url = reverse("dashboard:event", args=[everything["healed"].name])
    text = html.unescape(browser.get(url, headers={"accept-language": "pl"}).content.decode())
    assert "⟦⟦Deployment shop/payments ⟦keeps crashing⟧⟧: " in text
    assert "⟦⟦“Roll payments back to revision 12”⟧ healed it after alice approved it, verified after ⟦" in text
    url = reverse("dashboard:event", args=[everything["waiting"].name])
    text = html.unescape(browser.get(url, headers={"accept-language": "pl"}).content.decode())
    assert re.search(r"⟦[012]:Touches \d+ pods?\.⟧", text)


def test_what_only_happens_sometimes_is_translated_too(browser: Client, everything: Told, polish: set[Message]) -> None:
    event = everything["waiting"]
    approval = event.approvals.get()
    polish_please = {"headers": {"accept-language": "pl"}, "follow": True}

    def post(url_name: str, *args: object, **values: str) -> str:
        response = browser.post(reverse(f"dashboard:{url_name}", args=args), values, **polish_please)  # type: ignore[arg-type]
        return html.unescape(response.content.decode())

    assert "⟦A comment can have 2000 characters at most; yours has 2001.⟧" in post(
        "reject", event.name, approval.pk, comment="x" * 2001
    )
    assert "⟦Choose for how long.⟧" in post("hold", event.name, approval.pk, minutes="soon", comment="wait")
    assert "⟦1:Held for 22 minutes." in post("hold", event.name, approval.pk, minutes="22", comment="wait")
    assert "⟦The hold is over. The clock goes on.⟧" in post("end-hold", event.name, approval.pk)
    assert "⟦Rejected. Nothing is done to the workload.⟧" in post("reject", event.name, approval.pk, comment="no")
    # What is stored is data, and stays as it was written.
    event.refresh_from_db()
    told = [*event.timeline.values_list("message", flat=True), event.outcome_reason]
    assert not any("⟦" in text for text in told)


def test_what_a_probe_found_is_said_in_each_readers_language(
    polish: set[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.clear()
    monkeypatch.setattr(probes, "addresses", lambda: {"Qdrant": "http://127.0.0.1:9/readyz"})
    with translation.override("pl"):
        probes.ask_all()
    assert list(probes.read().values()) == ["cannot be reached: nothing answers at its address"]
    with translation.override("pl"):
        assert list(probes.read().values()) == ["⟦cannot be reached: nothing answers at its address⟧"]


def test_the_api_answers_in_english(browser: Client, everything: Told, polish: set[Message]) -> None:
    for path in ("health", "insight", f"events/{everything['healed'].name}", "events?limit=2"):
        response = browser.get(f"/api/v1/{path}", headers={"accept-language": "pl"})
        assert response.status_code == HTTPStatus.OK, path
        assert "⟦" not in response.content.decode()
    refused = browser.get("/api/v1/insight?from=never", headers={"accept-language": "pl"})
    assert "'from' is a day like 2031-05-04." in refused.json()["detail"]


@pytest.mark.django_db(transaction=True)
async def test_sockets_speak_the_language_of_their_page(transactional_db: None, polish: set[Message]) -> None:
    vera = await sync_to_async(story.viewer)()
    make, advance = sync_to_async(story.open_case), sync_to_async(story.step)
    now = datetime.now(UTC)
    case = cases.bad_rollout(now)
    async with socket("/ws/now/", vera, language="pl") as page, socket("/ws/now/", vera, language="de") as other:
        await page.hello(rows={}, frame={})
        await other.hello(rows={}, frame={})
        event = await make(case, now)
        row = f'data-row="{event.name}"'
        text = html.unescape(await page.until(lambda text: row in text))
        assert "⟦keeps crashing⟧" in text
        assert "⟦" not in await other.until(lambda text: row in text)
        assert "⟦" in html.unescape(page.everything).split('id="frame-parts"', 1)[1]
        assert "⟦" not in other.everything
        async with socket(f"/ws/events/{event.name}/", vera, language="pl") as about:
            await about.hello(seq=0, regions={}, frame={})
            await about.until(lambda text: "⟦⟦Deployment shop/orders" in text)
            assert event.phase == Phase.PENDING
            await advance(event, story.Script(case))
            await about.until(lambda text: "It is contained as far as it can be" in text)
            assert left_english(about.everything, polish) == []


@pytest.mark.parametrize("language", ["de", "de-AT,de;q=0.9,fr;q=0.8", "zz", "*"])
def test_a_language_that_is_not_shipped_gives_english_pages_and_no_mixture(
    client: Client, alice: User, language: str
) -> None:
    """Django's own catalogues have German: words of forms and dates must not come from them."""
    for url in (reverse("login"), reverse("dashboard:now"), "/admin/"):
        response = client.get(url, headers={"accept-language": language}, follow=True)
        text = response.content.decode()
        assert response.headers["Content-Language"] == "en"
        assert '<html lang="en' in text
        assert "Passwort" not in text
        assert "Mot de passe" not in text
        if url != reverse("login"):
            client.force_login(alice)


def test_every_shipped_language_has_its_catalogue(settings: Settings) -> None:
    for code, _name in settings.LANGUAGES:
        made = [Path(path) / code / "LC_MESSAGES" / "django.mo" for path in settings.LOCALE_PATHS]
        assert code == "en" or any(path.is_file() for path in made), f"{code}: run manage.py compilemessages"
