"""`kubectl describe` and `kubectl get` say of a pod in trouble what they said of it in the recorded cluster."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator

import pytest

from tests.sandbox_world.described import Description, Museum, plain
from tests.sandbox_world.recorded import View
from tests.sandbox_world.test_recordings import CHANCE, CHANCE_EVENTS, SCENARIOS, views

#: scenarios in which pods are left at the end
WITH_PODS = [
    scenario for scenario in SCENARIOS if scenario not in ("quota-services", "quota-storage", "missing-serviceaccount")
]
#: when to look, where the recording ends in the middle of a restart
UNTIL_SECONDS = {"command-not-found": 30.0}


class Shown:
    def __init__(self, recorded: Museum, ours: Museum) -> None:
        self.descriptions = recorded.describe_pods(), ours.describe_pods()
        self.rows = recorded.get_pods(), ours.get_pods()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    museums = [Museum(tmp_path_factory.mktemp("kubectl")) for _ in range(2)]
    try:
        for scenario in WITH_PODS:
            for view, museum in zip(views(scenario), museums, strict=True):
                museum.show(scenario, last_versions(view, UNTIL_SECONDS.get(scenario, math.inf)))
        yield Shown(*museums)
    finally:
        for museum in museums:
            museum.close()


def last_versions(view: View, until_seconds: float) -> Iterator[tuple[str, dict[str, object]]]:
    for resource in ("pods", "events"):
        for versions in view.versions(resource).values():
            last = [seen for seen in versions if seen.t <= until_seconds or seen is versions[0]][-1]
            # What a pod shows while it goes depends on the very moment.
            if last.type != "DELETED" and not last.object["metadata"].get("deletionTimestamp"):
                yield resource, last.object


def described(view: View, texts: list[str], namespace: str) -> list[Description]:
    found = [plain(text, lambda words: view.plain(words).replace(namespace, "NAMESPACE")) for text in texts]
    return sorted(found, key=lambda item: (item.lines, item.events))


@pytest.mark.parametrize("scenario", WITH_PODS)
def test_describe_says_the_same(shown: Shown, scenario: str) -> None:
    recorded, ours = (
        described(view, texts.get(scenario, []), scenario)
        for view, texts in zip(views(scenario), shown.descriptions, strict=True)
    )
    assert len(recorded) == len(ours)
    noise = CHANCE + CHANCE_EVENTS.get(scenario, ())
    for one, other in zip(recorded, ours, strict=True):
        wanted, seen = (
            [*item.lines, *(e for e in item.events if not any(n in e for n in noise))] for item in (one, other)
        )
        difference = "\n".join(difflib.unified_diff(wanted, seen, "recorded", "here", n=0, lineterm=""))
        assert not difference, difference


@pytest.mark.parametrize("scenario", WITH_PODS)
def test_get_shows_the_same(shown: Shown, scenario: str) -> None:
    recorded, ours = (sorted(rows.get(scenario, [])) for rows in shown.rows)
    assert ours == recorded
