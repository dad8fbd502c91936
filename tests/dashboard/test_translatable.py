"""Every English word a page shows can be translated: no bare text in a template, by Django's and HTML's parser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import settings
from django.template.base import Lexer, TokenType

TEMPLATES = Path(settings.BASE_DIR) / "templates" / "dashboard"
ALL = sorted(TEMPLATES.rglob("*.html"))
#: Templates that nobody has gone through yet: this may only get shorter.
TO_DO: frozenset[str] = frozenset()
#: Names and notations, the same in every language.
NAMES = re.compile(r"ReCiSt|Slack|Ctrl|memory=512Mi")
_ATTRIBUTES = frozenset({"aria-label", "title", "placeholder", "alt", "data-title", "data-last"})
_VERBATIM = frozenset({"code", "kbd", "pre", "samp", "script", "style"})
_WORD = re.compile(r"[^\W\d_]{2,}")
#: English that filters write: a default in words, and plurals, which other languages form otherwise.
_IN_FILTER = re.compile(r'\|pluralize|\|default:"[^"]*[^\W\d_]{3,}')


class _Bare(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._verbatim = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._verbatim += tag in _VERBATIM
        for name, value in attrs:
            if name in _ATTRIBUTES:
                self._look(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._verbatim -= tag in _VERBATIM

    def handle_data(self, data: str) -> None:
        if not self._verbatim:
            self._look(data)

    def _look(self, text: str) -> None:
        if _WORD.search(NAMES.sub("", text)):
            self.found.append(" ".join(text.split()))


def bare_words(source: str) -> list[str]:
    """Words of a template outside of `{% translate %}` and `{% blocktranslate %}`."""
    html, filters, is_translated = [], [], False
    for token in Lexer(source).tokenize():
        if token.token_type == TokenType.BLOCK:
            name = token.contents.split()[0]
            is_translated = {"blocktranslate": True, "endblocktranslate": False}.get(name, is_translated)
            html.append(" ")
        if token.token_type in (TokenType.BLOCK, TokenType.VAR) and _IN_FILTER.search(token.contents):
            filters.append(token.contents)
        if token.token_type == TokenType.TEXT and not is_translated:
            html.append(token.contents)
    parser = _Bare()
    parser.feed("".join(html))
    parser.close()
    return parser.found + filters


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_no_template_has_words_that_cannot_be_translated(path: Path) -> None:
    found = bare_words(path.read_text(encoding="utf-8"))
    if str(path.relative_to(TEMPLATES)) in TO_DO:
        assert found, "It is done: take it off the list."
    else:
        assert found == []


def test_the_list_of_what_is_to_do_names_templates() -> None:
    assert len(ALL) > 60
    assert {str(path.relative_to(TEMPLATES)) for path in ALL} >= TO_DO


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>Hello</p>", ["Hello"]),
        ('<p>{% translate "Hello" %} {{ name }}.</p>', []),
        ("<p>{% blocktranslate %}Hello {{ name }}{% endblocktranslate %} you</p>", ["you"]),
        ('<a{% if x %} title="Go{{ to }}"{% endif %}>·</a>', ["Go"]),
        ('<a class="row {{ kind }}" aria-label="{% translate "Go" %}">→ 12</a>', []),
        ('{{ n }} {{ n|pluralize }} {{ kind|default:"none" }}', ["n|pluralize", 'kind|default:"none"']),
        ("<code>kubectl get he</code> {# a note #}{{ kind|default:other }}", []),
    ],
)
def test_bare_words_are_seen_and_others_are_not(source: str, found: list[str]) -> None:
    assert bare_words(source) == found
