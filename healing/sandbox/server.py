"""The sandbox's process: the API server, the world behind it, its signals, on one port."""

from __future__ import annotations
