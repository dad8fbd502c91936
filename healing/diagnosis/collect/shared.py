"""One read for many: diagnoses that run side by side look at the same lists and series.

When many things break at once, each of them would read the whole namespace for itself; the cluster and our processors
would do the same work hundreds of times. A reader takes what another one has asked for, if it was asked for lately and
not before the reader's own event had been contained: what it reads then is as good as if it had asked itself. What is
shared is read, never changed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, TypeVar

from healing.ports.errors import Unavailable

#: Older answers are asked for anew: rates move from second to second.
MOST_SECONDS = 4.0

_T = TypeVar("_T")
_lock = threading.Lock()
_asked: dict[Hashable, tuple[float, datetime, Future[Any]]] = {}


def read(key: Hashable, ask: Callable[[], _T], *, not_before: datetime, timeout_seconds: float) -> _T:
    """What ``ask`` returns, or what it has returned to another reader of ``key`` who asked after ``not_before`` (UTC).

    Raises what ``ask`` raises (also to those who waited for it), and `Unavailable` when another reader's question takes
    longer than ``timeout_seconds``.
    """
    now = time.monotonic()
    with _lock:
        for old in [k for k, (asked_at, _, future) in _asked.items() if now - asked_at > MOST_SECONDS]:
            del _asked[old]
        known = _asked.get(key)
        if known is not None and known[1] >= not_before:
            future, is_mine = known[2], False
        else:
            future, is_mine = Future(), True
            _asked[key] = now, datetime.now(UTC), future
    if is_mine:
        _answer(key, future, ask)
    try:
        found: _T = future.result(timeout=timeout_seconds if not is_mine else None)
    except TimeoutError as error:
        raise Unavailable("no answer in time to a question that another diagnosis had asked") from error
    return found


def _answer(key: Hashable, future: Future[Any], ask: Callable[[], Any]) -> None:
    try:
        future.set_result(ask())
    except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
        with _lock:
            if (known := _asked.get(key)) is not None and known[2] is future:
                del _asked[key]
        future.set_exception(error)
