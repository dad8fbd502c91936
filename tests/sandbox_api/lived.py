"""The shop's cluster after a while, whose world stands still: what it was like can be asked over real HTTP."""

from __future__ import annotations

import asyncio

from healing.sandbox.api.cluster import ApiServer
from healing.sandbox.compose import build
from healing.sandbox.scenarios import BUNDLED, load_scenario
from healing.sandbox.virtual_time import run_virtual

EPOCH = 1_790_000_000.0


def lived_shop() -> ApiServer:
    return run_virtual(_lived())


async def _lived() -> ApiServer:
    """One of its nodes is down."""
    loop = asyncio.get_running_loop()
    sandbox = build(load_scenario(BUNDLED / "shop.yaml"), clock=lambda: EPOCH + loop.time())
    task = asyncio.create_task(sandbox.run())
    await asyncio.sleep(45)
    sandbox.world.node("node3").fail("down")
    await asyncio.sleep(25)
    assert not task.done()
    task.cancel()
    sandbox.cluster.clock = lambda: EPOCH + 70
    return sandbox.cluster
