"""docs/queries.md, from the catalogue."""

from __future__ import annotations

from healing.queries.catalogue import CATALOGUE, Query

_HEAD = """# What ReCiSt asks Prometheus and Loki

Written by `manage.py queries` from the catalogue in `healing/queries`; do not edit it. [metrics.md](metrics.md) says
how the answers are judged. `$where` stands for matchers of namespaces or pods, `$namespaces` for namespaces joined with
`|`, `$window` for a duration.

Metrics of HTTP requests have many names. Every {seconds} seconds one query (`http-families`) says which of them exist;
the others are not asked for. Where a workload is counted by several, the one that stands higher in this list is taken.
A test asks a real Prometheus every query of this page and compares its answers with the sandbox's.
"""


def markdown(discover_every_seconds: float) -> str:
    """The whole page."""
    parts = [_HEAD.format(seconds=f"{discover_every_seconds:g}")]
    parts += [_section(query) for query in CATALOGUE]
    return "\n".join(parts)


def _section(query: Query) -> str:
    labels = ", ".join(f"`{label}`" for label in query.labels) or "none"
    return (
        f"## {query.name}\n\n{query.what}\n\n```{query.language.lower()}\n{query.template}\n```\n\n"
        f"Unit: {query.unit}. Labels it is read by: {labels}. Used by: {query.used_by}.\n"
    )
