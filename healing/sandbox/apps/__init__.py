"""The programs of the sandbox: what images contain, how services behave, and who calls whom."""

from healing.sandbox.apps.runtime import AppRuntime

__all__ = ["AppRuntime"]
