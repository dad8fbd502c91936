"""Which channels hear of what: those of the installation, and those of a policy. And where their secrets are.

A channel in a row is plain JSON: its type, what is not secret, and references ``{"setting": NAME}`` or ``{"secret":
{"cluster", "namespace", "name", "key"}}``. `secret_of` reads one when a message is sent.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from pydantic import ValidationError

from healing.models import HealingEvent, Policy
from healing.policies.notifications import NotificationChannel, SecretKey
from healing.policies.spec import PolicySpec
from healing.ports import get_ports
from healing.ports.errors import Forbidden, NotFound, SourceError
from healing.redaction import hide

_SECRET_SECONDS = 4.0


class NoSecret(Exception):
    """A secret cannot be read (now); the message names it and says what to do, never its value."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One receiver; ``when`` holds the values of `Occasion` it hears of."""

    config: dict[str, Any]
    when: frozenset[str]

    @property
    def type(self) -> str:
        """slack, email, pagerDuty or webhook."""
        return str(self.config["type"])

    @property
    def key(self) -> str:
        """The same for the same receiver, wherever it was configured."""
        text = json.dumps(self.config, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def of_installation() -> list[Channel]:
    """Those of the environment."""
    when, secrets = frozenset(settings.NOTIFY_WHEN), settings.NOTIFICATION_SECRETS
    found: list[dict[str, Any]] = []
    if "NOTIFY_SLACK_URL" in secrets:
        found.append({"type": "slack", "url": {"setting": "NOTIFY_SLACK_URL"}})
    if settings.NOTIFY_EMAIL_TO:
        found.append({"type": "email", "to": list(settings.NOTIFY_EMAIL_TO)})
    if "NOTIFY_PAGERDUTY_KEY" in secrets:
        found.append({"type": "pagerDuty", "key": {"setting": "NOTIFY_PAGERDUTY_KEY"}})
    if settings.NOTIFY_WEBHOOK_URL and "NOTIFY_WEBHOOK_KEY" in secrets:
        found.append({"type": "webhook", "url": settings.NOTIFY_WEBHOOK_URL, "key": {"setting": "NOTIFY_WEBHOOK_KEY"}})
    return [Channel(config, when) for config in found]


def of_event(event: HealingEvent) -> list[Channel]:
    """The installation's and those of the event's policy: as it is now, or as it was where it is gone."""
    try:
        spec = event.policy.parsed() if event.policy is not None else event.policy_spec
    except ValidationError:
        return of_installation()
    namespace = event.policy.namespace if event.policy is not None else event.policy_name.rpartition("/")[0]
    return joined([*of_installation(), *of_spec(spec, event.cluster, namespace)])


def of_cluster(cluster: str) -> list[Channel]:
    """The installation's and those of every enabled policy of the cluster (``""``: of all clusters)."""
    found = of_installation()
    for policy, spec in Policy.usable(cluster):
        found += of_spec(spec, policy.cluster, policy.namespace)
    return joined(found)


def of_spec(spec: PolicySpec, cluster: str, namespace: str) -> list[Channel]:
    """Those a policy names; its Secrets are in its own namespace."""
    if not spec.notifications.enabled:
        return []
    where = namespace or settings.POD_NAMESPACE
    return [
        Channel(_config(channel, cluster, where), frozenset(map(str, channel.when)))
        for channel in spec.notifications.channels
    ]


def joined(channels: list[Channel]) -> list[Channel]:
    """Each receiver once, hearing of what any of its entries says."""
    found: dict[str, Channel] = {}
    for channel in channels:
        known = found.get(channel.key)
        found[channel.key] = Channel(channel.config, channel.when | known.when) if known else channel
    return list(found.values())


def secret_of(value: Any) -> str:
    """What a reference leads to; a plain text is itself. Raises `NoSecret`."""
    if isinstance(value, str):
        return value
    if "setting" in value:
        found: str | None = settings.NOTIFICATION_SECRETS.get(value["setting"])
        if not found:
            raise NoSecret(f"{value['setting']} is not set any more.")
        return found
    return _from_cluster(**value["secret"])


def _config(channel: NotificationChannel, cluster: str, namespace: str) -> dict[str, Any]:
    config: dict[str, Any] = {"type": channel.type}

    def reference(secret: SecretKey) -> dict[str, Any]:
        return {"secret": {"cluster": cluster, "namespace": namespace, "name": secret.name, "key": secret.key}}

    if channel.to:
        config["to"] = sorted(set(channel.to))
    if channel.url:
        config["url"] = channel.url
    if channel.url_secret:
        config["url"] = reference(channel.url_secret)
    if channel.key_secret:
        config["key"] = reference(channel.key_secret)
    return config


def _from_cluster(cluster: str, namespace: str, name: str, key: str) -> str:
    where = f"Secret {namespace}/{name}"
    try:
        found = get_ports(cluster).cluster.get("Secret", namespace, name, timeout_seconds=_SECRET_SECONDS)
    except LookupError as error:
        raise NoSecret(f"{where} is in cluster {cluster}, which is not configured here.") from error
    except NotFound as error:
        raise NoSecret(f"{where}, which the policy names, does not exist.") from error
    except Forbidden as error:
        raise NoSecret(f"{where} may not be read; add its name to notifications.policySecrets of the chart.") from error
    except SourceError as error:
        raise NoSecret(f"{where} cannot be read now: {error}") from error
    encoded = (found.get("data") or {}).get(key)
    if not isinstance(encoded, str):
        raise NoSecret(f"{where} has no field {key!r}.")
    try:
        value = base64.b64decode(encoded, validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise NoSecret(f"{where}: field {key!r} is not text.") from error
    hide(value)
    return value
