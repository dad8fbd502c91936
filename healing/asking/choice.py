"""Which model a policy means, and its key: from the Secret that the policy names, else from the settings."""

from __future__ import annotations

import base64
import binascii

from django.conf import settings

from healing.phase import PhaseContext
from healing.policies.spec import LlmConfig
from healing.ports.cluster import Cluster
from healing.ports.errors import Forbidden, Invalid, NotFound
from healing.ports.language_model import ModelChoice
from healing.redaction import hide
from healing.safe_http import why_refused

_PREFIXES = {
    "claude": "anthropic/",
    "openai": "openai/",
    "gemini": "gemini/",
    "ollama": "ollama_chat/",
    "openaiCompatible": "openai/",
}
#: Used where a policy names a provider only.
_MODELS = {"claude": "claude-sonnet-4-5", "openai": "gpt-5-mini", "gemini": "gemini-2.5-flash", "ollama": "llama3.1"}
#: The Secret's field, as the README creates it.
_FIELD = "key"


def choose(context: PhaseContext, *, timeout_seconds: float) -> ModelChoice | None:
    """The model to ask; None where none is configured. Raises `healing.ports.errors` where its key cannot be read."""
    config = context.policy.llm_config
    if config.provider == "none":
        if not settings.LLM_MODEL:
            return None
        base_url = settings.LLM_BASE_URL or ""
        if base_url and (reason := why_refused(base_url, settings.LLM_ALLOWED)):
            raise Invalid(f"LLM_BASE_URL is not called: {reason}.")
        return ModelChoice(settings.LLM_MODEL, settings.LLM_API_KEY or "", base_url)
    namespace = context.event.policy_name.rpartition("/")[0] or settings.POD_NAMESPACE
    key = settings.LLM_API_KEY or ""
    if config.api_key_secret:
        key = _from_secret(context.ports.cluster, namespace, config.api_key_secret, timeout_seconds)
    base_url = config.base_url or settings.LLM_BASE_URL or ""
    # Whoever may write a policy must not be able to make us call what only we can reach.
    if base_url and (reason := why_refused(base_url, settings.LLM_ALLOWED)):
        raise Invalid(f"llmConfig.baseUrl is not called: {reason}.")
    return ModelChoice(model_name(config), _usable(key, config), base_url)


def model_name(config: LlmConfig) -> str:
    """In litellm's notation. `Invalid` where the policy leaves it open and there is no usual one."""
    prefix, model = _PREFIXES[config.provider], config.model or _MODELS.get(config.provider, "")
    if not model:
        raise Invalid(f"llmConfig.model is needed with provider {config.provider}.")
    return model if model.startswith(prefix) else prefix + model


def _usable(key: str, config: LlmConfig) -> str:
    # The openai client insists on a key, also where the server wants none.
    return key or ("none" if config.provider == "openaiCompatible" else "")


def _from_secret(cluster: Cluster, namespace: str, name: str, timeout_seconds: float) -> str:
    where = f"Secret {namespace}/{name}"
    try:
        found = cluster.get("Secret", namespace, name, timeout_seconds=timeout_seconds)
    except NotFound as error:
        raise NotFound(f"{where}, which llmConfig.apiKeySecret names, does not exist.") from error
    except Forbidden as error:
        raise Forbidden(f"{where} may not be read; add its name to llm.policySecrets of the chart.") from error
    encoded = (found.get("data") or {}).get(_FIELD)
    if not isinstance(encoded, str):
        raise Invalid(f"{where} has no field {_FIELD!r}.")
    try:
        key = base64.b64decode(encoded, validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Invalid(f"{where}: field {_FIELD!r} is not text.") from error
    hide(key)
    return key
