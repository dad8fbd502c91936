"""What running servers say: a sample of access lines, chatter, warnings, and errors while there are any."""

from __future__ import annotations

import random

from healing.sandbox.apps import clients, latency, logs
from healing.sandbox.apps.model import CallerClass, Edge
from healing.sandbox.apps.server import ServerProcess

_ACCESS_EVERY_SECONDS = 3.0
_CHATTER_EVERY_SECONDS = 30.0
_MEMORY_WARNING_SHARE = 0.88
_SLOW_SECONDS = 1.0


def speak(group: CallerClass, now: float, seconds: float, rng: random.Random) -> None:
    """One tick's lines of a class of alike processes."""
    for process in group.members:
        if not process.listening() or process.effects.hang:
            continue
        if process.effects.chatter:
            _chat(process, now, seconds, rng)
        if (
            process.program.access_log
            and process.rate > 0.05
            and rng.random() < min(1.0, seconds / _ACCESS_EVERY_SECONDS)
        ):
            _access(process, now, rng)
        if process.program.chatter and rng.random() < seconds / _CHATTER_EVERY_SECONDS:
            message = rng.choice(process.program.chatter)
            process.log(now, *logs.line(process.program, now + process.clock_skew, "info", message))
        _grumble(process, now, seconds, rng)
        _own_errors(process, now, seconds, rng)
        if process.refusals:
            _turned_away(process, now, seconds, rng)
        for edge in group.edges:
            _dependency(process, edge, now, seconds, rng)
        _memory(process, now, seconds, rng)


def _access(process: ServerProcess, now: float, rng: random.Random) -> None:
    mark, code = rng.random(), "200"
    for candidate, share in process.code_shares.items():
        mark -= share
        if mark < 0:
            code = candidate
            break
    _, median = rng.choice(process.mixture) if process.mixture else (1.0, 0.005)
    took = median * rng.lognormvariate(0, process.program.latency_spread)
    for stream, text in logs.access(process.program, now + process.clock_skew, rng, int(code), took):
        process.log(now, stream, text)
    if took > _SLOW_SECONDS:
        message = f"slow request: took {took:.2f}s (threshold {_SLOW_SECONDS:.0f}s)"
        process.log(now, *logs.line(process.program, now + process.clock_skew, "warn", message))


def _own_errors(process: ServerProcess, now: float, seconds: float, rng: random.Random) -> None:
    own = process.code_shares.get("500", 0.0) * process.rate
    if own > 0 and rng.random() < min(0.7, own * seconds):
        message = "request failed: internal error"
        process.log(now, *logs.line(process.program, now + process.clock_skew, "error", message))
        if rng.random() < 0.3:
            for text in logs.stack(process.program, "crash", message):
                process.log(now, "stderr", text)
    turned_away = process.code_shares.get("503", 0.0) * process.rate
    if turned_away > 0 and rng.random() < min(0.5, turned_away * seconds):
        message = f"request rejected: worker queue is full ({int(process.backlog)} waiting)"
        process.log(now, *logs.line(process.program, now + process.clock_skew, "warn", message))


#: healthy programs complain, too: clients that hang up, retries that succeed, things that will change some day
_GRUMBLES: dict[str, tuple[str, ...]] = {
    "go": (
        "client disconnected before the response was written: write tcp: broken pipe",
        "retrying request after transient error (attempt 1 of 3 succeeded)",
        "http2: server: error reading preface from client: read tcp: connection reset by peer",
    ),
    "java": (
        "o.s.w.s.m.s.DefaultHandlerExceptionResolver - Resolved [HttpRequestMethodNotSupportedException]",
        "spring.jpa.open-in-view is enabled by default",
        "Broken pipe while writing the response, the client has gone away",
    ),
    "node": (
        "DeprecationWarning: Buffer() is deprecated due to security and usability issues",
        "request aborted by the client",
        "retry 1/3 succeeded after 120 ms",
    ),
    "python": (
        "DeprecationWarning: datetime.utcnow() is deprecated",
        "client closed the connection before the response was sent",
        "Connection pool is being trimmed, discarding an idle connection",
    ),
    "c": (),
}
_GRUMBLE_EVERY_SECONDS = 90.0
_MAX_CHATTER_LINES = 60


def _grumble(process: ServerProcess, now: float, seconds: float, rng: random.Random) -> None:
    known = process.program.grumbles or _GRUMBLES[process.program.language]
    if not known or process.rate <= 0 or rng.random() > seconds / _GRUMBLE_EVERY_SECONDS:
        return
    message = rng.choice(known)
    level: logs.Level = "error" if "client" in message and rng.random() < 0.15 else "warn"
    process.log(now, *logs.line(process.program, now + process.clock_skew, level, message))


_CHATTER = (
    "cache entry {n} evicted before its time to live", "slow consumer {n}, dropping oldest message",
    "unexpected field 'x{n}' in the payload, ignored", "lock {n} held longer than expected",
    "falling back to the default locale for tenant {n}",
)  # fmt: skip


def _chat(process: ServerProcess, now: float, seconds: float, rng: random.Random) -> None:
    for level, rate in process.effects.chatter:
        wanted = rate * seconds
        count = int(wanted) + (rng.random() < wanted % 1)
        for _ in range(min(count, _MAX_CHATTER_LINES)):
            message = rng.choice(_CHATTER).format(n=rng.randrange(1000, 9999))
            known: logs.Level = level if level in ("debug", "info", "warn", "error") else "warn"  # type: ignore[assignment]
            process.log(now, *logs.line(process.program, now + process.clock_skew, known, message))


def _turned_away(process: ServerProcess, now: float, seconds: float, rng: random.Random) -> None:
    for cause, share in list(process.refusals.items()):
        if rng.random() < min(0.5, share * (0.2 + process.rate) * seconds):
            found = clients.turned_away(process, cause)
            if found is not None:
                level: logs.Level = found[0]  # type: ignore[assignment]
                process.log(now, *logs.line(process.program, now + process.clock_skew, level, found[1]))


def _dependency(process: ServerProcess, edge: Edge, now: float, seconds: float, rng: random.Random) -> None:
    rate = (process.rate * edge.spec.per_request + 0.2) * edge.outcome.failed
    slow = latency.mean(edge.outcome.mixture)
    target = f"{edge.address.host}:{edge.address.port}"
    if rate > 0 and rng.random() < min(0.6, rate * seconds):
        cause = rng.choices(list(edge.outcome.causes), list(edge.outcome.causes.values()))[0]
        message = clients.words(process, edge, cause, now)
        level: logs.Level = "error" if edge.spec.required else "warn"
        fields: dict[str, object] = {"upstream": target}
        process.log(now, *logs.line(process.program, now + process.clock_skew, level, message, fields))
        if edge.spec.required and process.program.log_format == "plain" and rng.random() < 0.25:
            short = {"no such host": "dns", "dns timeout": "dns", "dns refused": "dns"}.get(cause, cause)
            for text in logs.stack(process.program, short, message):
                process.log(now, "stderr", text)
    elif slow > 0.4 * edge.spec.timeout_seconds and process.rate > 0 and rng.random() < 0.25 * seconds:
        message = f"slow call to {target}: took {slow:.2f}s"
        process.log(now, *logs.line(process.program, now + process.clock_skew, "warn", message))


def _memory(process: ServerProcess, now: float, seconds: float, rng: random.Random) -> None:
    limit = process.start.memory_limit_bytes
    if limit is None or process.memory_bytes < _MEMORY_WARNING_SHARE * limit or rng.random() > seconds / 4:
        return
    share = 100 * process.memory_bytes / limit
    words = {
        "java": f"GC overhead: heap at {share:.0f}% after full collection",
        "node": f"heap used {share:.0f}% of limit, scavenges are getting slow",
        "python": f"memory usage high: rss at {share:.0f}% of limit",
    }.get(process.program.language, f"memory usage high: {share:.0f}% of limit")
    process.log(now, *logs.line(process.program, now + process.clock_skew, "warn", words))
