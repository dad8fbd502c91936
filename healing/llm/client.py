"""litellm behind the port `healing.ports.language_model`.

Importing litellm takes seconds and much memory, so it is done on the first question (or by `warm_up`), never in the web
process. Its own retries are off: the phase's budget is the only clock, and the rules' answer is already there.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from healing import telemetry
from healing.ports.errors import (
    BadResponse,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    SourceError,
    Unauthorized,
    Unavailable,
)
from healing.ports.language_model import Answer, ModelChoice, Question

#: How often the caller hears of new text.
_TELL_SECONDS = 0.4
#: More than this is no answer to our question; reading on would only cost memory.
_MOST_CHARACTERS = 40_000
_DONE = object()

_loading = threading.Lock()


def warm_up() -> None:
    """Load litellm in the background, so that the first question does not pay for it."""
    threading.Thread(target=_litellm, name="litellm", daemon=True).start()


def _litellm() -> Any:
    with _loading:
        # Without it litellm fetches its price list from the internet when it is imported.
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        import litellm  # noqa: PLC0415 -- seconds and 170 MB: only where a model is asked

        litellm.telemetry = False
        litellm.suppress_debug_info = True
        litellm.drop_params = True  # a model without JSON mode is still asked; the answer is checked anyway
        logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
        return litellm


class LiteLlm:
    """Stateless; one instance serves all threads."""

    def ask(self, choice: ModelChoice, question: Question, *, on_text: Callable[[str], None] | None = None) -> Answer:
        """See the port. A model that hangs is left to a thread of its own, which its HTTP timeout ends."""
        started = time.monotonic()
        call = _Call(choice, question)
        threading.Thread(target=telemetry.with_context(call.run), name="llm", daemon=True).start()
        with telemetry.span("ask language model", **{"gen_ai.request.model": choice.model}):
            return self._hear(call, choice, question, started, on_text)

    def _hear(
        self,
        call: _Call,
        choice: ModelChoice,
        question: Question,
        started: float,
        on_text: Callable[[str], None] | None,
    ) -> Answer:
        text = ""
        told_at = 0.0
        while True:
            left = question.timeout_seconds - (time.monotonic() - started)
            try:
                piece = call.pieces.get(timeout=max(0.0, left))
            except queue.Empty:
                call.abandoned.set()
                raise Unavailable(f"{choice.model} did not answer within {question.timeout_seconds:.0f} s.") from None
            if piece is _DONE:
                break
            if isinstance(piece, SourceError):
                raise piece
            text += piece
            if len(text) > _MOST_CHARACTERS:
                call.abandoned.set()
                raise BadResponse(f"{choice.model} wrote more than {_MOST_CHARACTERS} characters and was cut off.")
            if on_text is not None and time.monotonic() - told_at >= _TELL_SECONDS:
                told_at = time.monotonic()
                on_text(text)
        if not text.strip():
            raise BadResponse(f"{choice.model} answered with nothing.")
        return Answer(
            text=text,
            prompt_tokens=call.prompt_tokens or _estimate(question.system + question.prompt),
            completion_tokens=call.completion_tokens or _estimate(text),
            cost_usd=call.cost_usd,
            seconds=round(time.monotonic() - started, 3),
        )


class _Call:
    """One streaming request, run in a thread; what comes is put into ``pieces``: texts, then `_DONE` or an error."""

    def __init__(self, choice: ModelChoice, question: Question) -> None:
        self._choice = choice
        self._question = question
        self.pieces: queue.Queue[Any] = queue.Queue()
        self.abandoned = threading.Event()
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cost_usd: float | None = None

    def run(self) -> None:
        try:
            self._stream()
        except Exception as error:  # noqa: BLE001 -- whatever the provider's library raises, the phase goes on
            self.pieces.put(_translated(error, self._choice.model))
        else:
            self.pieces.put(_DONE)

    def _stream(self) -> None:
        litellm, question = _litellm(), self._question
        stream = litellm.completion(
            model=self._choice.model,
            messages=[{"role": "system", "content": question.system}, {"role": "user", "content": question.prompt}],
            api_key=self._choice.api_key or None,
            base_url=self._choice.base_url or None,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": question.schema, "strict": True},
            },
            temperature=0.0,
            max_tokens=question.max_tokens,
            timeout=question.timeout_seconds,
            stream=True,
            stream_options={"include_usage": True},
            num_retries=0,
            max_retries=0,
        )
        for chunk in stream:
            if self.abandoned.is_set():
                return
            if (usage := getattr(chunk, "usage", None)) is not None:
                self.prompt_tokens = int(getattr(usage, "prompt_tokens", 0) or 0)
                self.completion_tokens = int(getattr(usage, "completion_tokens", 0) or 0)
            for choice in chunk.choices or ():
                if text := getattr(choice.delta, "content", None):
                    self.pieces.put(str(text))
        self.cost_usd = self._cost(litellm)

    def _cost(self, litellm: Any) -> float | None:
        try:
            prompt, completion = litellm.cost_per_token(
                model=self._choice.model,
                prompt_tokens=self.prompt_tokens,
                completion_tokens=self.completion_tokens,
            )
        except Exception:  # noqa: BLE001 -- a model without a price: litellm has no error type of its own for it
            return None
        return float(prompt) + float(completion)


def _estimate(text: str) -> int:
    """About four characters a token: for servers that do not count."""
    return max(1, len(text) // 4)


def _translated(error: Exception, model: str) -> SourceError:
    """By what litellm's exceptions carry (they are its own, and derive from the openai package's)."""
    names = {cls.__name__ for cls in type(error).__mro__}
    status = getattr(error, "status_code", None)
    # The provider's text may quote the request: only its beginning, on one line, is of use to a reader.
    said = " ".join(str(error).split())[:200]
    if "RateLimitError" in names or status == 429:
        return RateLimited(f"{model} is asked too often (429): {said}", status=429)
    if names & {"AuthenticationError"} or status == 401:
        return Unauthorized(f"{model} does not accept the key: {said}", status=401)
    if "PermissionDeniedError" in names or status == 403:
        return Forbidden(f"{model} may not be used with this key: {said}", status=403)
    if "NotFoundError" in names or status == 404:
        return NotFound(f"There is no model {model} at this address: {said}", status=404)
    if names & {"BadRequestError", "UnprocessableEntityError"} and "JSONSchemaValidationError" not in names:
        return Invalid(f"{model} refused the question: {said}", status=400)
    if "Timeout" in names:
        return Unavailable(f"{model} did not answer in time.")
    if names & {"JSONSchemaValidationError", "APIResponseValidationError", "JSONDecodeError"}:
        return BadResponse(f"{model} answered with something unreadable: {said}")
    return Unavailable(f"{model} could not be asked: {type(error).__name__}: {said}")
