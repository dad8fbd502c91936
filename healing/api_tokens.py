"""API tokens: made once and shown once, known by their hash, limited by scopes, ended by time or by hand."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from healing import audit
from healing.access.roles import LIMIT_ATTRIBUTE, Capability
from healing.audit import Actor
from healing.models import ApiToken, Scope

PREFIX = "recist_"
MAX_DAYS = 366
MAX_OF_ONE_OWNER = 50
_HINT_LENGTH = len(PREFIX) + 5
#: `last_used_at` is written at most so often.
_USED_EVERY = timedelta(minutes=1)

#: Whoever may change something may see it.
_CAPABILITIES: dict[str, frozenset[Capability]] = {
    Scope.READ: frozenset({Capability.VIEW}),
    Scope.OPERATE: frozenset({Capability.VIEW, Capability.OPERATE}),
    Scope.DECIDE: frozenset({Capability.VIEW, Capability.DECIDE}),
    Scope.ADMIN: frozenset({Capability.VIEW, Capability.ADMIN}),
    Scope.WEBHOOKS: frozenset(),
}


class TokenRefused(Exception):
    """A token that cannot be made; the message says why, ``field`` which part of it is meant."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def create(
    owner: User, *, name: str, scopes: Collection[str], expires_at: datetime | None, actor: Actor
) -> tuple[ApiToken, str]:
    """Make a token. Returns its row and its text, which is known now and never again. Raises `TokenRefused`."""
    now, name = timezone.now(), " ".join(name.replace("\0", "").split())
    _check(owner, name, scopes, expires_at, now)
    text = PREFIX + secrets.token_urlsafe(32)
    try:
        with transaction.atomic():
            row = ApiToken.objects.create(
                owner=owner,
                name=name,
                digest=digest_of(text),
                hint=text[:_HINT_LENGTH],
                scopes=[scope.value for scope in Scope if scope.value in scopes],
                expires_at=expires_at,
            )
            after = {"scopes": row.scopes, "expiresAt": expires_at.isoformat() if expires_at else None}
            audit.record("token.created", actor=actor, target=f"token {row}", after=after)
    except IntegrityError as error:
        raise TokenRefused("name", "You have a token of that name already. Revoke it, or take another name.") from error
    return row, text


def _check(owner: User, name: str, scopes: Collection[str], expires_at: datetime | None, now: datetime) -> None:
    if not name or len(name) > 100:
        raise TokenRefused("name", "Give a name of 1 to 100 characters: what uses the token?")
    unknown = [scope for scope in scopes if scope not in Scope.values]
    if unknown or not scopes:
        raise TokenRefused("scopes", f"Choose at least one of: {', '.join(Scope.values)}.")
    if expires_at is not None and not now < expires_at <= now + timedelta(days=MAX_DAYS):
        raise TokenRefused("expiresAt", f"Choose a time from now to in {MAX_DAYS} days, or none.")
    usable = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    if ApiToken.objects.filter(usable, owner=owner, revoked_at=None).count() >= MAX_OF_ONE_OWNER:
        raise TokenRefused("name", f"You have {MAX_OF_ONE_OWNER} tokens already. Revoke one you do not need.")


def revoke(token: ApiToken, *, actor: Actor) -> bool:
    """End it at once. False: it had been ended before."""
    now = timezone.now()
    with transaction.atomic():
        if not ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now, revoked_by=actor.name):
            return False
        audit.record("token.revoked", actor=actor, target=f"token {token}", before={"scopes": token.scopes})
    return True


def find(text: str, *, address: str) -> ApiToken | None:
    """The usable token of this text, whose owner is active; notes that it was used."""
    if not text.startswith(PREFIX) or len(text) > 200 or not text.isascii():
        return None
    token = ApiToken.objects.select_related("owner").filter(digest=digest_of(text)).first()
    now = timezone.now()
    if token is None or not token.is_usable(now) or not token.owner.is_active:
        return None
    rarely = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - _USED_EVERY)
    ApiToken.objects.filter(rarely, pk=token.pk).update(last_used_at=now, last_used_from=address[:45])
    return token


def user_of(token: ApiToken) -> User:
    """The owner, limited to the token's scopes wherever `healing.access` is asked."""
    user: User = token.owner
    capabilities = frozenset().union(*(_CAPABILITIES.get(scope, frozenset()) for scope in token.scopes))
    setattr(user, LIMIT_ATTRIBUTE, capabilities)
    return user


def digest_of(text: str) -> str:
    """What is kept of a token: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(text.encode()).hexdigest()
