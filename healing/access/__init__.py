"""Who may do what, and where. Every view, API operation and socket message asks here."""

from healing.access.roles import (
    Capability,
    Grants,
    grants_of,
    role_of,
    why_not,
    why_not_anywhere,
)
from healing.models import Role

__all__ = ["Capability", "Grants", "Role", "grants_of", "role_of", "why_not", "why_not_anywhere"]
