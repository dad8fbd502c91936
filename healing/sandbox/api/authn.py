"""Bearer tokens and who they stand for."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from healing.sandbox.api import errors
from healing.sandbox.api.authz import MASTERS, service_account_user
from healing.sandbox.ports import User

if TYPE_CHECKING:
    from healing.sandbox.api.cluster import ApiServer

ADMIN = User("kubernetes-admin", (MASTERS, "system:authenticated"))
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
_TOKEN_BYTES = 24


@dataclass(frozen=True, slots=True)
class _AccountToken:
    namespace: str
    name: str
    uid: str
    expires: float


class Authenticator:
    """Knows the server's tokens.

    kubectl sends no token over plain HTTP, so a request without one is the admin's unless ``anonymous_is_admin`` is
    off. Other users reach the server with a token (any HTTP client) or with kubectl's ``--as``.
    """

    def __init__(self, server: ApiServer, *, anonymous_is_admin: bool = True) -> None:
        self._server = server
        self.anonymous_is_admin = anonymous_is_admin
        self.admin_token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._tokens: dict[str, User] = {self.admin_token: ADMIN}
        self._account_tokens: dict[str, _AccountToken] = {}

    def add_token(self, user: User, token: str = "") -> str:
        """Let ``token`` (a new one if empty) stand for ``user``; returns it."""
        token = token or secrets.token_urlsafe(_TOKEN_BYTES)
        groups = user.groups if "system:authenticated" in user.groups else (*user.groups, "system:authenticated")
        self._tokens[token] = User(user.name, groups)
        return token

    def account_token(self, namespace: str, name: str, seconds: int) -> str:
        """A token for a ServiceAccount, as TokenRequest gives it."""
        account = self._server.get("serviceaccounts", namespace, name)
        if account is None:
            raise errors.not_found("serviceaccounts", "", name)
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        uid = account["metadata"]["uid"]
        self._account_tokens[token] = _AccountToken(namespace, name, uid, self._server.clock() + seconds)
        return token

    def user_of(self, token: str) -> User | None:
        user = self._tokens.get(token)
        if user is not None:
            return user
        found = self._account_tokens.get(token)
        if found is None or found.expires < self._server.clock():
            return None
        account = self._server.get("serviceaccounts", found.namespace, found.name)
        if account is None or account["metadata"]["uid"] != found.uid:
            return None
        return service_account_user(found.namespace, found.name)

    def authenticate(self, headers: Mapping[str, str]) -> User:
        """401 `ApiError` for a wrong token, 403 for an impersonation that is not allowed."""
        authorization = headers.get("authorization", "")
        if not authorization:
            user = ADMIN if self.anonymous_is_admin else ANONYMOUS
        else:
            scheme, _, token = authorization.partition(" ")
            found = self.user_of(token.strip()) if scheme.lower() == "bearer" else None
            if found is None:
                raise errors.failure(401, "Unauthorized", "Unauthorized")
            user = found
        impersonated = headers.get("impersonate-user", "")
        if not impersonated:
            return user
        if MASTERS not in user.groups:
            why = f'User "{user.name}" cannot impersonate resource "users" in API group "" at the cluster scope'
            raise errors.forbidden("users", "", impersonated, why)
        return self._impersonate(impersonated, headers)

    @staticmethod
    def _impersonate(name: str, headers: Mapping[str, str]) -> User:
        getlist = getattr(headers, "getlist", None)
        groups = tuple(getlist("impersonate-group")) if getlist else ()
        parts = name.split(":")
        if parts[:2] == ["system", "serviceaccount"] and len(parts) == 4 and not groups:
            return service_account_user(parts[2], parts[3])
        if "system:authenticated" not in groups:
            groups = (*groups, "system:authenticated")
        return User(name, groups)
