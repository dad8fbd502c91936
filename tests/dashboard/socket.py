"""A WebSocket client of the ASGI application. (channels.testing would need daphne, which nothing else of ours does.)"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from recist_web.asgi import application

#: only ends a hang
SECONDS = 60.0


class Refused(Exception):
    """The handshake was refused."""


class Page:
    """What a browser's page hears."""

    def __init__(self, communicator: ApplicationCommunicator) -> None:
        self._communicator = communicator
        self.messages: list[str] = []

    @property
    def everything(self) -> str:
        """All that was sent so far."""
        return "".join(self.messages)

    async def hello(self, **shown: Any) -> None:
        await self.send(json.dumps(shown))

    async def send(self, text: str) -> None:
        await self._communicator.send_input({"type": "websocket.receive", "text": text})

    async def message(self) -> str:
        output = await self._communicator.receive_output(SECONDS)
        assert output["type"] == "websocket.send", output
        self.messages.append(output["text"])
        return str(output["text"])

    async def until(self, wanted: Callable[[str], bool]) -> str:
        """Read until a message is wanted; that one."""
        while not wanted(text := await self.message()):
            pass
        return text

    async def is_quiet(self, seconds: float) -> bool:
        return await self._communicator.receive_nothing(seconds)

    async def closed(self) -> int:
        """Read until the server closes; its code."""
        while (output := await self._communicator.receive_output(SECONDS))["type"] != "websocket.close":
            self.messages.append(output["text"])
        return int(output["code"])


def session_cookie(user: User) -> str:
    client = Client()
    client.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


@asynccontextmanager
async def socket(
    path: str, user: User | None, origin: str = "http://testserver", language: str = ""
) -> AsyncIterator[Page]:
    """An open socket. Raises `Refused`."""
    headers = [(b"origin", origin.encode()), (b"host", b"testserver")]
    if user is not None:
        headers.append((b"cookie", (await sync_to_async(session_cookie)(user)).encode()))
    if language:
        headers.append((b"accept-language", language.encode()))
    path, _, query = path.partition("?")
    scope = {"type": "websocket", "path": path, "query_string": query.encode(), "headers": headers, "subprotocols": []}
    communicator = ApplicationCommunicator(application, scope)
    await communicator.send_input({"type": "websocket.connect"})
    output = await communicator.receive_output(SECONDS)
    if output["type"] == "websocket.close":
        raise Refused
    try:
        yield Page(communicator)
    finally:
        await communicator.send_input({"type": "websocket.disconnect", "code": 1000})
        await communicator.wait(SECONDS)
