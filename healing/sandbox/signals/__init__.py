"""What the sandbox's world looks like from outside: a Prometheus and a Loki over the state of apps and objects."""

from healing.sandbox.signals.service import Signals, routes

__all__ = ["Signals", "routes"]
