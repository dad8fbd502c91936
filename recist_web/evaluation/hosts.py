"""The processes that hold the worlds, over HTTP."""

from __future__ import annotations

from typing import Any

import httpx

_CALL_SECONDS = 20.0


class Hosts:
    """The hosting processes' control, over HTTP."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self._client = httpx.Client(timeout=_CALL_SECONDS, trust_env=False)

    def statuses(self) -> dict[str, dict[str, Any]]:
        """Of every world, by name. A host that does not answer leaves its worlds out."""
        found: dict[str, dict[str, Any]] = {}
        for url in self._urls:
            try:
                found |= self._client.get(f"{url}/worlds").json()["worlds"]
            except httpx.HTTPError:
                continue
        return found

    def act(self, host: int, name: str, verb: str) -> None:
        """Raises `httpx.HTTPError`."""
        self._client.post(f"{self._urls[host]}/worlds/{name}/{verb}").raise_for_status()

    def history(self, host: int, name: str) -> dict[str, Any]:
        """Raises `httpx.HTTPError`."""
        found: dict[str, Any] = self._client.get(f"{self._urls[host]}/worlds/{name}").json()
        return found
