"""The base of every controller: watch, queue the keys concerned, reconcile them one by one."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable

from healing.sandbox.ports import ApiError, EventType, Listener, Object, User
from healing.sandbox.world.context import Context, controller_user
from healing.sandbox.world.queue import WorkQueue

log = logging.getLogger(__name__)

#: (namespace, name); the namespace is empty for what has none
Key = tuple[str, str]


def key_of(item: Object) -> Key:
    metadata = item["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


class Reconciler(ABC):
    """Subclasses name what they watch in `watch` and bring one object to its wanted state in `reconcile`.

    `reconcile` is synchronous: the API answers at once and nothing else runs in between. It raises `RetryLaterError`
    (or lets an `ApiError` out) to be called again after an exponential back-off.
    """

    #: the controller's name, as events and user names show it
    component: str = ""
    #: the ServiceAccount it acts under, where it differs from ``component``
    account: str = ""
    #: keys that are reconciled in one go, before others have their turn
    batch = 1

    def __init__(self, context: Context) -> None:
        self.context = context
        self.cluster = context.cluster
        self.queue: WorkQueue[Key] = WorkQueue()
        self.user: User = controller_user(self.account or self.component)
        self._unsubscribe: list[Callable[[], None]] = []

    @abstractmethod
    def watch(self) -> None:
        """Subscribe (with `on` and `on_own`) and queue what exists already."""

    @abstractmethod
    def reconcile(self, key: Key) -> None: ...

    def on(self, resource: str, listener: Listener) -> None:
        self._unsubscribe.append(self.cluster.subscribe(resource, listener))

    def on_own(self, resource: str) -> None:
        """Reconcile each object of ``resource``, those that exist and those that change."""

        def changed(_event: EventType, item: Object, _old: Object | None) -> None:
            self.queue.add(key_of(item))

        self.on(resource, changed)
        for item in self.cluster.list(resource):
            self.queue.add(key_of(item))

    async def run(self) -> None:
        self.watch()
        try:
            while True:
                await self.queue.wait()
                # A moment's delay, as an informer has one: what changes together is reconciled together.
                await asyncio.sleep(self.context.settings.reaction_seconds)
                for number in range(1, len(self.queue) + 1):
                    self._reconcile(self.queue.pop())
                    if number % self.batch == 0:
                        await asyncio.sleep(0)
        finally:
            for stop in self._unsubscribe:
                stop()
            self.queue.close()

    def _reconcile(self, key: Key) -> None:
        try:
            self.reconcile(key)
        except RetryLaterError:
            self.queue.add_rate_limited(key)
        except ApiError as error:
            log.debug("%s: %s/%s: %s", self.component, *key, error)
            self.queue.add_rate_limited(key)
        except Exception:
            # One object the controller cannot digest must not stop the world for all others.
            log.exception("%s failed on %s/%s", self.component, *key)
            self.queue.add_rate_limited(key)
        else:
            self.queue.forget(key)


class RetryLaterError(Exception):
    """Reconcile this key again after its back-off."""
