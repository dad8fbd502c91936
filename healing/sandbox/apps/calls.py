"""What comes of a call: handshakes, passwords, connections, waiting, losses, answers."""

from __future__ import annotations

from collections.abc import Iterable

from healing.sandbox.apps import latency
from healing.sandbox.apps.address import PROTOCOLS, Address
from healing.sandbox.apps.latency import Mixture
from healing.sandbox.apps.model import Outcome
from healing.sandbox.apps.program import CallSpec
from healing.sandbox.apps.server import ServerProcess
from healing.sandbox.apps.wiring import Way

_REFUSED_SECONDS = 0.002
_DNS_SECONDS = 0.015
_EXTERNAL_SECONDS = 0.06
#: resolvers wait so long for an answer before they ask again
DNS_PATIENCE_SECONDS = 5.0
#: how long connections of a pool live on after the password they were opened with has changed
_CONNECTION_LIFE_SECONDS = 12.0
_QUICK: Mixture = [(1.0, _REFUSED_SECONDS)]


def outcome_of(
    ways: Iterable[Way], spec: CallSpec, address: Address | None = None, *, now: float = 0.0, clock_skew: float = 0.0,
    started_at: float = 0.0,
) -> Outcome:  # fmt: skip
    """The sum over the ways a call can go. ``address``: how the caller introduces itself; None asks for nothing."""
    result = Outcome()
    parts: list[tuple[float, float]] = []
    for way in ways:
        one = _one_way(way, spec, address, now, clock_skew, started_at)
        result.failed += way.share * one.failed
        for cause, share in one.causes.items():
            result.causes[cause] = result.causes.get(cause, 0.0) + way.share * share
        parts.extend((way.share * weight, seconds) for weight, seconds in one.mixture)
    result.mixture = latency.compact(parts)
    return result


def _fails(cause: str, mixture: Mixture = _QUICK) -> Outcome:
    return Outcome(1.0, mixture, {cause: 1.0})


def _one_way(
    way: Way, spec: CallSpec, address: Address | None, now: float, clock_skew: float, started_at: float
) -> Outcome:
    process = way.process
    if way.verdict != "ok" or not isinstance(process, ServerProcess) or process.effects.hang:
        return _unanswered(way, spec.timeout_seconds)
    result = Outcome()
    if address is not None:
        _introduction(way, process, address, result, now, started_at)
        if clock_skew != process.clock_skew and address.protocol == "http":
            late_or_early = abs(clock_skew - process.clock_skew)
            result.fail("token", float(late_or_early > process.program.token_leeway_seconds > 0))
        if result.failed >= 1.0:
            result.mixture = _QUICK
            return result
    mixture = process.mixture
    if way.link:
        mixture = latency.add(mixture, way.link.exchange())
    late = 1.0 - latency.share_below(mixture, spec.timeout_seconds, process.program.latency_spread)
    if late > 0:
        result.fail("timeout", late)
    if process.error_share > 0:
        result.fail("upstream", process.error_share)
    if address is not None:
        _answers(process, spec, result, way.share)
    result.mixture = [(weight, min(seconds, spec.timeout_seconds)) for weight, seconds in mixture]
    return result


def _unanswered(way: Way, patience: float) -> Outcome:
    """A call that no program answers, or one outside the cluster."""
    if way.verdict == "external":
        return _outside(way, patience)
    if way.verdict in ("ok", "timeout"):  # somebody listens, and that is all
        return _fails("timeout", [(1.0, patience)]) if way.process or way.verdict == "timeout" else _fails("refused")
    if way.verdict == "no such host":
        return _fails("no such host", [(1.0, _DNS_SECONDS)])
    if way.verdict == "dns timeout":
        return _fails("dns timeout", [(1.0, min(patience, DNS_PATIENCE_SECONDS))])
    return _fails(way.verdict)


def _introduction(
    way: Way, process: ServerProcess, address: Address, result: Outcome, now: float, started_at: float
) -> None:
    """Handshake and login: whether a server lets this caller in."""
    share = 1.0
    cause = _handshake(way, process, address)
    if not cause:
        cause = process.account.refuses(address)
        changed = process.account.password_changed_at
        if cause == "auth" and changed and started_at < changed:
            # what was opened with the old password lives on for a while
            share = min(1.0, max(0.0, now - changed) / _CONNECTION_LIFE_SECONDS)
    if cause:
        process.refuse(cause, way.share * share)
        result.fail(cause, share)


def _outside(way: Way, patience: float) -> Outcome:
    took = latency.add([(1.0, _EXTERNAL_SECONDS)], way.link.exchange()) if way.link else [(1.0, _EXTERNAL_SECONDS)]
    result = Outcome(mixture=[(weight, min(seconds, patience)) for weight, seconds in took])
    result.fail("timeout", 1.0 - latency.share_below(took, patience, 0.45))
    if way.external == "errors":
        result.fail("upstream", 1.0)
    return result


def _handshake(way: Way, process: ServerProcess, address: Address) -> str:
    """Whether both ends speak the same protocol, in the clear or not."""
    wanted, spoken = PROTOCOLS.get(address.scheme, ""), process.program.protocol
    if wanted and spoken not in ("any", wanted) and spoken in PROTOCOLS.values():
        return "protocol"
    if address.scheme in ("http", "https"):
        secured = way.port in process.tls_ports
        if address.tls and not secured:
            return "tls"
        if secured and not address.tls:
            return "plain"
    if address.tls and process.effects.certificate_expired:
        return "certificate"
    if address.scheme in ("http", "https") and address.path and not process.knows(address.path):
        return "not found"
    return ""


def _answers(process: ServerProcess, spec: CallSpec, result: Outcome, share: float) -> None:
    """What a server that has let a caller in does not do for it."""
    if process.connections_refused > 0:
        process.refuse("too many clients", share * process.connections_refused)
        result.fail("too many clients", process.connections_refused)
    if process.program.protocol == "http":
        return
    if process.disk_full:
        process.refuse("disk full", share * spec.writes)
        result.fail("disk full", spec.writes)
    elif process.read_only:
        process.refuse("read only", share * spec.writes)
        result.fail("read only", spec.writes)


def per_request(outcome: Outcome, calls: float) -> tuple[float, Mixture]:
    """Failure share and latency for ``calls`` such calls in a request (a fraction: only some requests call)."""
    if calls >= 1:
        return 1 - (1 - outcome.failed) ** calls, [(w, s * calls) for w, s in outcome.mixture]
    return calls * outcome.failed, latency.compact([(1 - calls, 1e-5), *((calls * w, s) for w, s in outcome.mixture)])
