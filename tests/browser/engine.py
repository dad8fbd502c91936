"""The engine beside the browser: Playwright's event loop sits in the test's thread, where the doorbell cannot ring."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import connection

from tests.dashboard import story

P = ParamSpec("P")
R = TypeVar("R")


def elsewhere(function: Callable[P, R]) -> Callable[P, R]:
    """The function, run in a thread and on a database connection of its own."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        def work() -> R:
            try:
                return function(*args, **kwargs)
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(work).result(timeout=60)

    return run


open_case = elsewhere(story.open_case)
play = elsewhere(story.play)
step = elsewhere(story.step)
