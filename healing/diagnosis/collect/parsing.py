"""Documents in files as people make them: JSON, JSON after JSON, a line each, YAML; what is cut off is read as far as
it goes."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import yaml

from healing.diagnosis import reading as r
from healing.ports.metrics import Series

_ITEMS = re.compile(r'"items"\s*:\s*\[')
_TIME_COLUMNS = ("time", "timestamp", "ts", "datetime")


class Unreadable(ValueError):
    """Nothing in the text can be used; the message says why."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen at run time
    """Safe, and leaves times as the strings they are in JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def decoded(data: bytes) -> str:
    """UTF-8, or UTF-16 with its mark as a Windows shell redirects it. Raises `Unreadable`."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in data[:4096] or len(data) < 200:
            raise Unreadable(f"not text ({error})") from error
        return data.decode("utf-8", errors="replace")


def json_documents(text: str) -> tuple[list[Any], str]:
    """(documents, what is wrong with the rest or empty). Raises `Unreadable`."""
    if not text.strip():
        return [], ""
    try:
        return [json.loads(text)], ""
    except (ValueError, RecursionError) as error:
        first = " ".join(str(error).split())[:200]
    documents, end = _one_after_another(text)
    if end >= len(text.rstrip()):
        return documents, ""
    rest = _items_of_a_cut_list(text[end:])
    if rest:
        documents.append({"kind": "List", "items": rest, "truncated": True})
    if not documents:
        raise Unreadable(f"cannot be parsed ({first})")
    return documents, f"damaged after {len(documents)} documents and {len(rest)} objects ({first})"


def _one_after_another(text: str) -> tuple[list[Any], int]:
    decoder = json.JSONDecoder()
    documents: list[Any] = []
    position = 0
    while True:
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1
        if position >= len(text):
            return documents, position
        try:
            document, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            return documents, position
        documents.append(document)


def _items_of_a_cut_list(text: str) -> list[Any]:
    start = _ITEMS.search(text)
    position = start.end() if start is not None else text.find("[") + 1 if text.lstrip().startswith("[") else -1
    if position < 0:
        return []
    found, _ = _one_after_another(text[position:])
    return [item for item in found if isinstance(item, dict)]


def yaml_documents(text: str) -> tuple[list[Any], str]:
    """(documents, what is wrong with the rest or empty). Raises `Unreadable`."""
    if text.lstrip()[:1] == "{":
        try:
            return json_documents(text)
        except Unreadable:
            pass  # YAML has braces, too
    documents: list[Any] = []
    try:
        for document in yaml.load_all(io.StringIO(text), Loader=_Loader):
            documents.append(document)  # noqa: PERF402 - what was read before the error counts
        return documents, ""
    except (ValueError, yaml.YAMLError, RecursionError, AttributeError, TypeError, KeyError) as error:
        why = " ".join(str(error).split())[:200]
        mark = getattr(error, "problem_mark", None)
    rest = _before_the_damage(text, mark.line if mark is not None else None, len(documents))
    documents += rest
    if not any(isinstance(d, dict | list) for d in documents):
        raise Unreadable(f"cannot be parsed ({why})")
    return documents, f"damaged after {len(documents)} documents ({why})"


def _before_the_damage(text: str, line: int | None, known: int) -> list[Any]:
    """The objects of a cut list that end before the damaged one."""
    lines = text.splitlines()
    starts = [i for i, one in enumerate(lines[: line if line is not None else None]) if re.match(r"^(?:  )?- \S", one)]
    for cut in reversed(starts[-3:]):
        try:
            found = list(yaml.load_all(io.StringIO("\n".join(lines[:cut])), Loader=_Loader))
        except (ValueError, yaml.YAMLError, RecursionError, AttributeError, TypeError, KeyError):
            continue
        return found[known:]
    return []


def is_series(document: Any) -> bool:
    """Whether the document holds series of Prometheus: a list of them, or an answer of its API."""
    return any(True for _ in series_entries(document))


def series_entries(document: Any) -> list[r.Object]:
    """The entries that look like series."""
    if isinstance(document, dict):
        found = r.at(document, "data", "result")
        document = found if isinstance(found, list) else r.at(document, "result") or r.at(document, "series") or []
    if not isinstance(document, list):
        return []
    return [
        e
        for e in document
        if isinstance(e, dict) and isinstance(e.get("metric"), dict) and ("values" in e or "value" in e)
    ]


def series_of(entry: r.Object) -> Series | None:
    """A series of Prometheus' API; None where its values are none."""
    values = entry.get("values")
    if values is None and entry.get("value") is not None:
        values = [entry["value"]]
    if not isinstance(values, list):
        return None
    points = []
    for pair in values:
        try:
            time, value = pair
            points.append((float(time), float(value)))
        except (TypeError, ValueError):
            continue
    labels = {str(k): str(v) for k, v in r.mapping(entry, "metric").items() if isinstance(v, str | int | float)}
    return Series(labels, tuple(sorted(points, key=lambda p: p[0]))) if points else None


def alert_entries(document: Any) -> list[r.Object]:
    """Alerts of Prometheus, of Alertmanager's API or of its webhook."""
    if isinstance(document, dict):
        found = r.at(document, "data", "alerts") or r.at(document, "alerts") or r.at(document, "data")
        document = found if isinstance(found, list) else []
    if not isinstance(document, list):
        return []
    return [e for e in document if isinstance(e, dict) and r.text(e, "labels", "alertname")]


def series_of_table(text: str) -> list[Series]:
    """A table of numbers with a column of times: each other column is a series named like it."""
    try:
        rows = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise Unreadable(f"no table ({error})") from error
    header, *rows = rows or [[]]
    column = next((i for i, name in enumerate(header) if name.strip().lower() in _TIME_COLUMNS), None)
    if column is None:
        return []
    points: list[list[tuple[float, float]]] = [[] for _ in header]
    for row in rows:
        try:
            time = float(row[column])
        except (ValueError, IndexError):
            continue
        for index, cell in enumerate(row[: len(header)]):
            if index != column and cell.strip():
                try:
                    points[index].append((time, float(cell)))
                except ValueError:
                    continue
    return [
        Series({"__name__": name.strip()}, tuple(p))
        for name, p in zip(header, points, strict=True)
        if p and name.strip()
    ]
