"""Where people are told of a policy's events: one entry a channel. Secrets are named, never written down."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from healing.policies.sections import SpecModel


class Occasion(StrEnum):
    """What people can be told of elsewhere."""

    DETECTED = "detected"
    APPROVAL_NEEDED = "approvalNeeded"
    APPROVAL_EXPIRING = "approvalExpiring"
    HEALED = "healed"
    DECLINED = "declined"
    ESCALATED = "escalated"
    STORM = "storm"
    HALTED = "halted"
    WARNING = "warning"


#: What somebody has to do something about.
URGENT = (Occasion.APPROVAL_NEEDED, Occasion.APPROVAL_EXPIRING, Occasion.ESCALATED, Occasion.STORM)

SecretName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
SecretField = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
Address = Annotated[str, Field(max_length=254, pattern=r"^[^@\s\x00-\x1f,<>]+@[^@\s\x00-\x1f,<>]+$")]


#: ``name`` or ``name/key``
SecretPath = Annotated[
    str, Field(min_length=1, max_length=507, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[-._a-zA-Z0-9]+)?$")
]


class SecretKey(SpecModel):
    """One value of a Secret in the policy's namespace."""

    name: SecretName
    key: SecretField = "key"


class NotificationChannel(SpecModel):
    """Where people are told, and of what."""

    type: Literal["slack", "email", "pagerDuty", "webhook"]
    when: Annotated[list[Occasion], Field(min_length=1, max_length=20)] = Field(
        default_factory=lambda: list(URGENT), description="The occasions that are told of."
    )
    to: Annotated[list[Address], Field(max_length=50)] = Field(
        default_factory=list, description="email: the addresses."
    )
    url: Annotated[str, Field(max_length=2000, pattern=r"^(https?://[^\s\x00-\x1f/@]+(/[^\s\x00-\x1f]*)?)?$")] = Field(
        "", description="webhook: the address, where it is no secret."
    )
    url_secret: SecretKey | None = Field(None, description="slack, webhook: the Secret that holds the address.")
    key_secret: SecretKey | None = Field(
        None, description="pagerDuty: the routing key. webhook: the key that messages are signed with."
    )

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> NotificationChannel:
        has = {
            "to": bool(self.to),
            "url": bool(self.url),
            "urlSecret": self.url_secret is not None,
            "keySecret": self.key_secret is not None,
        }
        needed, allowed = _FIELDS[self.type]
        for name in needed:
            if not has[name]:
                raise ValueError(f"a channel of type {self.type} needs {name}")
        for name, is_set in has.items():
            if is_set and name not in (*needed, *allowed):
                raise ValueError(f"a channel of type {self.type} has no {name}")
        if self.type == "webhook" and has["url"] == has["urlSecret"]:
            raise ValueError("a channel of type webhook needs either url or urlSecret")
        return self


#: type -> (fields it needs, fields it may have)
_FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "slack": (("urlSecret",), ()),
    "email": (("to",), ()),
    "pagerDuty": (("keySecret",), ()),
    "webhook": (("keySecret",), ("url", "urlSecret")),
}


def older_channels(
    slack_webhook: str | None, email: str | None, pagerduty_key: str | None
) -> list[NotificationChannel]:
    """The channels behind the seed's names."""
    found = []
    if slack_webhook:
        found.append(NotificationChannel(type="slack", url_secret=_secret(slack_webhook)))
    if email:
        found.append(NotificationChannel(type="email", to=[email]))
    if pagerduty_key:
        found.append(NotificationChannel(type="pagerDuty", key_secret=_secret(pagerduty_key)))
    return found


def _secret(path: str) -> SecretKey:
    name, _, key = path.partition("/")
    return SecretKey(name=name, key=key or "key")
