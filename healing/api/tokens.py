"""API tokens: one's own, and for admins everybody's. Only the answer that makes a token has its text."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal, NoReturn

from django.http import Http404
from ninja import Query, Router
from ninja.responses import Status
from pydantic import Field

from healing import api_tokens as tokens
from healing.access import Capability, why_not
from healing.api.auth import ApiRequest
from healing.api.errors import Problem, declared
from healing.api.paging import MAX_LIMIT, page
from healing.api.schemas import CamelSchema
from healing.audit import Actor
from healing.models import ApiToken

router = Router(tags=["tokens"], by_alias=True)

ScopeName = Literal["read", "operate", "decide", "admin", "webhooks"]


class TokenItem(CamelSchema):
    """A token without its text; ``hint`` is how it begins."""

    id: int
    name: str
    owner: str
    hint: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    last_used_from: str
    revoked_at: datetime | None
    revoked_by: str


class NewToken(CamelSchema):
    """A token to make."""

    name: str = Field(min_length=1, max_length=100, description="What uses it.")
    scopes: list[ScopeName] = Field(min_length=1, max_length=10)
    expires_at: datetime | None = Field(None, description="At most a year from now; null: never.")


class MadeToken(TokenItem):
    """The only answer that has the token itself."""

    token: str


class TokenPage(CamelSchema):
    """Tokens, newest first."""

    items: list[TokenItem]
    next: str | None = Field(description="Cursor of the next page; null: this is the last.")


@router.get("", response={200: TokenPage, **declared(401, 403, 422, 429)})
def list_tokens(
    request: ApiRequest,
    everybody: bool = False,  # noqa: FBT001, FBT002 - a query parameter
    cursor: Annotated[str, Query(max_length=300)] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
) -> TokenPage:
    """One's own tokens; `everybody` shows admins those of all."""
    rows = ApiToken.objects.select_related("owner")
    if everybody:
        _require_admin(request)
    else:
        rows = rows.filter(owner=request.auth)
    found, following = page(rows, "created_at", cursor, limit)
    return TokenPage(items=[_item(token) for token in found], next=following)


@router.post("", response={201: MadeToken, **declared(400, 401, 403, 413, 422, 429)})
def create_token(request: ApiRequest, new: NewToken) -> Status[MadeToken]:
    """Make a token of one's own. A token cannot make tokens: sign in, or use the password."""
    if getattr(request, "token", None) is not None:
        detail = "A token cannot make tokens. Sign in, or send user name and password with HTTP Basic."
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", detail)
    if new.expires_at is not None and new.expires_at.tzinfo is None:
        _refuse("expiresAt", "give the time with its zone, such as 2027-01-01T00:00:00Z")
    try:
        row, text = tokens.create(
            request.auth,
            name=new.name,
            scopes=new.scopes,
            expires_at=new.expires_at,
            actor=Actor.of_request(request),
        )
    except tokens.TokenRefused as error:
        _refuse(error.field, str(error))
    return Status(HTTPStatus.CREATED, MadeToken(token=text, **_item(row).model_dump()))


@router.delete("/{token_id}", response={204: None, **declared(401, 403, 404, 422, 429)})
def revoke_token(request: ApiRequest, token_id: int) -> Status[None]:
    """End a token at once: one's own, or anybody's as an admin."""
    token = ApiToken.objects.select_related("owner").filter(pk=token_id).first() if 0 < token_id < 2**63 else None
    if token is None or (token.owner_id != request.auth.pk and why_not(request.auth, Capability.ADMIN)):
        raise Http404("You have no such token.")
    own = getattr(request, "token", None)
    if own is not None and own.pk != token.pk:
        _require_admin(request)  # a token may end itself; others only with the scope for it
    if not tokens.revoke(token, actor=Actor.of_request(request)):
        raise Http404("That token was revoked before.")
    return Status(HTTPStatus.NO_CONTENT, None)


def _require_admin(request: ApiRequest) -> None:
    if refusal := why_not(request.auth, Capability.ADMIN):
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", refusal)


def _refuse(field: str, message: str) -> NoReturn:
    raise Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid",
        f"{field}: {message}",
        errors=[{"field": field, "message": message}],
    )


def _item(token: ApiToken) -> TokenItem:
    values = {name: getattr(token, name) for name in TokenItem.model_fields if name != "owner"}
    return TokenItem(owner=token.owner.get_username(), **values)
