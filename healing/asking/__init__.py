"""Asking a language model, whatever for: which one, within today's budget, and written down in the ledger."""

from healing.asking.choice import choose
from healing.asking.ledger import Call, over_budget
from healing.asking.untrusted import clean

__all__ = ["Call", "choose", "clean", "over_budget"]
