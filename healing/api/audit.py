"""The audit trail: search and export. For admins: it says what everybody did, everywhere."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from django.http import HttpRequest, StreamingHttpResponse
from ninja import Query, Router
from pydantic import Field

from healing.access import Capability
from healing.api.auth import ApiRequest, require
from healing.api.errors import Problem, declared
from healing.api.paging import MAX_LIMIT
from healing.api.schemas import CamelSchema
from healing.audit import Actor, chain, record, search
from healing.audit.export import download
from healing.models import AuditEntry

router = Router(tags=["audit"], by_alias=True)

Text = Annotated[str, Query(max_length=200)]


class AuditItem(CamelSchema):
    """One entry. ``hash`` seals it together with ``previousHash``."""

    seq: int
    at: datetime
    action: str
    actor_kind: str
    actor: str
    actor_id: int | None
    address: str
    target: str
    cluster: str
    namespace: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    data: dict[str, Any]
    previous_hash: str
    hash: str


class AuditPage(CamelSchema):
    """Entries, newest first."""

    items: list[AuditItem]
    next: int | None = Field(description="Pass it as `before` for the next page; null: this is the last.")


class AuditVerdict(CamelSchema):
    """Whether the chain is whole. ``says``: what is wrong, and where."""

    ok: bool
    entries: int
    head: str = Field(description="Hash of the newest entry: note it down elsewhere to notice a rewritten trail.")
    says: str


@router.get("", response={200: AuditPage, **declared(401, 403, 422, 429)})
def list_entries(
    request: ApiRequest,
    action: Text = "",
    actor: Text = "",
    cluster: Text = "",
    namespace: Text = "",
    text: Text = "",
    since: Text = "",
    until: Text = "",
    before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
) -> AuditPage:
    """Newest first. `action` matches what is below it too: `approval` finds `approval.rejected`. `since` and `until`
    are days or times."""
    require(request.auth, Capability.ADMIN)
    rows = _search(request).apply(AuditEntry.objects.all())
    if before is not None:
        rows = rows.filter(seq__lt=before)
    found = list(rows.order_by("-seq")[: limit + 1])
    return AuditPage(
        items=[AuditItem.model_validate(entry) for entry in found[:limit]],
        next=found[limit - 1].seq if len(found) > limit else None,
    )


@router.get("/verify", response={200: AuditVerdict, **declared(401, 403, 429)})
def verify(request: ApiRequest) -> AuditVerdict:
    """Walk the whole chain: every entry unchanged, none missing, none put in."""
    require(request.auth, Capability.ADMIN)
    broken = chain.first_break(AuditEntry.objects.order_by("seq").iterator(chunk_size=1000))
    last = AuditEntry.objects.order_by("-seq").first()
    return AuditVerdict(
        ok=broken is None,
        entries=AuditEntry.objects.count(),
        head=last.hash if last else chain.GENESIS,
        says=broken.says if broken else "Every entry is as it was written.",
    )


@router.get(
    "/export.{kind}",
    response=declared(401, 403, 404, 422, 429),
    openapi_extra={
        "responses": {
            200: {
                "description": "The entries, oldest first.",
                "content": {
                    "text/csv": {"schema": {"type": "string"}},
                    "application/x-ndjson": {"schema": {"type": "string"}},
                },
            }
        }
    },
)
def export(
    request: ApiRequest,
    kind: str,
    action: Text = "",
    actor: Text = "",
    cluster: Text = "",
    namespace: Text = "",
    text: Text = "",
    since: Text = "",
    until: Text = "",
) -> StreamingHttpResponse:
    """`csv`, or `jsonl` with everything that the seals cover. Exporting is itself written down."""
    require(request.auth, Capability.ADMIN)
    if kind not in ("csv", "jsonl"):
        raise Problem(HTTPStatus.NOT_FOUND, "not-found", "There is export.csv and export.jsonl.")
    wanted = _search(request)
    record("audit.exported", actor=Actor.of_request(request), data={"kind": kind, **wanted.values()})
    return download(kind, wanted)


def _search(request: HttpRequest) -> search.Search:
    try:
        return search.Search.parse(request.GET.dict())
    except search.BadSearch as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", str(error)) from error
