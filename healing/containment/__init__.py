"""Phase 1, haemostasis: stop the bleeding before anyone knows the cause.

`run` is the phase's handler. `settling` wraps the last phase, so that no pause, cordon or isolation outlives its event
in silence; `release_due` ends isolations whose time is over.
"""

from healing.containment.phase import run
from healing.containment.release import clusters_to_release, release_due, settle, settling

__all__ = ["clusters_to_release", "release_due", "run", "settle", "settling"]
