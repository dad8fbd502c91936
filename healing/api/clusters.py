"""Which cluster a request means."""

from __future__ import annotations

from http import HTTPStatus

from django.conf import settings

from healing.api.errors import Problem

_NAMED = 20


def known_cluster(name: str) -> str:
    """The default one for an empty name. `Problem` 422 for one that is not ours."""
    if name and name not in settings.CLUSTERS:
        names = list(settings.CLUSTERS)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        detail = f"cluster: there is no {name!r} here; there is: {', '.join(names[:_NAMED])}{more}"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail)
    return name or settings.CLUSTER_NAME
