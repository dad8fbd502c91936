"""What the map's address asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from healing.dashboard.map.choice import MORE_CENTRES
from healing.detection.inventory import Workload

MAX_TEXT_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the address asks for. ``known``: the etag of what the page shows already."""

    cluster: str = ""
    namespace: str = ""
    text: str = ""
    known: str = ""
    #: ``Kind/name``: draw what is around it
    focus: str = ""
    #: names of groups of the drawing that are open; as often as they were opened
    opened: tuple[str, ...] = ()

    @property
    def one(self) -> bool:
        """One namespace from near."""
        return bool(self.namespace)

    def address(self, *, focus: str | None = None, opened: Sequence[str] | None = None) -> str:
        """The query of the same namespace with another drawing."""
        values = {"cluster": self.cluster, "namespace": self.namespace}
        values["focus"] = self.focus if focus is None else focus
        chosen = [(name, value) for name, value in values.items() if value]
        return "?" + urlencode([*chosen, *(("open", name) for name in (self.opened if opened is None else opened))])

    @property
    def here(self) -> str:
        """The query of the page as it is."""
        address = self.address()
        return f"{address}&{urlencode({'text': self.text})}" if self.text else address

    def opening(self, group: str) -> str:
        """The query with one more group opened."""
        return self.address(opened=[*self.opened, group])

    @property
    def opening_more(self) -> str:
        """The query that begins with more of what is wrong."""
        return self.opening(MORE_CENTRES)

    @property
    def unfolded_nothing(self) -> str:
        """The query with all groups shut."""
        return self.address(opened=())

    @property
    def around_nothing(self) -> str:
        """The query of the whole namespace."""
        return self.address(focus="", opened=())

    def around(self, workload: Workload) -> str:
        """The query that draws what is around it, in its own namespace."""
        focus = f"{workload.kind}/{workload.name}"
        return replace(self, namespace=workload.namespace).address(focus=focus, opened=())
