"""A knowledge worker's process that is killed with SIGKILL at a given point between database and Qdrant."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import django

django.setup()

from knowledge import index as index_module  # noqa: E402
from knowledge.tasks import index_pending  # noqa: E402


def main(point: str) -> None:
    index = index_module.default_index()
    upsert = index.upsert

    def dies(*args: Any, **kwargs: Any) -> None:
        if point == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        upsert(*args, **kwargs)
        if point == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    if point != "never":
        index.upsert = dies  # type: ignore[method-assign]
    index_pending(batch=2)


if __name__ == "__main__":
    main(sys.argv[1])
