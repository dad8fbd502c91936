"""Write an entry. The only way in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.http import HttpRequest

from healing import shared_clock
from healing.audit import chain
from healing.models import AuditEntry
from healing.models.audit_entry import AuditActorKind

log = structlog.get_logger(__name__)

#: Taken in PostgreSQL by whoever appends, until the transaction ends: two writers cannot follow the same entry.
_LOCK = 0x5EC15700

Kind = Literal["person", "token", "system", "rule"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something. ``user_id``: the person's, or of the person whose token it is."""

    kind: Kind
    name: str
    user_id: int | None = None
    address: str = ""

    @classmethod
    def of_request(cls, request: HttpRequest) -> Actor:
        """Who sent the request: by a token if ``request.token`` says so, else the person who is signed in."""
        address = request.META.get("REMOTE_ADDR", "") or ""
        user = getattr(request, "user", None)
        token = getattr(request, "token", None)
        if token is not None:
            return cls("token", str(token), getattr(user, "pk", None), address)
        return cls.of_user(user, address=address) if user is not None else cls("system", "nobody", None, address)

    @classmethod
    def of_user(cls, user: AbstractBaseUser | AnonymousUser, *, address: str = "") -> Actor:
        """A person; ``anonymous`` before somebody has signed in."""
        if isinstance(user, AnonymousUser):
            return cls("person", "anonymous", None, address)
        return cls("person", user.get_username(), user.pk, address)

    @classmethod
    def system(cls, name: str) -> Actor:
        """A part of ReCiSt, e.g. ``sweeper``."""
        return cls("system", name)

    @classmethod
    def rule(cls, name: str) -> Actor:
        """A rule that people wrote down, e.g. a policy's name."""
        return cls("rule", name)


def record(
    action: str,
    *,
    actor: Actor,
    target: str = "",
    cluster: str = "",
    namespace: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
) -> AuditEntry:
    """Append one entry. Call it inside the transaction of the change it records, as late as can be: writers of the
    trail wait for each other until their transactions end."""
    with transaction.atomic():
        _wait_for_turn()
        last = AuditEntry.objects.order_by("-seq").only("seq", "hash").first()
        entry = AuditEntry(
            seq=last.seq + 1 if last else 1,
            at=shared_clock.now(),
            action=_clean(action, 60),
            actor_kind=AuditActorKind(actor.kind),
            actor=_clean(actor.name, 150),
            actor_id=actor.user_id,
            address=_clean(actor.address, 45),
            target=_clean(target, 320),
            cluster=_clean(cluster, 63),
            namespace=_clean(namespace, 63),
            before=_plain(before),
            after=_plain(after),
            data=_plain(data) or {},
            previous_hash=last.hash if last else chain.GENESIS,
        )
        entry.hash = chain.seal(entry)
        entry.save(force_insert=True)
        # The log goes elsewhere: whoever rewrites the table cannot rewrite what was shipped.
        transaction.on_commit(
            lambda: log.info("audit", action=entry.action, actor=entry.actor, seq=entry.seq, hash=entry.hash)
        )
    return entry


def _wait_for_turn() -> None:
    # SQLite has one writer at a time (its transactions begin IMMEDIATE).
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _plain(value: dict[str, Any] | None) -> dict[str, Any] | None:
    """As it will be read back from any database, so that the seal fits."""
    if value is None:
        return None
    plain: dict[str, Any] = json.loads(
        json.dumps(value, cls=DjangoJSONEncoder), parse_float=_number, parse_constant=str
    )
    cleaned: dict[str, Any] = _without_nul(plain)
    return cleaned


def _number(text: str) -> float | int:
    # PostgreSQL writes 1e22 out and gives it back as an integer.
    number = float(text)
    return int(number) if number.is_integer() else number


def _without_nul(value: Any) -> Any:
    if isinstance(value, dict):
        return {_text(key): _without_nul(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    # PostgreSQL has neither NUL nor half a surrogate pair.
    return text.replace("\0", "").encode(errors="replace").decode()


def _clean(text: str, length: int) -> str:
    return _text(str(text))[:length]
