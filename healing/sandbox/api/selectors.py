"""Label and field selectors: parsing what clients send, and matching."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from healing.sandbox.api import errors
from healing.sandbox.api.validation import LABEL_VALUE_TEXT, qualified_name_problem
from healing.sandbox.ports import Object

_VALUE_RE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_MAX_VALUE = 63


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on labels; ``operator`` is in, notin, exists, !, gt or lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        if self.operator == "exists":
            return value is not None
        if self.operator == "!":
            return value is None
        if self.operator == "notin":
            return value is None or value not in self.values
        if value is None:
            return False
        if self.operator == "in":
            return value in self.values
        try:
            number, bound = int(value), int(next(iter(self.values)))
        except ValueError:
            return False
        return number > bound if self.operator == "gt" else number < bound


@dataclass(frozen=True, slots=True)
class LabelSelector:
    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)


def selector_matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """A LabelSelector object (matchLabels, matchExpressions) against labels; an empty one matches everything."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions") or ():
        key, operator = expression.get("key", ""), expression.get("operator")
        values = expression.get("values") or ()
        have = labels.get(key)
        if operator == "In":
            good = have is not None and have in values
        elif operator == "NotIn":
            good = have is None or have not in values
        elif operator == "Exists":
            good = have is not None
        else:
            good = have is None
        if not good:
            return False
    return True


_TOKEN_RE = re.compile(r"\s*(==|!=|=|!|<|>|\(|\)|,|[^\s=!<>(),]+)")


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        position = 0
        while position < len(text):
            match = _TOKEN_RE.match(text, position)
            if match is None:
                break
            self._tokens.append(match.group(1))
            position = match.end()
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def next(self) -> str:
        word = self.peek()
        self._at += 1
        return word

    def parse(self) -> LabelSelector:
        requirements = []
        if not self._tokens:
            return LabelSelector()
        while True:
            requirements.append(self._requirement())
            word = self.next()
            if word == "":
                return LabelSelector(tuple(requirements))
            if word != ",":
                raise errors.bad_request(
                    f"unable to parse requirement: found '{word}', expected: ',' or 'end of string'"
                )

    def _requirement(self) -> Requirement:
        if self.peek() == "!":
            self.next()
            return Requirement(self._key(), "!")
        key = self._key()
        word = self.peek()
        if word in ("", ","):
            return Requirement(key, "exists")
        operator = self.next()
        if operator in ("in", "notin"):
            return Requirement(key, operator, self._set())
        if operator in ("=", "==", "!="):
            return Requirement(key, "notin" if operator == "!=" else "in", frozenset({self._exact()}))
        if operator in ("<", ">"):
            return Requirement(key, "gt" if operator == ">" else "lt", frozenset({self._exact()}))
        raise errors.bad_request(
            f"unable to parse requirement: found '{operator}', expected: in, notin, =, ==, !=, gt, lt"
        )

    def _key(self) -> str:
        key = self.next()
        if not key or key in ("=", "==", "!=", "(", ")", ",", "<", ">"):
            raise errors.bad_request(
                f"unable to parse requirement: found '{key}', expected: !, identifier, or 'end of string'"
            )
        problem = qualified_name_problem(key)
        if problem:
            raise errors.bad_request(f'unable to parse requirement: key: Invalid value: "{key}": {problem}')
        return key

    def _exact(self) -> str:
        if self.peek() in ("", ","):
            return ""
        return _checked(self.next())

    def _set(self) -> frozenset[str]:
        word = self.next()
        if word != "(":
            raise errors.bad_request(f"unable to parse requirement: found '{word}' expected: '('")
        values: set[str] = set()
        expect_value = True
        while True:
            word = self.next()
            if word == ")":
                if expect_value:
                    values.add("")
                return frozenset(values)
            if word == ",":
                if expect_value:
                    values.add("")
                expect_value = True
            elif word == "" or not expect_value:
                raise errors.bad_request(
                    f"unable to parse requirement: found '{word}', expected: ',', ')' or identifier"
                )
            else:
                values.add(_checked(word))
                expect_value = False


def _checked(value: str) -> str:
    if len(value) > _MAX_VALUE:
        raise errors.bad_request(
            f'unable to parse requirement: values[0][]: Invalid value: "{value}": must be no more than 63 bytes'
        )
    if not _VALUE_RE.fullmatch(value):
        raise errors.bad_request(
            f'unable to parse requirement: values[0][]: Invalid value: "{value}": {LABEL_VALUE_TEXT}'
        )
    return value


def parse_label_selector(text: str) -> LabelSelector:
    """400 `ApiError` in the API's words if ``text`` is no selector."""
    return _Parser(text).parse()


# -- field selectors --------------------------------------------------------------------------------------------------

_COMMON_FIELDS = ("metadata.name", "metadata.namespace")
#: storage -> fields that can be selected; others have only name and namespace
_FIELDS: dict[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ),
    "events": (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase",),
    "secrets": ("type",),
    "services": ("spec.clusterIP", "spec.type"),
    "replicasets.apps": ("status.replicas",),
    "replicationcontrollers": ("status.replicas",),
    "jobs.batch": ("status.successful",),
}


@dataclass(frozen=True, slots=True)
class FieldTerm:
    path: str
    value: str
    equal: bool


@dataclass(frozen=True, slots=True)
class FieldSelector:
    terms: tuple[FieldTerm, ...] = ()

    @property
    def name(self) -> str | None:
        """The one name selected, if it is."""
        return next((term.value for term in self.terms if term.path == "metadata.name" and term.equal), None)

    def matches(self, obj: Object) -> bool:
        return all((field_value(obj, term.path) == term.value) == term.equal for term in self.terms)


def field_value(obj: Object, path: str) -> str:
    """The value as a selector sees it: a string, empty if absent."""
    if path == "source":
        return str((obj.get("source") or {}).get("component") or obj.get("reportingComponent") or "")
    value: Any = obj
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if path == "status.podIPs":
        return ",".join(item.get("ip", "") for item in value or ())
    if value is None:
        return "false" if path in ("spec.unschedulable", "spec.hostNetwork") else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def parse_field_selector(
    text: str, storage: str, selectable: Callable[[str], bool] = lambda _path: False
) -> FieldSelector:
    """400 `ApiError` if a field cannot be selected. ``selectable`` knows a custom resource's fields."""
    terms = []
    for part in filter(None, (item.strip() for item in text.split(","))):
        match = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", part)
        if match is None:
            raise errors.bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
        path, operator, value = match.groups()
        path = path.strip()
        if storage == "events" and path.startswith("regarding."):
            path = "involvedObject." + path.removeprefix("regarding.")
        known = path in _COMMON_FIELDS or path in _FIELDS.get(storage, ()) or selectable(path)
        if not known:
            raise errors.bad_request(f"field label not supported: {path}")
        terms.append(FieldTerm(path, value, operator != "!="))
    return FieldSelector(tuple(terms))
