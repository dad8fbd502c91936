"""Downloads of the trail."""

from __future__ import annotations

from django.http import StreamingHttpResponse

from healing.audit import search
from healing.models import AuditEntry

_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}


def download(kind: str, wanted: search.Search) -> StreamingHttpResponse:
    """``kind``: csv or jsonl. Oldest first, streamed."""
    rows = wanted.apply(AuditEntry.objects.all()).order_by("seq").iterator(chunk_size=1000)
    lines = search.csv_lines(rows) if kind == "csv" else search.json_lines(rows)
    disposition = f'attachment; filename="recist-audit.{kind}"'
    return StreamingHttpResponse(lines, content_type=_TYPES[kind], headers={"Content-Disposition": disposition})
