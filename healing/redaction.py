"""Takes secrets out of text before it is stored, shown or sent to a language model.

What is replaced keeps its kind (``[token]``), so that a log line stays readable. Nothing can be turned back.
"""

from __future__ import annotations

import functools
import re
from itertools import pairwise
from typing import Any

_PRIVATE_KEY = re.compile(r"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?)-----.*?(?:-----END \1-----|\Z)", re.DOTALL)
_URL_PASSWORD = re.compile(r"\b([a-z][a-z0-9+.\-]{1,30}://)([^\s:/?#@\"']*):([^\s\"']+)@(?=[^\s@])", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)?")
_SCHEME = re.compile(r"\b(bearer|basic|digest|negotiate|token)\s+([A-Za-z0-9._~+/=\-]{8,})", re.IGNORECASE)
_KNOWN_TOKENS = re.compile(
    r"\b(?:"
    r"(?:AKIA|ASIA|AIDA|AROA)[A-Z0-9]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}"
    r"|xox[abeprs]-[A-Za-z0-9-]{10,}|sk-[A-Za-z0-9_-]{16,}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"
    r"|AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{20,}|hv[sb]\.[A-Za-z0-9_-]{20,}|dop_v1_[a-f0-9]{32,}"
    r"|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{20,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"
    r"|hooks\.slack\.com/services/[A-Za-z0-9/]+"
    r")"
)
_NAME = r"(?<![A-Za-z0-9_])([A-Za-z][A-Za-z0-9_.\-]{1,80})"
#: name=value, name: value, "name": "value"; a value in quotes may hold anything
_QUOTED = re.compile(rf"({_NAME}[\"']?\s*[:=]\s*)(\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')")
_PLAIN = re.compile(rf"({_NAME}[\"']?\s*(?:=|:(?!//))\s*)([^\s\"',;&}}\])]+)")
_OPTION = re.compile(r"((?<!\S)--?([A-Za-z][A-Za-z0-9_.\-]{1,80})\s+)([^\s\-\"'][^\s\"']*)")
_EMAIL = re.compile(r"\b[A-Za-z0-9._%+\-]{1,64}@(?:[A-Za-z0-9\-]{1,63}\.)+[A-Za-z]{2,24}\b")
_CARD = re.compile(r"(?<![\d.\-])\d(?:[ -]?\d){12,18}(?![\d.]|-\d)")
_IPV4 = re.compile(r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])")

#: Words in a name that make the value beside it a secret, and pairs of words that do.
_SECRET_WORDS = frozenset(
    "password passwd passphrase passcode pass pwd secret secrets token tokens credential credentials authorization"
    " cookie apikey accesskey secretkey privatekey pin otp sas bearer auth".split()
)
_SECRET_PAIRS = frozenset(
    [(first, "key") for first in "api access private secret signing encryption account shared master license".split()]
    + [("session", "id"), ("session", "key"), ("connection", "string"), ("set", "cookie")]
)
_SECRET_PARTS = re.compile(r"password|passwd|secret|apikey|token$|credential")
#: A last word that says that the value only tells something about a secret.
_ABOUT = frozenset(
    "name names ref file path url uri endpoint type kind count size length limit ttl expiry expires expiration age mode"
    " method enabled required status error version policy provider id".split()
)
_HARMLESS = re.compile(
    r"^(?:|null|none|nil|true|false|missing|empty|unset|invalid|required|expired|not|is|was|are|has|must|could|cannot|can"
    r"|for|failed|failure|error|denied|rejected|found|bearer|basic|digest|negotiate|token|\$\{?[A-Za-z_(].*|<[a-z][^>]*>)$",
    re.IGNORECASE,
)
#: Values of secrets that this process has read; shorter ones are words that may be anywhere.
_HIDDEN: dict[str, None] = {}
_HIDDEN_AT_LEAST, _HIDDEN_AT_MOST = 6, 512
_REPLACED = re.compile(r"^\[(?:secret|token|key|e-mail|card|address)\]?$")
_PATH_WORDS = re.compile(r"[^.\[\]/]+")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def redact(text: str, *, addresses: bool = False) -> str:
    """The text without keys, tokens, passwords, JWTs, connection strings, private keys, e-mails and card numbers.

    ``addresses`` takes IPv4 addresses out as well. Redacting twice changes nothing more.
    """
    if not text:
        return text
    text = _PRIVATE_KEY.sub("[key]", text)
    text = _URL_PASSWORD.sub(r"\1\2:[secret]@", text)
    text = _JWT.sub("[token]", text)
    text = _KNOWN_TOKENS.sub("[token]", text)
    text = _SCHEME.sub(_after_scheme, text)
    text = _QUOTED.sub(_quoted, text)
    text = _PLAIN.sub(_plain, text)
    text = _OPTION.sub(_plain, text)
    text = _EMAIL.sub("[e-mail]", text)
    text = _CARD.sub(_card, text)
    if addresses:
        text = _IPV4.sub("[address]", text)
    return text


def hide(*values: str) -> None:
    """Keep the value of a secret that was read out of everything that `without_hidden` lets through."""
    for value in values:
        if len(value) >= _HIDDEN_AT_LEAST:
            _HIDDEN[value] = None
    while len(_HIDDEN) > _HIDDEN_AT_MOST:
        _HIDDEN.pop(next(iter(_HIDDEN)))


def without_hidden(text: str) -> str:
    """`redact`, and without the very values that `hide` was told of. For logs; evidence may hold a word that happens
    to be somebody's password, and stays readable."""
    for value in sorted(_HIDDEN, key=len, reverse=True):
        if value in text:
            text = text.replace(value, "[secret]")
    return redact(text)


def redact_json(value: Any, name: str = "") -> Any:
    """The same for a manifest or a patch: by the names of fields, of variables (``{"name", "value"}``), and of what a
    change is about (``{"path", "before", "after"}``)."""
    if isinstance(value, str):
        secret = bool(name) and is_secret_name(name) and not _is_harmless(value)
        return "[secret]" if secret else redact(value)
    if isinstance(value, dict):
        of_variable = value["name"] if isinstance(value.get("name"), str) and "value" in value else ""
        named = {"value": of_variable} if of_variable else {}
        if isinstance(value.get("path"), str):
            named |= dict.fromkeys(("value", "before", "after"), _name_at(value["path"]))
        return {k: redact_json(v, named.get(k) or str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redact_json(entry) for entry in value]
    return value


def _name_at(path: str) -> str:
    """What is changed at ``spec.template.spec.containers[api].env[DB_PASSWORD].value`` or ``/data/password``."""
    words = _PATH_WORDS.findall(path)
    while len(words) > 1 and words[-1] == "value":
        words.pop()
    return words[-1] if words else ""


@functools.lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether a variable or option of this name holds a secret (``DB_PASSWORD``, ``apiKey``; not ``secretName``)."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or (words[-1] in _ABOUT and tuple(words[-2:]) not in _SECRET_PAIRS):
        return False
    if _SECRET_WORDS.intersection(words) or _SECRET_PAIRS.intersection(pairwise(words)):
        return True
    return any(_SECRET_PARTS.search(word) for word in words)


def _is_harmless(value: str) -> bool:
    return _HARMLESS.match(value) is not None or _REPLACED.match(value) is not None


def _quoted(match: re.Match[str]) -> str:
    quote, value = match[3][0], match[3][1:-1]
    if not is_secret_name(match[2]) or _is_harmless(value):
        return match[0]
    return f"{match[1]}{quote}[secret]{quote}"


def _plain(match: re.Match[str]) -> str:
    name, value = match[2], match[3]
    counted = name.lower().endswith("tokens") and value.isdigit()
    if not is_secret_name(name) or _is_harmless(value) or counted:
        return match[0]
    return f"{match[1]}[secret]"


def _after_scheme(match: re.Match[str]) -> str:
    # "token validation failed" is prose; a credential has digits, capitals inside or padding
    looks_random = re.search(r"\d|[a-z][A-Z]|[=+/_]", match[2])
    return f"{match[1]} [token]" if looks_random else match[0]


def _card(match: re.Match[str]) -> str:
    digits = [int(c) for c in match[0] if c.isdigit()]
    doubled = [d if i % 2 == 0 else (2 * d - 9 if d > 4 else 2 * d) for i, d in enumerate(reversed(digits))]
    is_card = sum(doubled) % 10 == 0 and len(set(digits)) > 1 and digits[0] in (2, 3, 4, 5, 6)
    return "[card]" if is_card else match[0]
