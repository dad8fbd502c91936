"""Every English word a page shows can be translated: no bare text in a template, by Django's and HTML's parser, and no
bare sentence in the Python that makes words for pages."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db.models import Field
from django.template.base import Lexer, TokenType
from django.utils.functional import Promise

from tests.dashboard.english import Source

TEMPLATES = Path(settings.BASE_DIR) / "templates"
ALL = sorted(path for folder in ("dashboard", "registration") for path in (TEMPLATES / folder).rglob("*.html"))
#: Templates that nobody has gone through yet: this may only get shorter.
TO_DO: frozenset[str] = frozenset()
#: Names and notations, the same in every language.
NAMES = re.compile(r"ReCiSt|Slack|Ctrl|memory=512Mi")
PROJECT = Path(settings.BASE_DIR)
MODULES = sorted([*(PROJECT / "healing/dashboard").rglob("*.py"), *(PROJECT / "healing/templatetags").glob("*.py")])
#: English in Python that stays as it is, each with its reason.
EXCEPTIONS = {
    "manage.py watch": "a command to type",
    "manage.py rbac | kubectl apply -f -": "a command to type",
    "kubectl apply -f policy.yaml": "a command to type",
    "kubectl cluster-info": "a command to type",
    "none: the hub listens": "the name of a channel layer that there is not",
    "language model": "a topic as the record has it, to look up an icon",
    "dry run": "a topic as the record has it, to look up an icon",
    "of quota": "a unit as the record has it, to compare with",
    "Llm": "a word of a field's name",
    "Cpu": "a word of a field's name",
    "Language model": "the same word; titles of fields are their names in the resource",
    "%(function)s(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY %(expressions)s)": "SQL",
    'attachment; filename="postmortem-….md"': "a header of HTTP",
    "text/markdown; charset=utf-8": "a header of HTTP",
}
#: Fields whose choices are codes of healing.lifecycle, which `words.humanize` says.
_CODES = frozenset({"phase", "status", "outcome"})
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


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_no_module_has_english_that_cannot_be_translated(path: Path) -> None:
    source = Source(path.read_text(encoding="utf-8"))
    found = [(line, text) for line, text in source.bare() if text not in EXCEPTIONS]
    assert found == [], "Put it through gettext (or, where nobody reads it, into EXCEPTIONS with the reason)."
    assert list(source.unreadable()) == []


def test_the_words_of_every_choice_are_lazy() -> None:
    fields = [
        field
        for label in ("healing", "knowledge")
        for model in apps.get_app_config(label).get_models()
        for field in model._meta.get_fields()
        if isinstance(field, Field) and field.choices and field.name not in _CODES
    ]
    assert len(fields) > 15
    bare = [(str(field), says) for field in fields for _, says in field.flatchoices if not isinstance(says, Promise)]
    assert [(field, says) for field, says in bare if not NAMES.fullmatch(says)] == []


def test_the_exceptions_are_still_there() -> None:
    assert {text for path in MODULES for _, text in Source(path.read_text(encoding="utf-8")).bare()} >= set(EXCEPTIONS)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('return "The cluster is away."', ["The cluster is away."]),
        ('return Step(title, "done", says=f"Watching {n} objects.")', ["Watching … objects."]),
        ('says += f", {lag} behind"', [", … behind"]),
        ('return "Approved."', ["Approved."]),
        ('return {"log": "Logs", "spec": "Specs"}', ["Logs", "Specs"]),
        ('raise BadScope("The first day lies after the last one.")', ["The first day lies after the last one."]),
        ('return _("The cluster is away.")', []),
        ('return ngettext("%(count)s thing is away.", "%(count)s things are away.", n) % {"count": n}', []),
        ('log.warning("the cluster is away", reason=f"after {n} seconds")', []),
        ('raise Http404(f"There is no event {name}.")', []),
        ('"""Says what is the matter."""', []),
        ('return HealingEvent.objects.filter(kind="unsafe").order_by("-detected_at")', []),
        ('return f"M{x1} {y1}C{x2} {y2}"', []),
        ('return f"{value:.3g} MiB"', []),
        ("return '<p class=\"a b\"></p>'", []),
    ],
)
def test_english_in_python_is_seen_and_other_texts_are_not(line: str, found: list[str]) -> None:
    assert [text for _, text in _function(line).bare()] == found


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ('return _("%(count)s of %(all)s %%") % values', ""),
        ("return _(text)", "literal"),
        ('return _(f"Watching {n}")', "literal"),
        ('return _("Watching " + what)', "literal"),
        ("return f\"{_('Watching')} {n}\"", "f-strings"),
        ('return _("%s waits") % name', "names"),
        ('return _("{} waits").format(name)', "names"),
        ('return ngettext("one waits", "%(count)s wait", n)', ""),
        ('return ngettext("%(name)s waits", "%(count)s wait", n)', "every value"),
        ('return ngettext("%(count)s waits")', "literal"),
        ('key, _, rest = what.partition(":"); return _("Waits")', "uses _"),
        ('pairs = [key for key, _ in what]; return _("Waits")', ""),
    ],
)
def test_calls_that_no_translator_could_use_are_seen(line: str, wrong: str) -> None:
    found = list(_function(line).unreadable())
    assert (wrong in found[0] and len(found) == 1) if wrong else found == []


def test_what_is_made_with_the_module_has_to_be_lazy() -> None:
    imported = "from django.utils.translation import gettext as _, gettext_lazy\n"
    assert "lazy" in next(Source(f'{imported}WORDS = {{"a": _("Away")}}').unreadable())
    assert not list(Source(f'{imported}WORDS = {{"a": gettext_lazy("Away")}}').unreadable())


def _function(line: str) -> Source:
    return Source(f"from django.utils.translation import gettext as _, ngettext\ndef says():\n    {line}\n")
