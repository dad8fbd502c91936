"""Policies: what may be healed, how, and who must agree."""
