"""What log lines say about a cause. Rules over exit codes: a program's own words are the best witness.

Text of logs is untrusted: rules only name causes and copy short, checked pieces (host, port, variable, path).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from healing.diagnosis.log_records import Record
from healing.diagnosis.logs import Repeated

_HOST = r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9_.\-]{0,200}[A-Za-z0-9])?)"
_PORT = r"(?P<port>\d{1,5})"
_VARIABLE = r"[\"'`]?(?P<variable>[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[A-Z]{4,})[\"'`]?"
_NO_ANSWER = r"(?:refused|timed? ?out|i/o timeout|no route to host|unreachable|reset by peer|deadline exceeded)"


@dataclass(frozen=True, slots=True)
class Rule:
    """``kind`` is a cause, or ``Unreachable`` / ``UnknownHost``, which `analyzers.dependencies` resolves."""

    kind: str
    patterns: tuple[re.Pattern[str], ...]


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that matched. ``details``: host, port, variable, path, as far as the line says."""

    kind: str
    record: Record
    count: int
    details: dict[str, str] = field(default_factory=dict)
    #: how far apart on average; None where nobody knows
    every_seconds: float | None = None
    #: the piece of a line the rule was recognised by
    span: str = ""


def _rule(kind: str, *patterns: str) -> Rule:
    return Rule(kind, tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns))


def _cased(kind: str, *patterns: str) -> Rule:
    return Rule(kind, tuple(re.compile(pattern) for pattern in patterns))


#: In order of precedence for one record: the specific before the general.
RULES: tuple[Rule, ...] = (
    _rule("DiskFull", r"no space left on device", r"\bENOSPC\b", r"disk (?:is )?full", r"disk quota exceeded"),
    _rule(
        "ClockSkew",
        r"used before issued|issued in the future|not valid at this time|clock ?skew|TooSkewed|clock moved backwards",
        r"certificate is not yet valid|NotBefore",
        r"clocks? (?:is|are) (?:not synchroni\w+|out of sync)",
    ),
    _rule(
        "CertificateExpired",
        r"x509: certificate",
        r"certificate (?:has|is|was) (?:expired|not yet valid|invalid|revoked)",
        r"certificate signed by unknown authority",
        r"self[- ]signed certificate",
        r"CERTIFICATE_VERIFY_FAILED|CERT_HAS_EXPIRED|DEPTH_ZERO_SELF_SIGNED",
        r"PKIX path (?:building|validation) failed",
    ),
    _rule(
        "ConnectionPoolExhausted",
        r"too many (?:open )?(?:connections|clients)",
        r"(?:connection )?pool (?:is )?(?:exhausted|full)|pool exhaustion|exhausted (?:connection )?pool",
        r"remaining connection slots are reserved",
        r"QueuePool limit",
        r"(?:timeout|timed out) waiting for (?:idle object|(?:a )?connection from (?:the )?pool)",
        r"HikariPool.{0,80}(?:not available|timed out)",
        r"max number of clients reached",
    ),
    _rule(
        "ReadOnlyDependency",
        r"cannot execute \w+ in a read-only transaction",
        r"READONLY You can't write against a read only replica",
        r"(?:database|server|instance|replica) is (?:in )?read[- ]only",
        r"--read-only option so it cannot execute",
        r"not primary and secondaryOk|NotWritablePrimary|not master",
    ),
    _rule(
        "WrongCredentials",
        r"password authentication failed",
        r"access denied for user",
        r"authentication (?:failed|failure|error)|failed to authenticate|auth(?:entication)? rejected",
        r"invalid (?:username or password|credentials?|user(?:name)?/password|password|api[ -]?key)",
        r"\bWRONGPASS\b|\bNOAUTH\b|\bERR AUTH\b|SASL authentication",
        r"login failed for user|role \"[^\"]+\" does not exist|ORA-01017",
        r"\b401 unauthorized\b|status(?: code)?[ =:]+401\b",
    ),
    _rule(
        "PortConflict",
        r"(?:address already in use|EADDRINUSE).{0,60}?:(?P<port>\d{2,5})\b",
        r"listen \w+ \S*?:(?P<port>\d{2,5}): bind: address already in use",
        r"address (?:is )?already in use|EADDRINUSE",
        r"port (?P<port>\d{2,5}) (?:is |was )?already (?:in use|allocated|bound)",
    ),
    _rule(
        "UnknownHost",
        rf"lookup {_HOST}(?: on \S+)?: (?:no such host|server misbehaving"
        rf"|i/o timeout|read udp[^\n]{{0,90}}?timeout|dial udp"
        rf"|Try again)",
        rf"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) {_HOST}",
        rf"UnknownHostException: {_HOST}",
        rf"could not translate host name \"{_HOST}\"",
        rf"(?:could not|couldn't|cannot|unable to|failed to) resolve (?!placeholder|class|symbol|module|type"
        rf"|reference|property|dependenc)(?:host(?:name)?|address|name)?:? ?[\"']?{_HOST}",
        rf"host=['\"]{_HOST}['\"], port={_PORT}.{{0,300}}(?:NameResolutionError|Name or service not known|name"
        rf" resolution)",
        rf"(?<![\w.\-])(?!Errno\b|E[AI]_){_HOST}(?::{_PORT})?: (?:Name or service not known|Name does not resolve"
        rf"|Temporary failure in name resolution|nodename nor servname|No address associated with hostname)",
        rf"[\"'/@(\s]{_HOST}(?=[\"'):/,;\s])(?::{_PORT})?[\"')]?.{{0,80}}?(?:Name or service not known"
        rf"|Name does not resolve|name resolution)",
        rf"host not found in upstream \"{_HOST}",
        rf"(?:unknown host|no such host|host not found|nxdomain)[: ]+[\"']?{_HOST}",
        r"Name or service not known|no such host|Temporary failure in name resolution|nodename nor servname",
    ),
    _rule(
        "Unreachable",
        rf"waiting for (?:the )?(?:\w+ )?(?:at |on )?[\"'`]?{_HOST}:{_PORT}",
        rf"failed to connect to [`'\"]?host={_HOST}\b.{{0,200}}?:{_PORT}: .{{0,60}}?{_NO_ANSWER}",
        rf"dial (?:tcp|udp)\d? \[?{_HOST}\]?:{_PORT}.{{0,40}}?{_NO_ANSWER}",
        rf"connect E(?:CONNREFUSED|TIMEDOUT|HOSTUNREACH|CONNRESET) (?:[\da-f:]*:)?{_HOST}:{_PORT}",
        rf"host=['\"]{_HOST}['\"], port={_PORT}.{{0,300}}(?:refused|timed? ?out|Max retries exceeded)",
        rf"connection to server at \"{_HOST}\"[^\n]{{0,60}}, port {_PORT} failed",
        rf"host \"{_HOST}\"[^\n]{{0,60}}port {_PORT}\?",
        rf"connecting to {_HOST}:{_PORT}\. .{{0,60}}{_NO_ANSWER}",
        rf"connection to (?:\w+://)?{_HOST}:{_PORT} (?:was )?{_NO_ANSWER}",
        rf"can't connect to (?:\w+ )*server on '{_HOST}(?::{_PORT})?'",
        rf"https?://{_HOST}(?::{_PORT})?(?:/[^\s\"']*)?[\"']?.{{0,80}}?(?:{_NO_ANSWER}|connection error)",
        rf"https?://{_HOST}(?::{_PORT})?(?:/[^\s\"']*)?[\"']?.{{0,60}}?(?:\b50[234]\b|unavailable)",
        rf"(?:connect|reach|contact|dial|call|talk|request|upstream|dependency"
        rf"|backend)\w*[^\n]{{0,60}}?[\s\"'(/@=]{_HOST}:{_PORT}\b"
        rf".{{0,120}}?(?:{_NO_ANSWER}|fail|unavailable|error)",
        rf"(?:{_NO_ANSWER}|fail\w*|unable|cannot|could not)\b[^\n]{{0,80}}?[\s\"'(/@=]{_HOST}:{_PORT}\b",
        rf"(?:could not|cannot|can't|unable to|failed to) (?:connect|reach|contact)(?: to| the| database| db| cache|"
        rf" broker| server| service| host| upstream)* [\"']?{_HOST}\b",
        rf"(?:dependency|upstream|backend|service) [\"'`]?{_HOST}[\"'`]? (?:is )?(?:unavailable|unreachable|not "
        rf"(?:reachable|available)|down|{_NO_ANSWER})",
        r"connection (?:was )?refused|ECONNREFUSED|ConnectException|rpc error: code = Unavailable|upstream connect"
        r" error",
    ),
    _cased(
        "MissingEnvironmentVariable",
        rf"(?i:environment variable|env(?:ironment)? var(?:iable)?|\benv|variable|setting|config(?:uration)?(?: key)?"
        rf"|option)s?:?"
        rf" {_VARIABLE}[^\n]{{0,40}}(?i:not set|missing|required|undefined|must be set|is empty|not defined|unset|not"
        rf" found)",
        rf"(?i:missing|required|undefined|unset|need|requires|expected)\b[^\n]{{0,60}}?"
        rf"(?i:environment variables?|env(?: vars?)?|settings?|variables?|config(?:uration)?(?: keys?)?|options?"
        rf"|keys?)?:? {_VARIABLE}",
        rf"{_VARIABLE}(?: environment variable)?:? (?i:(?:is |was |env )?(?:not set|required|missing|must be set|must"
        rf" be provided|undefined|unset|not defined|empty))",
        r"KeyError: ['\"](?P<variable>[A-Z][A-Z0-9_]{2,})['\"]",
        r"Could not resolve placeholder '(?P<variable>[^']{1,80})'",
        r"(?i:missing|required) (?i:required )?(?i:configuration|config|setting|property|parameter|option|key)(?i:"
        r" key| value| entry)?:? [\"'`]?(?P<variable>[a-zA-Z][\w.\-]{2,80})",
    ),
    _rule(
        "MissingFile",
        r"(?:open|stat|read|load|opening|loading|reading)\w* [\"']?(?P<path>/[\w./\-]+)[\"']?: no such file or"
        r" directory",
        r"(?:no such file or directory|FileNotFound\w*|ENOENT|cannot open|can't open|not found)[^\n]{0,60}?[\s'\":(]"
        r"(?P<path>/[\w./\-]+)",
        r"(?:config\w*|file|certificate|key) (?:file )?[\"']?(?P<path>/[\w./\-]+)[\"']? (?:does not exist|not found"
        r"|is missing)",
        r"(?P<path>/[\w./\-]+)[\"']?: no such file or directory",
        r"FileNotFoundError|FileNotFoundException|\bENOENT\b",
    ),
    _rule(
        "PermissionDenied",
        r"(?P<path>/[\w./\-]+)[\"']?:? permission denied",
        r"permission denied[^\n]{0,40}?[\s'\":](?P<path>/[\w./\-]+)",
        r"permission denied|\bEACCES\b|operation not permitted|\bEPERM\b|read-only file system",
        r"is forbidden: User \"system:serviceaccount",
    ),
    _rule(
        "WrongConfiguration",
        r"(?:invalid|illegal|bad|malformed|unsupported|unknown|unrecognized|unexpected)\b[^\n]{0,40}"
        r"\b(?:config\w*|values?|options?|settings?|log ?level|mode|flag|argument|directive|parameter|port|duration"
        r"|url|uri|dsn|scheme)\b",
        r"(?:parse|parsing|decode|decoding|unmarshal|validate|validation|load|loading|read|reading)\w*"
        r"[^\n]{0,40}\b(?:config\w*|settings|ya?ml|toml|properties)\b",
        r"\b(?:config\w*|settings?)\b[^\n]{0,40}\b(?:invalid|error|failed|malformed|wrong|not valid|out of range)",
        r"yaml: (?:line \d+|unmarshal errors)|toml: line|mapping values are not allowed",
        r"flag provided but not defined|unknown (?:flag|option|command|argument)|unrecognized arguments",
        r"\[emerg\].{0,200} in /etc/",
        r"invalid literal for int\(\)|NumberFormatException|strconv\.\w+: parsing|could not convert string",
    ),
    _rule(
        "OutOfMemory",
        r"OutOfMemoryError|out of memory|cannot allocate memory|heap limit|std::bad_alloc|\bMemoryError\b|oom-kill",
    ),
    _rule("WrongPlatform", r"exec format error|exec user process caused"),
)


_HOST_IN = re.compile(
    r"""(?:[a-z][a-z0-9+.\-]*://(?:[^\s@/"']*@)?|server at "|host=[`'"]?|@|['"`(\s])"""
    r"""(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,200}[A-Za-z0-9])?)(?P<rest>:\d{2,5}|"|['`]?, port=|['`]? user=|[/?])""",
)


def host_in(message: str) -> str:
    """The host a message names in an address, whatever it complains of; empty where none is plain to see."""
    for found in _HOST_IN.finditer(message[:2000]):
        is_address = (
            "://" in found[0] or "host=" in found[0] or "server at" in found[0] or found["rest"].startswith(":")
        )
        if is_address and _plausible(found["host"]) and not found["host"].replace(".", "").isdigit():
            return found["host"].lower()
    return ""


def classify(repeated: Iterable[Repeated]) -> list[Match]:
    """Each failure with the first rule that fits it, in the order given; failures no rule knows are left out."""
    matches = []
    for item in repeated:
        match = match_record(item.record, item.count)
        if match is not None:
            matches.append(dataclasses.replace(match, every_seconds=item.every_seconds))
    return matches


def match_record(record: Record, count: int = 1) -> Match | None:
    """The first rule that fits the record."""
    subject = record.message[:6000]
    for rule in RULES:
        for pattern in rule.patterns:
            found = pattern.search(subject)
            if found:
                details = {k: v.strip(".") for k, v in found.groupdict().items() if v}
                if rule.kind in ("UnknownHost", "Unreachable") and not _plausible(details.get("host", "")):
                    details.pop("host", None)
                elif rule.kind == "Unreachable" and details["host"].replace(".", "").isdigit():
                    # the address a name was resolved to: the name says more
                    details["host"] = host_in(subject) or details["host"]
                return Match(rule.kind, record, count, details, span=found[0].strip().split("\n")[0][:300])
    return None


_NO_HOSTS = frozenset(
    {"the", "to", "a", "an", "server", "host", "database", "http", "https", "tcp", "error", "name", "connect"}
)


def _plausible(host: str) -> bool:
    return bool(host) and host.lower() not in _NO_HOSTS and not host.isdigit()
