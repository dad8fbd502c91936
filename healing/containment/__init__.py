"""Phase 1, haemostasis: stop the bleeding before anyone knows the cause.

`run` is the phase's handler. `settling` wraps the last phase, so that no pause, cordon or isolation outlives its event
in silence; `release_due` ends isolations whose time is over, `release_strays` those that nobody remembers.
"""

from healing.containment.phase import run
from healing.containment.release import clusters_to_release, release_due, settle, settling
from healing.containment.strays import clusters_with_policies, release_strays

__all__ = [
    "clusters_to_release",
    "clusters_with_policies",
    "release_due",
    "release_strays",
    "run",
    "settle",
    "settling",
]
