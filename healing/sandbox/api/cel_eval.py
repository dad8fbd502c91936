"""An evaluator for the part of CEL that CRD rules use.

Operators, ``has``, macros over lists and maps (``all exists exists_one filter map``), the standard string, list and
conversion functions. An expression that uses more raises `CelError`, which refuses the object with a clear message.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from healing.sandbox.api.cel_functions import FUNCTIONS, METHODS, CelError

_TOKEN_RE = re.compile(
    r"\s*(?:(?P<number>\d+\.\d+|\d+u?)|(?P<string>r?'(?:[^'\\]|\\.)*'|r?\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<op>\|\||&&|==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}]))"
)
_PRECEDENCE = [["||"], ["&&"], ["==", "!=", "<", "<=", ">", ">=", "in"], ["+", "-"], ["*", "/", "%"]]
_MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})

Env = Mapping[str, Any]
Node = Callable[[Env], Any]


def evaluate(text: str, variables: Env) -> Any:
    """The value of ``text``; CelError if there is none."""
    try:
        return _compiled(text)(variables)
    except CelError:
        raise
    except (TypeError, ValueError, KeyError, IndexError, ZeroDivisionError, AttributeError) as error:
        raise CelError(str(error)) from error


@functools.lru_cache(maxsize=1024)
def _compiled(text: str) -> Node:
    parser = _Parser(text)
    node = parser.expression()
    if parser.peek():
        raise CelError(f"unexpected {parser.peek()!r}")
    return node


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        position = 0
        stripped = text.rstrip()
        while position < len(stripped):
            match = _TOKEN_RE.match(stripped, position)
            if match is None:
                raise CelError(f"unexpected character {stripped[position]!r}")
            kind = match.lastgroup or ""
            self._tokens.append((kind, match.group(kind)))
            position = match.end()
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _kind(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise CelError("unexpected end of the rule")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, token: str) -> None:
        if self._next()[1] != token:
            raise CelError(f"expected {token!r}")

    def expression(self) -> Node:
        condition = self._binary(0)
        if self.peek() != "?":
            return condition
        self._next()
        yes = self._binary(0)
        self._expect(":")
        no = self.expression()
        return lambda env: yes(env) if _truth(condition(env)) else no(env)

    def _binary(self, level: int) -> Node:
        if level == len(_PRECEDENCE):
            return self._unary()
        left = self._binary(level + 1)
        while self.peek() in _PRECEDENCE[level] and self._kind() in ("op", "name"):
            operator = self._next()[1]
            left = _operation(operator, left, self._binary(level + 1))
        return left

    def _unary(self) -> Node:
        if self.peek() == "!" and self._kind() == "op":
            self._next()
            inner = self._unary()
            return lambda env: not _truth(inner(env))
        if self.peek() == "-" and self._kind() == "op":
            self._next()
            inner = self._unary()
            return lambda env: -inner(env)
        return self._postfix()

    def _postfix(self) -> Node:
        node = self._primary()
        while self._kind() == "op" and self.peek() in (".", "["):
            if self._next()[1] == "[":
                index = self.expression()
                self._expect("]")
                node = _indexed(node, index)
                continue
            name = self._next()[1]
            node = self._call(node, name) if self.peek() == "(" and self._kind() == "op" else _selected(node, name)
        return node

    def _arguments(self) -> list[Node]:
        self._expect("(")
        arguments: list[Node] = []
        while self.peek() != ")":
            arguments.append(self.expression())
            if self.peek() == ",":
                self._next()
        self._expect(")")
        return arguments

    def _call(self, target: Node, name: str) -> Node:
        if name in _MACROS:
            self._expect("(")
            variable = self._next()[1]
            self._expect(",")
            body = self.expression()
            transform = None
            if self.peek() == ",":
                self._next()
                transform = self.expression()
            self._expect(")")
            return _macro(name, target, variable, body, transform)
        arguments = self._arguments()
        method = METHODS.get(name)
        if method is None:
            raise CelError(f"undeclared reference to '{name}'")
        return lambda env: method(target(env), *[argument(env) for argument in arguments])

    def _primary(self) -> Node:
        kind, text = self._next()
        if kind == "number":
            value: Any = float(text) if "." in text else int(text.rstrip("u"))
            return lambda _env: value
        if kind == "string":
            string = _unquoted(text)
            return lambda _env: string
        if text == "(":
            inner = self.expression()
            self._expect(")")
            return inner
        if text == "[":
            return self._list()
        if text == "{":
            return self._map()
        if kind != "name":
            raise CelError(f"unexpected {text!r}")
        constants = {"true": True, "false": False, "null": None}
        if text in constants:
            return lambda _env: constants[text]
        if self.peek() == "(" and self._kind() == "op":
            return self._function(text)
        return lambda env: _variable(env, text)

    def _list(self) -> Node:
        items: list[Node] = []
        while self.peek() != "]":
            items.append(self.expression())
            if self.peek() == ",":
                self._next()
        self._expect("]")
        return lambda env: [item(env) for item in items]

    def _map(self) -> Node:
        entries: list[tuple[Node, Node]] = []
        while self.peek() != "}":
            key = self.expression()
            self._expect(":")
            entries.append((key, self.expression()))
            if self.peek() == ",":
                self._next()
        self._expect("}")
        return lambda env: {key(env): value(env) for key, value in entries}

    def _function(self, name: str) -> Node:
        if name == "has":
            self._expect("(")
            target = self._primary()
            steps: list[str] = []
            while self.peek() == ".":
                self._next()
                steps.append(self._next()[1])
            self._expect(")")
            if not steps:
                raise CelError("has() needs a field selection")
            return lambda env: _has(target(env), steps)
        arguments = self._arguments()
        function = FUNCTIONS.get(name)
        if function is None:
            raise CelError(f"undeclared reference to '{name}'")
        return lambda env: function(*[argument(env) for argument in arguments])


def _unquoted(text: str) -> str:
    if text.startswith("r"):
        return text[2:-1]
    simple = {"n": "\n", "t": "\t", "r": "\r"}
    return re.sub(r"\\(.)", lambda match: simple.get(match[1], match[1]), text[1:-1])


def _variable(env: Env, name: str) -> Any:
    if name not in env:
        raise CelError(f"undeclared reference to '{name}'")
    return env[name]


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise CelError("no such overload: a condition is not a boolean")
    return value


def _escaped(name: str) -> str:
    """Field names that are no identifiers are written escaped."""
    for code, char in (("__dot__", "."), ("__dash__", "-"), ("__slash__", "/"), ("__underscores__", "__")):
        name = name.replace(code, char)
    return re.sub(r"^__(\w+)__$", r"\1", name)


def _field(value: Any, name: str) -> Any:
    real = name if isinstance(value, dict) and name in value else _escaped(name)
    if not isinstance(value, dict) or real not in value:
        raise CelError(f"no such key: {name}")
    return value[real]


def _selected(node: Node, name: str) -> Node:
    return lambda env: _field(node(env), name)


def _indexed(node: Node, index: Node) -> Node:
    def get(env: Env) -> Any:
        value, key = node(env), index(env)
        if isinstance(value, list) and (not isinstance(key, int) or not 0 <= key < len(value)):
            raise CelError(f"index out of bounds: {key}")
        return value[key]

    return get


def _has(value: Any, steps: list[str]) -> bool:
    for step in steps[:-1]:
        value = _field(value, step)
    return isinstance(value, dict) and (steps[-1] in value or _escaped(steps[-1]) in value)


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    return bool(left == right)


def _divide(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int):
        if right == 0:
            raise CelError("division by zero")
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return left / right


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": _same,
    "!=": lambda left, right: not _same(left, right),
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "in": lambda left, right: left in right,
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _divide,
    "%": lambda left, right: left - right * _divide(left, right),
}


def _operation(operator: str, left: Node, right: Node) -> Node:
    if operator in ("||", "&&"):
        return _logical(left, right, decisive=operator == "||")
    function = _OPERATORS[operator]
    return lambda env: function(left(env), right(env))


def _logical(left: Node, right: Node, *, decisive: bool) -> Node:
    """An error on one side does not matter if the other side decides."""

    def decide(env: Env) -> bool:
        try:
            first = _truth(left(env))
        except (CelError, TypeError, KeyError) as error:
            if _truth(right(env)) is decisive:
                return decisive
            raise CelError(str(error)) from error
        return decisive if first is decisive else _truth(right(env))

    return decide


def _macro(name: str, target: Node, variable: str, body: Node, transform: Node | None) -> Node:
    def run(env: Env) -> Any:
        items = list(target(env))
        scopes = [{**env, variable: item} for item in items]
        if name == "map":
            if transform is not None:
                return [transform(scope) for scope in scopes if _truth(body(scope))]
            return [body(scope) for scope in scopes]
        verdicts = [_truth(body(scope)) for scope in scopes]
        if name == "all":
            return all(verdicts)
        if name == "exists":
            return any(verdicts)
        if name == "exists_one":
            return sum(verdicts) == 1
        return [item for item, good in zip(items, verdicts, strict=True) if good]

    return run
