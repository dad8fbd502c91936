"""`manage.py doctor`: everything ReCiSt needs, asked now, each with what to do about it.

A check is a function that yields `Finding`s; it may raise, hang, or depend on what is broken: `runner` makes a finding
of that too. `checks` lists them all.
"""

from recist_web.doctor.report import Finding, Level
from recist_web.doctor.runner import Check, run

__all__ = ["Check", "Finding", "Level", "run"]
