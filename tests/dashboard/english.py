"""Reads the English of Python sources, as a translator's tools would: what goes through gettext, and what does not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

#: Functions of django.utils.translation: which arguments are texts, and whether the result may be kept.
GETTEXT = {
    "gettext": (0,),
    "gettext_lazy": (0,),
    "gettext_noop": (0,),
    "ngettext": (0, 1),
    "ngettext_lazy": (0, 1),
    "pgettext": (1,),
    "pgettext_lazy": (1,),
    "npgettext": (1, 2),
    "npgettext_lazy": (1, 2),
}
#: Where Django shows the text to nobody but programmers (DEBUG), or nobody ever.
FOR_PROGRAMMERS = frozenset({"Http404", "NotImplementedError", "LookupError", "RuntimeError", "AssertionError"})
#: What these are given is for machines and for who runs the server.
_SILENT_MODULES = frozenset({"log", "re"})
_SILENT_CALLS = frozenset({"TypeVar", "ParamSpec", "cast"})
_TAG = re.compile(r"<[^>]*>")
#: The same in every language: units of SI and memory, names of products and kinds, formats of time.
_NOTATION = re.compile(r"\b(?:[KMG]iB|ms|UTC|ReCiSt|Prometheus|Loki|Qdrant|Grafana|Node)\b|%-?[a-zA-Z]")
_SENTENCE = re.compile(r"[^\W\d_]{2,}[,;:.']? +[(“]?[^\W\d_]{2,}")
_CAPITALIZED = re.compile(r"[A-Z][a-z]{2,}[.!?…]?")
#: Of a text with holes less is enough: " more", "not counting ".
_BESIDE_A_HOLE = re.compile(r"(?:^|[ \0])[^\W\d_]{2,}(?: |$)| [^\W\d_]{2,}(?:$|[ \0.,;:)])")
_HOLE = re.compile(r"%\((\w+)\)[sd]")
_BAD_HOLE = re.compile(r"(?<!%)(?:%%)*%(?![%(])|\{\w*\}")


@dataclass(frozen=True)
class Message:
    """A text for translators. ``plural`` is empty where there is only one form."""

    text: str
    plural: str = ""
    context: str = ""


class Source:
    """One module."""

    def __init__(self, text: str) -> None:
        self.tree = ast.parse(text)
        self._parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        self._names = {
            alias.asname or alias.name: alias.name
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
            for alias in node.names
        }

    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Calls of gettext and the like, by the function's own name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and (name := self._function(node)) in GETTEXT:
                yield name, node

    def messages(self) -> Iterator[Message]:
        """What a translator gets."""
        for name, call in self.calls():
            texts = [_literal(arg) for arg in call.args[: GETTEXT[name][-1] + 1]]
            context = texts.pop(0) if GETTEXT[name][0] else ""
            yield Message(texts[0], texts[1] if len(texts) > 1 else "", context)

    def unreadable(self) -> Iterator[str]:
        """Calls that xgettext cannot read or a translator cannot translate, each with what is wrong."""
        for name, call in self.calls():
            wanted = call.args[: GETTEXT[name][-1] + 1]
            where = f"line {call.lineno}: {ast.unparse(call)[:80]}"
            if len(wanted) <= GETTEXT[name][-1] or not all(_is_literal(arg) for arg in wanted):
                yield f"{where}: needs its text as a literal"
                continue
            if any(isinstance(node, ast.JoinedStr) for node in self._above(call)):
                yield f"{where}: xgettext does not look into f-strings"
            if not name.endswith(("_lazy", "_noop")) and not self._is_in_function(call):
                yield f"{where}: would keep the language in which the module was loaded; it has to be lazy"
            texts = [_literal(arg) for arg in wanted[GETTEXT[name][0] :]]
            if any(_BAD_HOLE.search(text) for text in texts):
                yield f"{where}: values need names, %(name)s, for another order"
            if not set(_HOLE.findall(texts[0])) <= set(_HOLE.findall(texts[-1])):
                yield f"{where}: the plural needs every value that the singular has"
        for function in ast.walk(self.tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and self._hides(function):
                yield f"line {function.lineno}: {function.name} uses _ for a value and calls it as well"

    def bare(self) -> Iterator[tuple[int, str]]:
        """English that nobody can translate: (line, text)."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
                is_english = _is_english(text) or _BESIDE_A_HOLE.search(_plain(text)) is not None
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                if isinstance(self._parents.get(node), ast.JoinedStr | ast.FormattedValue):
                    continue
                text = node.value
                is_english = _is_english(text) or (
                    self._is_shown(node) and _CAPITALIZED.fullmatch(_plain(text)) is not None
                )
            else:
                continue
            if is_english and not self._is_excused(node):
                yield node.lineno, text.replace("\0", "…")

    def _function(self, call: ast.Call) -> str:
        return self._names.get(call.func.id, "") if isinstance(call.func, ast.Name) else ""

    def _above(self, node: ast.AST) -> Iterator[ast.AST]:
        while (node := self._parents.get(node, self.tree)) is not self.tree:
            yield node

    def _is_in_function(self, node: ast.AST) -> bool:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        return any(isinstance(above, kinds) for above in self._above(node))

    def _hides(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
        if "_" not in self._names:
            return False
        inner = list(ast.walk(function))
        # The variable of a comprehension is its own; nobody else sees it.
        own = {n for c in inner if isinstance(c, ast.comprehension) for n in ast.walk(c.target)}
        mine = [n for n in inner if isinstance(n, ast.Name) and n.id == "_" and n not in own]
        called = {n.func for n in inner if isinstance(n, ast.Call)}
        return any(isinstance(n.ctx, ast.Store) for n in mine) and not called.isdisjoint(mine)

    def _is_shown(self, node: ast.AST) -> bool:
        """Whether a single word is more than a key, a code or something compared."""
        above = self._parents.get(node)
        if isinstance(above, ast.Dict):
            return node in above.values
        return isinstance(above, ast.Return | ast.Yield | ast.IfExp | ast.BoolOp | ast.Call | ast.keyword | ast.Tuple)

    def _is_excused(self, node: ast.AST) -> bool:
        for above in self._above(node):
            if isinstance(above, ast.Call):
                function = above.func
                if self._function(above) in GETTEXT:
                    return True
                name = function.id if isinstance(function, ast.Name) else ""
                if isinstance(function, ast.Attribute):
                    if isinstance(function.value, ast.Name) and function.value.id in _SILENT_MODULES:
                        return True
                    name = function.attr
                if name in FOR_PROGRAMMERS and isinstance(self._parents.get(above), ast.Raise):
                    return True
                if name in _SILENT_CALLS:
                    return True
        return isinstance(self._parents.get(node), ast.Expr)  # a docstring


def _plain(text: str) -> str:
    return _NOTATION.sub("", _TAG.sub(" ", text))


def _is_english(text: str) -> bool:
    return _SENTENCE.search(_plain(text)) is not None


def _is_capitalized(text: str) -> bool:
    return _CAPITALIZED.fullmatch(_plain(text)) is not None


def _is_literal(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _literal(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
