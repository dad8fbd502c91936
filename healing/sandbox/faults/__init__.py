"""Faults: what goes wrong in the sandbox's world, each as a person, a program or a machine would cause it."""

from healing.sandbox.faults.base import (
    Fault,
    FaultError,
    Injection,
    Parameter,
    World,
)
from healing.sandbox.faults.injector import FAULTS, FaultInjector

__all__ = ["FAULTS", "Fault", "FaultError", "FaultInjector", "Injection", "Parameter", "World"]
