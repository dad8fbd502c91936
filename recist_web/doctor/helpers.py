"""What helps and is not vital: memory, language model, messages to people, single sign-on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
from django.conf import settings
from django.db import DatabaseError

from healing.models import Policy
from healing.notifications import channels
from healing.ports import get_ports
from healing.ports.errors import SourceError
from healing.ports.language_model import ModelChoice, Question
from healing.safe_http import why_refused
from knowledge import embeddings
from knowledge.models import KnowledgeEntry
from knowledge.qdrant import collection_name
from recist_web.doctor.report import Finding, error, ok, warning

_SECONDS = 5.0


def memory() -> Iterator[Finding]:
    """Asked over HTTP: the library would take seconds to load, and the embedded one belongs to the worker."""
    if settings.QDRANT_PATH:
        yield ok("memory", f"Qdrant is embedded in the knowledge worker ({settings.QDRANT_PATH})")
    else:
        yield from _qdrant()
    waiting = KnowledgeEntry.objects.filter(indexed_at__isnull=True, merged_into__isnull=True).count()
    if waiting > 256:
        yield warning("memory", f"{waiting} entries wait for the index.", "Do the knowledge worker and Qdrant run?")


def _qdrant() -> Iterator[Finding]:
    base = settings.QDRANT_URL.rstrip("/").replace(":6334", ":6333")
    headers = {"api-key": settings.QDRANT_API_KEY} if settings.QDRANT_API_KEY else {}
    advice = "Is QDRANT_URL right, and QDRANT_API_KEY? Without it, recall searches the database, more slowly."
    with httpx.Client(base_url=base, headers=headers, timeout=_SECONDS, trust_env=False) as client:
        try:
            answer = client.get("/collections")
        except httpx.HTTPError as problem:
            yield error("memory", f"Qdrant cannot be reached: {type(problem).__name__}.", advice)
            return
        if answer.status_code != 200:
            yield error("memory", f"Qdrant answers {answer.status_code}.", advice)
            return
        names = {entry["name"] for entry in answer.json()["result"]["collections"]}
        embedder = embeddings.default_embedder()
        wanted = collection_name(embedder.name, embedder.dims)
        if wanted not in names:
            others = sorted(name for name in names if name.startswith("recist-"))
            if others:
                yield warning(
                    "memory",
                    f"Qdrant has {', '.join(others[:3])}, not {wanted}: entries are of another model.",
                    "Run manage.py rebuild_memory.",
                )
            else:
                yield ok("memory", "Qdrant answers; nothing is remembered yet")
            return
        found: Any = client.get(f"/collections/{wanted}").json()["result"]["config"]["params"]["vectors"]["size"]
        if found != embedder.dims:
            yield error(
                "memory", f"{wanted} holds vectors of {found} numbers, not {embedder.dims}.", "Delete it, then rebuild."
            )
        else:
            yield ok("memory", f"Qdrant answers; {wanted} is there")


def embedding() -> Iterator[Finding]:
    embedder = embeddings.default_embedder()
    vectors = embedder.embed(["a pod restarts again and again"])
    if settings.EMBEDDING_MODEL in ("hybrid", "wordllama") and embedder.name == "hashing":
        yield warning("embeddings", "wordllama does not load: words are hashed.", "Install it again (uv sync).")
    else:
        yield ok("embeddings", f"{embedder.name} gives {vectors.shape[1]} numbers")


def language_model(*, ask: bool) -> Iterator[Finding]:
    model = settings.LLM_MODEL
    if not model:
        yield ok("language model", "none is configured: rules and memory do the work")
        return
    if settings.LLM_BASE_URL:
        refused = why_refused(settings.LLM_BASE_URL, settings.LLM_ALLOWED)
        if refused:
            yield error("language model", f"LLM_BASE_URL is not called: {refused}.", "Correct LLM_BASE_URL.")
            return
    elif not settings.LLM_API_KEY and not model.startswith("ollama"):
        yield warning("language model", f"{model} without LLM_API_KEY.", "Set it, unless policies name their Secrets.")
    if not ask:
        yield ok("language model", f"{model} is configured; --ask-llm asks it")
        return
    language = get_ports(settings.CLUSTER_NAME).language_model
    assert language is not None
    schema = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
    question = Question("Answer in JSON.", 'Answer {"word": "ready"}.', schema, timeout_seconds=15.0, max_tokens=50)
    try:
        answer = language.ask(ModelChoice(model, settings.LLM_API_KEY or "", settings.LLM_BASE_URL or ""), question)
    except SourceError as problem:
        yield error("language model", str(problem), "See to LLM_MODEL, LLM_API_KEY and LLM_BASE_URL.")
        return
    cost = f", {answer.cost_usd:.5f} USD" if answer.cost_usd is not None else ""
    yield ok("language model", f"{model} answered in {answer.seconds:.1f} s{cost}")


def notifications() -> Iterator[Finding]:
    found = channels.of_installation()
    try:
        policies = Policy.usable()
    except DatabaseError:
        policies = []
        yield warning("notifications", "Those of policies cannot be read: the database does not answer.", "See to it.")
    for policy, spec in policies:
        found += channels.of_spec(spec, policy.cluster, policy.namespace)
    found = channels.joined(found)
    if not found:
        yield warning(
            "notifications", "There is no channel: people learn of approvals only from the dashboard.",
            "docs/notifications.md says how to add one.",
        )  # fmt: skip
        return
    for channel in found:
        yield _channel(channel)


def _channel(channel: channels.Channel) -> Finding:
    part = f"notifications: {channel.type}"
    try:
        for field in ("key", "url"):
            if field in channel.config:
                value = channels.secret_of(channel.config[field])
                refused = why_refused(value, settings.NOTIFICATION_ALLOWED) if field == "url" else ""
                if refused:
                    return error(part, f"Its address is not called: {refused}.", "Correct the address.")
    except channels.NoSecret as problem:
        return error(part, str(problem), "Create the Secret, or let it be read (docs/notifications.md).")
    if channel.type == "email" and not settings.EMAIL_IS_SET:
        return error(part, "SMTP_URL is not set: no e-mail can be sent.", "Set SMTP_URL.")
    return ok(part, f"hears of {', '.join(sorted(channel.when))}")


def single_sign_on() -> Iterator[Finding]:
    values = settings.ENVIRONMENT.values
    given = [name for name in ("OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET") if getattr(values, name)]
    if not given:
        yield ok("single sign-on", "not configured; local accounts sign in")
        return
    if not settings.OIDC_IS_SET:
        yield error("single sign-on", f"Only {', '.join(given)} are set.", "Set all three of OIDC_ISSUER, _CLIENT_*.")
        return
    url = f"{str(values.OIDC_ISSUER).rstrip('/')}/.well-known/openid-configuration"
    try:
        answer = httpx.get(url, timeout=_SECONDS, follow_redirects=False)
        document = answer.json() if answer.status_code == 200 else {}
    except (httpx.HTTPError, ValueError) as problem:
        yield error("single sign-on", f"{url}: {type(problem).__name__}.", "Is OIDC_ISSUER right and reachable?")
        return
    if not document:
        yield error("single sign-on", f"{url} answers {answer.status_code}.", "Is OIDC_ISSUER right?")
    elif str(document.get("issuer", "")).rstrip("/") != str(values.OIDC_ISSUER).rstrip("/"):
        yield error(
            "single sign-on", f"The provider calls itself {document.get('issuer')}.", "Set OIDC_ISSUER to exactly that."
        )
    else:
        yield ok("single sign-on", "the provider's discovery document is there")
