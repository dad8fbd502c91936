"""Filters of the policies' pages."""

from __future__ import annotations

from healing.templatetags.policies import with_code


def test_what_stands_in_backticks_is_code_and_nothing_else_is_markup() -> None:
    assert with_code("heal: as `approval` says, `a<b`.") == "heal: as <code>approval</code> says, <code>a&lt;b</code>."
    assert with_code("<b>one ` alone") == "&lt;b&gt;one ` alone"
