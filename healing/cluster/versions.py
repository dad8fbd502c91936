"""Which Kubernetes versions ReCiSt is made for."""

from __future__ import annotations

import re

#: Minor versions of Kubernetes 1: the oldest that has every API we need, and the newest we know.
OLDEST_MINOR, NEWEST_MINOR = 26, 37
#: in words
MADE_FOR = f"1.{OLDEST_MINOR} to 1.{NEWEST_MINOR}"
_VERSION = re.compile(r"v?1\.(\d+)")


def minor_of(git_version: str) -> int | None:
    """30 of ``v1.30.4-eks-a737599``; None where it is no version of Kubernetes 1."""
    found = _VERSION.match(git_version)
    return int(found[1]) if found else None


def advice(git_version: str) -> str:
    """What to know about a server of this version; empty: nothing, it is one of those we are made for."""
    minor = minor_of(git_version)
    if minor is None:
        return f"The server does not say a version that we know ({git_version!r}); ReCiSt is made for {MADE_FOR}."
    if minor < OLDEST_MINOR:
        return (
            f"Kubernetes {git_version} is older than what ReCiSt is made for ({MADE_FOR}): some of what it does may be "
            "refused there. Upgrade the cluster."
        )
    if minor > NEWEST_MINOR:
        return (
            f"Kubernetes {git_version} is newer than what ReCiSt was tested with ({MADE_FOR}): APIs may have changed. "
            "Try it with autonomy 'propose' first, and look for a newer ReCiSt."
        )
    return ""
