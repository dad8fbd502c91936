"""Fix the ports of a Service: what `FixServiceSelector` does, for policies that allow only this part of it."""

from __future__ import annotations

from pydantic import model_validator

from healing.actions.fix_service_selector import FixServiceSelector, FixServiceSelectorParameters
from healing.policies.spec import ActionName


class FixServicePortParameters(FixServiceSelectorParameters):
    """``targetPorts`` and ``protocols`` only."""

    @model_validator(mode="after")
    def _no_selector(self) -> FixServicePortParameters:
        if self.selector:
            raise ValueError("the selector is changed by fixServiceSelector")
        return self


class FixServicePort(FixServiceSelector):
    """Only towards pods that exist."""

    name = ActionName.FIX_SERVICE_PORT
    title = "Correct the Service's ports"
    parameters = FixServicePortParameters
