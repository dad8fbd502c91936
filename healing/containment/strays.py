"""Isolated pods and policies that nobody looks after any more: released by what is written on them.

Every isolation has a row with an end, and that is how isolations end. Should the row be lost (a database that was put
back to yesterday, an installation that was taken away in the middle), the pod would stay out of its Services for ever.
So each says itself until when it is isolated. Some time after that, whoever finds it releases it; of another
installation's nothing is touched before.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.utils import timezone

from healing import shared_clock
from healing.actions import operations
from healing.actions.isolate import POLICY_PREFIX, labelled_again, labels_taken
from healing.actions.labels import QUARANTINE, QUARANTINED_UNTIL
from healing.actions.reading import controller_of
from healing.containment import expiry
from healing.models import HealingEvent, Isolation, Policy
from healing.phase import Note
from healing.ports import Ports
from healing.ports.cluster import Cluster, Object, ObjectRef
from healing.ports.errors import SourceError

log = structlog.get_logger(__name__)

_CALL_SECONDS = 5.0
#: So long after its end an isolation is still the business of whoever made it.
_GRACE = timedelta(minutes=2)
#: One that does not say when it ends is given the longest time a policy may name.
_LONGEST = timedelta(days=1)


def clusters_with_policies() -> set[str]:
    """Clusters in which something may have been isolated."""
    return set(Policy.objects.values_list("cluster", flat=True).distinct())


def release_strays(
    cluster: str, get_ports: Callable[[str], Ports], add_note: Callable[[int, Note], None], now: datetime | None = None
) -> int:
    """Release what has outlived its isolation in one cluster, and find temporary changes that others have put back.
    Returns how many objects. May run twice at once."""
    now = now or shared_clock.now()
    api = get_ports(cluster).cluster
    done = 0
    for kind, label in (("Pod", QUARANTINE), ("NetworkPolicy", operations.EVENT_LABEL)):
        try:
            found = api.list(kind, label_selector=label, timeout_seconds=_CALL_SECONDS).items
        except SourceError as error:
            log.info("strays not looked for", cluster=cluster, kind=kind, error=str(error))
            continue
        for obj in found:
            if _is_stray(cluster, obj, kind, now):
                done += _release(api, obj, kind, add_note)
    return done + expiry.look(cluster, api, add_note, now)


def _is_stray(cluster: str, obj: Object, kind: str, now: datetime) -> bool:
    meta = obj["metadata"]
    if "deletionTimestamp" in meta or _ends(obj) + _GRACE > now:
        return False
    if kind == "Pod":
        return not Isolation.objects.filter(cluster=cluster, pod_uid=meta.get("uid", ""), released_at=None).exists()
    if not meta["name"].startswith(POLICY_PREFIX):
        return False  # a policy of the cluster's own that a strategy has put back
    named = {"namespace": meta.get("namespace", ""), "policy_name": meta["name"]}
    return not Isolation.objects.filter(cluster=cluster, released_at=None, **named).exists()


def _ends(obj: Object) -> datetime:
    meta = obj["metadata"]
    text = (meta.get("annotations") or {}).get(QUARANTINED_UNTIL, "")
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = datetime.fromisoformat(meta["creationTimestamp"]) + _LONGEST
    return at if at.tzinfo else timezone.make_aware(at)


def _release(api: Cluster, obj: Object, kind: str, add_note: Callable[[int, Note], None]) -> bool:
    ref = ObjectRef.of(obj, kind)
    labels = obj["metadata"].get("labels") or {}
    if kind == "Pod" and controller_of(obj) is not None:
        operation, what = operations.patch(ref, labelled_again(labels_taken(obj))), "gets traffic again"
    else:
        operation, what = operations.delete(ref), "was removed"
    try:
        operations.send(api, operation, timeout_seconds=_CALL_SECONDS)
    except SourceError as error:
        log.info("a stray could not be released", object=str(ref), error=str(error))
        return False
    message = f"{ref} {what}: its isolation was over, and nobody looked after it any more."
    log.warning("stray released", object=str(ref), what=what)
    event = HealingEvent.objects.filter(name=labels.get(QUARANTINE) or labels.get(operations.EVENT_LABEL)).first()
    if event is not None:
        add_note(event.pk, Note("released", message, {"object": ref.as_json()}, source="containment"))
    return True
