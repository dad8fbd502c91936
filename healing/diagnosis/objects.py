"""What a snapshot reads from single objects: events in either shape, times they know of, Secrets without values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from healing.diagnosis import reading as r
from healing.diagnosis.reading import Object
from healing.ports.cluster import ObjectRef


@dataclass(frozen=True, slots=True)
class Event:
    """An Event of the cluster, in either of its two shapes."""

    object: ObjectRef
    type: str
    reason: str
    message: str
    count: int
    first: datetime | None
    last: datetime | None
    component: str = ""

    @classmethod
    def of(cls, obj: Object) -> Event | None:
        """From the API's object (core/v1 or events.k8s.io/v1); None if it says of nothing."""
        about = r.mapping(obj, "involvedObject") or r.mapping(obj, "regarding")
        ref = ObjectRef.from_json({k: v for k, v in about.items() if isinstance(v, str)})
        if not ref.kind or not ref.name:
            return None
        first = r.moment(obj, "firstTimestamp") or r.moment(obj, "deprecatedFirstTimestamp")
        last = r.moment(obj, "series", "lastObservedTime") or r.moment(obj, "lastTimestamp")
        last = last or r.moment(obj, "deprecatedLastTimestamp") or r.moment(obj, "eventTime")
        created = r.moment(obj, "metadata", "creationTimestamp")
        count = r.number(obj, "count") or r.number(obj, "deprecatedCount") or r.number(obj, "series", "count")
        component = r.text(obj, "source", "component") or r.text(obj, "reportingComponent")
        return cls(
            object=ref,
            type=r.text(obj, "type"),
            reason=r.text(obj, "reason"),
            message=r.text(obj, "message") or r.text(obj, "note"),
            count=max(count, 1),
            first=first or last or created,
            last=last or first or created,
            component=component or r.text(obj, "reportingController"),
        )


def keys_only(secret: Object) -> Object:
    """A Secret without its values: nothing of ours may ever show one."""
    keys = [*r.mapping(secret, "data"), *r.mapping(secret, "stringData")]
    meta = {k: v for k, v in r.mapping(secret, "metadata").items() if k != "annotations"}
    return {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": meta,
        "type": r.text(secret, "type"),
        "data": dict.fromkeys(keys, ""),
    }


def times(obj: Object) -> Iterator[datetime | None]:
    yield r.moment(obj, "metadata", "creationTimestamp")
    for entry in r.dicts(obj, "metadata", "managedFields"):
        yield r.moment(entry, "time")
    for entry in r.dicts(obj, "status", "conditions"):
        yield r.moment(entry, "lastTransitionTime")
        yield r.moment(entry, "lastHeartbeatTime")
    for status in (*r.dicts(obj, "status", "containerStatuses"), *r.dicts(obj, "status", "initContainerStatuses")):
        for state in (r.mapping(status, "state"), r.mapping(status, "lastState")):
            for value in state.values():
                yield r.moment(value, "startedAt")
                yield r.moment(value, "finishedAt")
