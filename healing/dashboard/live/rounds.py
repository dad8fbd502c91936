"""The rounds in which all boards are looked after: read, then who may still see it, then send.

One round serves every board that is due, so that people are looked up once for all of them, and a row that several
boards show is rendered once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog

from healing.dashboard.live.board import Alike, Board

if TYPE_CHECKING:
    from healing.dashboard.live.hub import Hub

log = structlog.get_logger(__name__)

ROUNDS_A_SECOND = 4
#: Without a doorbell (one may be lost; health and freeze windows have none) it is looked all the same.
RESYNC_SECONDS = 5.0


class Rounds:
    """``run`` is the hub's task while anybody is connected."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Some board is due."""
        self._wake.set()

    async def run(self) -> None:
        """Round after round: soon after something is due, at most `ROUNDS_A_SECOND`."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            started = loop.time()
            boards = [board for board in self._hub.boards() if board.is_due and board.members]
            try:
                await self._round(boards)
            except Exception:  # the database may be away for a moment; the pages stay as they are
                log.exception("dashboards not updated")
            # What took long is done less often: the process has other things to do.
            took = loop.time() - started
            await asyncio.sleep(max(1 / ROUNDS_A_SECOND - took, took, 0.05))
            if not any(board.is_due for board in self._hub.boards()):
                try:
                    await asyncio.wait_for(self._wake.wait(), RESYNC_SECONDS)
                except TimeoutError:
                    self.all_due()

    def all_due(self) -> None:
        """Anything may be new."""
        for board in self._hub.boards():
            board.is_due = True
        self._wake.set()

    async def _round(self, boards: Iterable[Board]) -> None:
        looked: list[tuple[Board, list[Alike]]] = []
        for board in boards:
            board.is_due = False
            looked.append((board, await self._hub.in_thread(self._look, board, board.alike())))
        # After all that is sent was read: whoever lost access before something was written does not get it.
        keys = {member.session_key for board, _ in looked for member in board.members}
        standing = await self._hub.in_thread(self._hub.standing.of, keys) if keys else {}
        for board, groups in looked:
            board.deal(groups, standing, keys)

    def _look(self, board: Board, groups: list[Alike]) -> list[Alike]:
        return board.look(groups, self._hub.frame_regions(board.key.grants, board.key.language))
