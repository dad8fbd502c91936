"""The app's own health, for scripts that show it."""

from __future__ import annotations

from ninja import Router

from healing.api.auth import ApiRequest
from healing.api.errors import declared
from healing.api.schemas import Health, PartItem
from healing.dashboard.parts import parts

router = Router(tags=["health"], by_alias=True)


@router.get("", response={200: Health, **declared(401, 429)})
def health(request: ApiRequest) -> Health:
    """The app's parts in plain words, as on the dashboard. Probes use /livez and /readyz."""
    found = parts()
    return Health(ok=all(part.ok for part in found), parts=[PartItem(name=p.name, ok=p.ok, says=p.says) for p in found])
