"""Whether the people behind open sockets are still signed in, and what they may see: asked for many at once.

Signing out, a changed password, a disabled account, an ended session, another role: each shows in the next look, which
comes before anything is sent. Four queries however many there are, more only for who is new or was changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from healing.access import Grants, grants_of
from healing.models import RoleBinding

_USER_FIELDS = ("pk", "username", "password", "is_superuser", "is_staff")
#: Sessions asked for in one query.
_AT_ONCE = 500
_KEPT = 5000


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a session's stored text says; kept as long as the text is the same."""

    stored: str
    user_id: int
    session_hash: str


@dataclass
class Standing:
    """Remembers what it has decoded; the answers are read anew each time."""

    _seen: dict[str, _Seen] = field(default_factory=dict)
    _hashes: dict[tuple[int, str], str] = field(default_factory=dict)
    _grants: dict[int, tuple[Any, Grants]] = field(default_factory=dict)

    def of(self, session_keys: Collection[str]) -> dict[str, tuple[int, Grants]]:
        """Person and grants by session key. Who is missing may see nothing any more."""
        seen = self._sessions(session_keys)
        wanted = {session.user_id for session in seen.values()}
        users = {user.pk: user for user in User.objects.filter(pk__in=wanted, is_active=True).only(*_USER_FIELDS)}
        grants = self._all_grants(users)
        self._forget()
        return {
            key: (session.user_id, grants[session.user_id])
            for key, session in seen.items()
            if (user := users.get(session.user_id)) is not None
            and constant_time_compare(session.session_hash, self._hash(user))
        }

    def _sessions(self, keys: Collection[str]) -> dict[str, _Seen]:
        store = import_module(settings.SESSION_ENGINE).SessionStore
        if not hasattr(store, "get_model_class"):  # kept elsewhere than in the database: one after the other
            loaded = {key: store(key).load() for key in keys}
            return {key: _seen("", values) for key, values in loaded.items() if values.get(SESSION_KEY)}
        found = {}
        several = sorted(keys)
        model = store.get_model_class()
        for start in range(0, len(several), _AT_ONCE):
            rows = model.objects.filter(
                session_key__in=several[start : start + _AT_ONCE], expire_date__gt=timezone.now()
            )
            for key, stored in rows.values_list("session_key", "session_data"):
                known = self._seen.get(key)
                if known is None or known.stored != stored:
                    known = self._seen[key] = _seen(stored, store(key).decode(stored))
                if known.user_id:
                    found[key] = known
        return found

    def _all_grants(self, users: dict[int, User]) -> dict[int, Grants]:
        """Computed again only for whom something has changed that they could follow from."""
        groups: dict[int, list[int]] = defaultdict(list)
        for user_id, group_id in User.groups.through.objects.filter(user_id__in=users).values_list(
            "user_id", "group_id"
        ):
            groups[user_id].append(group_id)
        fields = ("pk", "user_id", "group_id", "role", "cluster", "namespace")
        bindings = RoleBinding.objects.order_by("pk").values_list(*fields)
        of_user: dict[int, list[Any]] = defaultdict(list)
        of_group: dict[int, list[Any]] = defaultdict(list)
        for row in bindings:
            if row[1] is not None:
                of_user[row[1]].append(row)
            else:
                of_group[row[2]].append(row)
        found = {}
        for pk, user in users.items():
            mine = sorted(groups[pk])
            print_of = (user.is_superuser, user.is_staff, mine, of_user[pk], [of_group[group] for group in mine])
            known = self._grants.get(pk)
            if known is None or known[0] != print_of:
                known = self._grants[pk] = (print_of, grants_of(user))
            found[pk] = known[1]
        return found

    def _hash(self, user: User) -> str:
        key = (user.pk, user.password)
        if key not in self._hashes:
            self._hashes[key] = user.get_session_auth_hash()
        return self._hashes[key]

    def _forget(self) -> None:
        for kept in (self._seen, self._hashes, self._grants):
            if len(kept) > _KEPT:
                kept.clear()


def _seen(stored: str, values: dict[str, Any]) -> _Seen:
    raw = str(values.get(SESSION_KEY, ""))
    return _Seen(stored, int(raw) if raw.isdigit() else 0, str(values.get(HASH_SESSION_KEY, "")))
