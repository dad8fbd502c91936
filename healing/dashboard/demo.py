"""The demo's "break something" panel: what can be broken in the embedded cluster, and the request that breaks it.

Only the demo has an address for it (``DEMO_CONTROL_URL``). It is the sandbox's own control, which the healer never
sees: a fault injected here has to be found like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
from django.conf import settings
from django.utils.translation import gettext as _

TIMEOUT_SECONDS = 5.0
#: Parameters the panel can fill in by itself; a fault that needs others is for the command line.
_PLACE = frozenset({"namespace", "workload"})
_SERVICE = frozenset({"namespace", "service"})


class DemoError(Exception):
    """The sandbox refused or is away; the message is for the person who asked."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One fault. ``needs``: "workload", "service" or "" (the cluster as a whole)."""

    name: str
    title: str
    needs: str


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that is on."""

    id: str
    title: str
    summary: str
    where: str


@dataclass(frozen=True, slots=True)
class Panel:
    """What the panel offers; ``workloads`` and ``services`` as ``namespace/name``."""

    choices: list[Choice]
    workloads: list[str]
    services: list[str]
    active: list[Injected]


def is_on() -> bool:
    """Whether this is the demo."""
    return bool(settings.DEMO_CONTROL_URL)


def panel() -> Panel:
    """Ask the sandbox. Raises `DemoError`."""
    faults, health = _call("GET", "faults"), _call("GET", "health")
    titles = {fault["name"]: str(fault["title"]) for fault in faults["available"]}
    choices = [choice for fault in faults["available"] if (choice := _choice(fault)) is not None]
    return Panel(
        choices=sorted(choices, key=lambda choice: (choice.needs != "workload", choice.title)),
        workloads=_names(health.get("workloads")),
        services=_names(health.get("services")),
        active=[
            Injected(
                id=str(item["id"]),
                title=titles.get(item["fault"], str(item["fault"])),
                summary=str(item.get("summary") or ""),
                where="/".join(str(item["target"][key]) for key in ("namespace", "name") if item["target"].get(key)),
            )
            for item in faults["active"]
        ],
    )


def break_it(fault: str, where: str) -> str:
    """Inject a fault into ``namespace/name``; what was done, in the sandbox's words. Raises `DemoError`."""
    wanted = next((choice for choice in panel().choices if choice.name == fault), None)
    if wanted is None:
        raise DemoError(_("There is no such fault here. Choose one of the list."))
    params: dict[str, str] = {}
    if wanted.needs:
        namespace, _slash, name = where.partition("/")
        if not namespace or not name:
            raise DemoError(_("Choose what it shall happen to."))
        params = {"namespace": namespace, wanted.needs: name}
    return str(_call("POST", "faults", {"fault": fault, "params": params})["summary"])


def take_back(injection_id: str) -> None:
    """End a fault. Raises `DemoError`."""
    if not injection_id or "/" in injection_id:
        raise DemoError(_("There is no such fault."))
    _call("DELETE", f"faults/{injection_id}")


def _choice(fault: dict[str, Any]) -> Choice | None:
    required = {parameter["name"] for parameter in fault["params"] if parameter.get("required")}
    for needs, given in (("workload", _PLACE), ("service", _SERVICE), ("", frozenset())):
        if required == given:
            return Choice(str(fault["name"]), str(fault["title"]), needs)
    return None


def _names(entries: Any) -> list[str]:
    return sorted({f"{entry['namespace']}/{entry['name']}" for entry in entries or () if entry.get("name")})


def _call(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    url = f"{settings.DEMO_CONTROL_URL.rstrip('/')}/{path}"
    try:
        response = httpx.request(method, url, json=body, timeout=TIMEOUT_SECONDS)
        content = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise DemoError(_("The embedded cluster does not answer. Is `make demo` still running?")) from error
    if response.is_error:
        said = content.get("error") if isinstance(content, dict) else ""
        raise DemoError(_("The embedded cluster refused: %(said)s") % {"said": said or response.status_code})
    return content
