"""The picture of the cluster stays one picture, whether it is asked as a whole or by namespace."""

from __future__ import annotations

from hypothesis import given, strategies as st

from healing.detection.cache import ObjectCache

_PLACES = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y", "z"]))
_STEPS = st.one_of(
    st.tuples(st.just("ADDED"), st.lists(_PLACES, min_size=1, max_size=1)),
    st.tuples(st.just("DELETED"), st.lists(_PLACES, min_size=1, max_size=1)),
    st.tuples(st.just("LIST"), st.lists(_PLACES, max_size=6, unique=True)),
)


@given(st.lists(_STEPS, max_size=20))
def test_by_namespace_and_as_a_whole_it_holds_the_same(steps: list[tuple[str, list[tuple[str, str]]]]) -> None:
    cache, wanted = ObjectCache(), dict[tuple[str, str], int]()
    for number, (what, places) in enumerate(steps):
        objects = [
            {"kind": "Pod", "metadata": {"namespace": namespace, "name": name}, "number": number}
            for namespace, name in places
        ]
        if what == "LIST":
            cache.replace("Pod", objects)
            wanted = dict.fromkeys(places, number)
        else:
            cache.apply(what, objects[0])
            wanted.pop(places[0], None)
            wanted |= {places[0]: number} if what == "ADDED" else {}
    assert _held(cache.list("Pod")) == wanted
    for namespace in ("a", "b"):
        assert _held(cache.list("Pod", namespace)) == {key: n for key, n in wanted.items() if key[0] == namespace}


def _held(objects: list[dict[str, object]]) -> dict[tuple[str, str], object]:
    return {(o["metadata"]["namespace"], o["metadata"]["name"]): o["number"] for o in objects}  # type: ignore[index]
