"""Runs all checks side by side, each with an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from django.db import connections

from recist_web.doctor.report import Finding, error

TIMEOUT_SECONDS = 20.0
_ADVICE = "Look at the log of the process, or run this command with LOG_LEVEL=debug."


@dataclass(frozen=True, slots=True)
class Check:
    """``advice``: what to do where it raises or does not end, which it need not say itself."""

    part: str
    look: Callable[[], Iterable[Finding]]
    advice: str = _ADVICE


class _Running:
    def __init__(self, check: Check) -> None:
        self.check = check
        self.findings: list[Finding] = []
        self.done = threading.Event()
        # A daemon: what hangs in somebody's library must not keep the command from ending.
        threading.Thread(target=self._run, name=f"doctor {check.part}", daemon=True).start()

    def _run(self) -> None:
        started = time.monotonic()
        try:
            for finding in self.check.look():
                self.findings.append(replace(finding, seconds=time.monotonic() - started))
        except Exception as problem:  # noqa: BLE001 - everything may be broken, and each is told
            words = " ".join(str(problem).split())[:600]
            found = error(self.check.part, f"{type(problem).__name__}: {words}", self.check.advice)
            self.findings.append(replace(found, seconds=time.monotonic() - started))
        finally:
            self.done.set()
            connections.close_all()


def run(checks: Sequence[Check], *, timeout_seconds: float = TIMEOUT_SECONDS) -> list[Finding]:
    """All findings, in the order of the checks. Takes at most the timeout, whatever hangs."""
    ends_at = time.monotonic() + timeout_seconds
    running = [_Running(check) for check in checks]
    found: list[Finding] = []
    for one in running:
        if not one.done.wait(max(0.0, ends_at - time.monotonic())):
            found += one.findings[:]
            message = f"No answer within {timeout_seconds:.0f} s."
            found.append(replace(error(one.check.part, message, one.check.advice), seconds=timeout_seconds))
            continue
        found += one.findings
    return found
