"""A message in the form of each channel, and on its way. Everything that can go wrong ends in one of two exceptions."""

from __future__ import annotations

import hashlib
import hmac
import json
import smtplib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.core.mail import EmailMessage, get_connection

from healing import safe_http
from healing.models import Delivery
from healing.notifications.channels import NoSecret, secret_of
from healing.notifications.message import Message

#: The whole of one call, however slowly its answer drips.
TOTAL_SECONDS = 15.0
_READ_SECONDS = 8.0
_ANSWER_BYTES = 2000
_RETRY_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_SLACK_TEXT = 2900


class TryLater(Exception):
    """It may work later. ``after_seconds``: as the receiver asked."""

    def __init__(self, message: str, after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class Refused(Exception):
    """It will be refused again: the message says what is wrong with the channel."""


def send(row: Delivery) -> None:
    """Hand the row's message to its receiver. Raises `TryLater` or `Refused`; their texts hold no secret."""
    message = Message.from_json(row.message)
    try:
        _SENDERS[row.channel_type](row, message)
    except NoSecret as error:
        raise TryLater(str(error)) from error


def _slack(row: Delivery, message: Message) -> None:
    link = _link(message)
    facts = [{"type": "mrkdwn", "text": f"*{_slack_safe(name)}*\n{_slack_safe(text)}"} for name, text in message.facts]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": message.title[:150], "emoji": False}},
        {"type": "section", "text": {"type": "mrkdwn", "text": _slack_safe(message.text)[:_SLACK_TEXT] or "-"}},
    ]
    if facts:
        blocks.append({"type": "section", "fields": facts[:10]})
    if link:
        button = {"type": "button", "text": {"type": "plain_text", "text": "Open in ReCiSt"}, "url": link}
        blocks.append({"type": "actions", "elements": [button]})
    body = {"text": _slack_safe(f"{message.title}{f' {link}' if link else ''}"), "blocks": blocks}
    url = secret_of(row.channel["url"])
    _post(url, _json(body), {}, secrets=[url])


def _webhook(row: Delivery, message: Message) -> None:
    url, key = secret_of(row.channel["url"]), secret_of(row.channel["key"])
    content = {name: value for name, value in message.as_json().items() if name != "path"}
    content["facts"] = dict(message.facts)
    body = _json({"id": row.key, **content, "link": _link(message)})
    stamp = str(int(time.time()))
    headers = {
        "X-ReCiSt-Delivery": row.key,
        "X-ReCiSt-Timestamp": stamp,
        "X-ReCiSt-Signature": f"v1={signature(key, stamp, body)}",
        "Idempotency-Key": row.key,
    }
    _post(url, body, headers, secrets=[key, *([url] if not isinstance(row.channel["url"], str) else [])])


def signature(key: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 of ``timestamp.body``, in hex: receivers compute the same, and refuse old timestamps."""
    return hmac.new(key.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _pagerduty(row: Delivery, message: Message) -> None:
    key, link = secret_of(row.channel["key"]), _link(message)
    body: dict[str, Any] = {"routing_key": key, "event_action": message.effect, "dedup_key": message.incident[:255]}
    if message.effect == "trigger":
        body["payload"] = {
            "summary": message.title[:1024],
            "source": message.cluster or "recist",
            "severity": message.severity,
            "timestamp": message.at,
            "component": dict(message.facts).get("Target", ""),
            "group": message.namespace,
            "class": message.kind,
            "custom_details": {"text": message.text, **dict(message.facts)},
        }
        body["client"] = "ReCiSt"
        if link:
            body["client_url"] = link
            body["links"] = [{"href": link, "text": "Open in ReCiSt"}]
    _post(settings.PAGERDUTY_URL, _json(body), {}, secrets=[key])


def _email(row: Delivery, message: Message) -> None:
    if not settings.EMAIL_IS_SET:
        raise Refused("E-mail cannot be sent: SMTP_URL is not set.")
    link = _link(message)
    facts = "\n".join(f"{name}: {text}" for name, text in message.facts)
    body = "\n\n".join(part for part in (message.text, facts, link) if part)
    mail = EmailMessage(
        subject=" ".join(f"[ReCiSt] {message.title}".split()),
        body=body + "\n",
        to=row.channel["to"],
        headers={
            "Message-ID": f"<{row.key}@{urlsplit(settings.PUBLIC_URL).hostname or 'recist'}>",
            "References": f"<{hashlib.sha256(message.incident.encode()).hexdigest()}@recist>",
            "Auto-Submitted": "auto-generated",
        },
        connection=get_connection(timeout=_READ_SECONDS),
    )
    try:
        mail.send()
    except smtplib.SMTPRecipientsRefused as error:
        codes = sorted({code for code, _ in error.recipients.values()})
        _smtp_failed(codes[0], "the mail server takes none of the addresses", error)
    except smtplib.SMTPResponseException as error:
        _smtp_failed(int(error.smtp_code), "the mail server refused", error)
    except (OSError, smtplib.SMTPException) as error:
        raise TryLater(f"The mail server cannot be reached: {type(error).__name__}.") from error


def _smtp_failed(code: int, what: str, error: Exception) -> None:
    if 400 <= code < 500:
        raise TryLater(f"{what.capitalize()} for now ({code}).") from error
    raise Refused(f"{what.capitalize()} ({code}).") from error


_SENDERS: dict[str, Callable[[Delivery, Message], None]] = {
    "slack": _slack,
    "email": _email,
    "pagerDuty": _pagerduty,
    "webhook": _webhook,
}


def _post(url: str, body: bytes, headers: Mapping[str, str], *, secrets: list[str]) -> None:
    deadline = time.monotonic() + TOTAL_SECONDS
    sent = {"Content-Type": "application/json", "User-Agent": "ReCiSt", **headers}
    if urlsplit(url).scheme not in ("http", "https"):
        raise Refused("The channel's address is no http:// or https:// URL.")
    try:
        with (
            safe_http.client(settings.NOTIFICATION_ALLOWED, timeout_seconds=_READ_SECONDS) as client,
            client.stream("POST", url, content=body, headers=sent) as response,
        ):
            answer = b""
            if response.status_code >= 300:
                for chunk in response.iter_bytes():
                    answer += chunk
                    if len(answer) > _ANSWER_BYTES or time.monotonic() > deadline:
                        break
            _judge(response, answer[:200].decode(errors="replace"), secrets)
    except safe_http.Refused as error:
        raise Refused(f"{error}.") from error
    except httpx.TimeoutException as error:
        raise TryLater("The receiver does not answer in time.") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
        raise Refused("The channel's address cannot be used as a URL.") from error
    except httpx.HTTPError as error:
        raise TryLater(f"The receiver cannot be reached: {_without(str(error), secrets)}") from error


def _judge(response: httpx.Response, answer: str, secrets: list[str]) -> None:
    status = response.status_code
    if status < 300:
        return
    said = _without(" ".join(answer.split()), secrets)
    text = f"The receiver answered {status}{f': {said}' if said else ''}."
    if status in _RETRY_STATUSES:
        raise TryLater(text, _retry_after(response.headers.get("Retry-After", "")))
    if status < 400:
        raise Refused(f"The receiver answered {status}: redirects are not followed. Configure the final address.")
    raise Refused(text)


def _retry_after(text: str) -> float | None:
    """Seconds, or a date."""
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _without(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        parts = urlsplit(secret)
        for piece in {secret, parts.path, parts.query} if parts.scheme in ("http", "https") else {secret}:
            if len(piece) > 3:
                text = text.replace(piece, "…")
    return text


def _link(message: Message) -> str:
    base: str = settings.PUBLIC_URL
    return f"{base}{message.path}" if base and message.path else ""


def _slack_safe(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
