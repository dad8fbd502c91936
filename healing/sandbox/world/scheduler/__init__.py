"""The scheduler: which node a pod may run on, and the words for why not."""

from healing.sandbox.world.scheduler.scheduler import Scheduler

__all__ = ["Scheduler"]
