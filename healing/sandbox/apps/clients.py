"""What client libraries say when a call fails: pgx, psycopg, JDBC and Hikari, node-postgres, net/http, requests ..."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from typing import Any

from healing.sandbox.apps import pools
from healing.sandbox.apps.model import Edge
from healing.sandbox.apps.server import ServerProcess

_DNS = "10.96.0.10:53"
_OBJECT = "<urllib3.connection.HTTPConnection object at 0x7f3c2a1b5d90>"

#: what the socket library of a language says
_SOCKET: dict[str, dict[str, str]] = {
    "go": {
        "refused": "dial tcp {ip}:{port}: connect: connection refused",
        "timeout": "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
        "no such host": "dial tcp: lookup {host} on {dns}: no such host",
        "dns timeout": "dial tcp: lookup {host} on {dns}: read udp {me}:{ephemeral}->{dns}: i/o timeout",
        "dns refused": "dial tcp: lookup {host} on {dns}: server misbehaving",
        "tls": "http: server gave HTTP response to HTTPS client",
        "no tls": "tls: first record does not look like a TLS handshake",
        "certificate": "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: "
        "current time {time} is after {expired}",
        "plain": "unexpected status 400: Client sent an HTTP request to an HTTPS server.",
        "protocol": 'net/http: HTTP/1.x transport connection broken: malformed HTTP response "\\x00\\x00\\x00"',
        "sidecar": "upstream connect error or disconnect/reset before headers. reset reason: connection failure",
    },
    "node": {
        "refused": "connect ECONNREFUSED {ip}:{port}",
        "timeout": "network timeout at: {url}",
        "no such host": "getaddrinfo ENOTFOUND {host}",
        "dns timeout": "getaddrinfo EAI_AGAIN {host}",
        "dns refused": "getaddrinfo EAI_AGAIN {host}",
        "tls": "write EPROTO 0A00010B:SSL routines:ssl3_get_record:wrong version number",
        "no tls": "The server does not support SSL connections",
        "certificate": "certificate has expired",
        "plain": "unexpected status 400: Client sent an HTTP request to an HTTPS server.",
        "protocol": "Parse Error: Expected HTTP/",
        "sidecar": "upstream connect error or disconnect/reset before headers. reset reason: connection failure",
    },
    "python": {
        "refused": "[Errno 111] Connection refused",
        "timeout": "Read timed out. (read timeout={timeout:g})",
        "no such host": "Failed to resolve '{host}' ([Errno -2] Name or service not known)",
        "dns timeout": "Failed to resolve '{host}' ([Errno -3] Temporary failure in name resolution)",
        "dns refused": "Failed to resolve '{host}' ([Errno -3] Temporary failure in name resolution)",
        "tls": "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)",
        "no tls": "server does not support SSL, but SSL was required",
        "certificate": "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired "
        "(_ssl.c:1006)",
        "plain": "400 Client Error: Client sent an HTTP request to an HTTPS server.",
        "protocol": "('Connection aborted.', BadStatusLine('\\x00\\x00\\x00'))",
        "sidecar": "503: upstream connect error or disconnect/reset before headers. reset reason: connection failure",
    },
    "java": {
        "refused": "Connection refused",
        "timeout": "Read timed out",
        "no such host": "{host}: Name or service not known",
        "dns timeout": "{host}: Temporary failure in name resolution",
        "dns refused": "{host}: Temporary failure in name resolution",
        "tls": "Unsupported or unrecognized SSL message",
        "no tls": "The server does not support SSL.",
        "certificate": "PKIX path validation failed: java.security.cert.CertPathValidatorException: validity check "
        "failed: NotAfter: {expired}",
        "plain": "400 Bad Request: Client sent an HTTP request to an HTTPS server.",
        "protocol": "Invalid HTTP response",
        "sidecar": "503 Service Unavailable: upstream connect error or disconnect/reset before headers",
    },
}

#: what the other side says, by its protocol
_SERVER: dict[str, dict[str, str]] = {
    "postgres": {
        "auth": 'FATAL: password authentication failed for user "{user}"',
        "no password": "fe_sendauth: no password supplied",
        "no database": 'FATAL: database "{database}" does not exist',
        "too many clients": "FATAL: sorry, too many clients already",
        "read only": "ERROR: cannot execute INSERT in a read-only transaction",
        "disk full": 'ERROR: could not extend file "base/16384/16450": No space left on device',
    },
    "mysql": {
        "auth": "Access denied for user '{user}'@'{me}' (using password: YES)",
        "no password": "Access denied for user '{user}'@'{me}' (using password: NO)",
        "no database": "Unknown database '{database}'",
        "too many clients": "Too many connections",
        "read only": "The MySQL server is running with the --read-only option so it cannot execute this statement",
        "disk full": "The table 'orders' is full",
    },
    "redis": {
        "auth": "WRONGPASS invalid username-password pair or user is disabled.",
        "no password": "NOAUTH Authentication required.",
        "too many clients": "ERR max number of clients reached",
        "read only": "READONLY You can't write against a read only replica.",
        "disk full": "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. "
        "Commands that may modify the data set are disabled.",
    },
    "mongodb": {
        "auth": "Authentication failed.",
        "no password": "command find requires authentication",
        "too many clients": "connection refused because too many open connections: 100",
        "read only": "not primary",
        "disk full": "OutOfDiskSpace: available disk space of 0 bytes is less than required minimum of 524288000",
    },
    "amqp": {
        "auth": "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker "
        "logfile.",
        "no password": "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.",
        "no database": "NOT_ALLOWED - vhost {database} not found",
        "read only": "connection is blocked by the broker: low on disk",
        "disk full": "connection is blocked by the broker: low on disk",
    },
    "kafka": {
        "auth": "SASL authentication failed: Authentication failed: Invalid username or password",
        "read only": "[Error 6] NOT_LEADER_OR_FOLLOWER: This server is not the leader for that topic-partition",
        "disk full": "[Error 56] KAFKA_STORAGE_ERROR: Disk error when trying to access log file on the disk",
    },
}
_SQLSTATE = {
    "auth": "28P01",
    "no database": "3D000",
    "too many clients": "53300",
    "read only": "25006",
    "disk full": "53100",
}
_MYSQL_ERRNO = {"auth": 1045, "no password": 1045, "no database": 1049, "too many clients": 1040, "read only": 1290,
                "disk full": 1114}  # fmt: skip
_IN_QUERY = ("read only", "disk full")


def words(process: ServerProcess, edge: Edge, cause: str, now: float) -> str:
    """The message of one failed call, as the caller's own libraries would put it."""
    language = "go" if process.program.language == "c" else process.program.language
    values = _values(process, edge, now)
    address = edge.address
    if cause == "pool timeout":
        return _pool(language, process, edge)
    if cause == "circuit open":
        return f"CircuitBreaker '{address.host}' is OPEN and does not permit further calls"
    protocol = address.protocol
    said = _SERVER.get(protocol, {}).get(cause)
    if said is not None:
        return _from_server(language, protocol, cause, said.format(**values), values)
    reason = _SOCKET[language].get(cause, "").format(**values)
    if protocol in _SERVER:
        return _connecting(language, protocol, cause, reason, values)
    return f"call to {address} failed: {_http(language, cause, reason, values)}"


def _values(process: ServerProcess, edge: Edge, now: float) -> dict[str, Any]:
    address, clock = edge.address, now + process.clock_skew
    path = address.path or "/"
    return {
        "host": address.host, "port": address.port, "ip": edge.ip or address.host, "dns": _DNS,
        "url": f"{'https' if address.tls else 'http'}://{address}{path}", "path": path,
        "me": process.start.pod_ip, "ephemeral": 32768 + zlib.crc32(process.start.pod_uid.encode()) % 28000,
        "user": address.user or process.start.namespace, "database": address.database or "postgres",
        "timeout": edge.spec.timeout_seconds,
        "time": _iso(clock), "expired": _iso(now - now % 86400 - 1),
        "verb": "POST" if edge.spec.writes > 0.5 else "GET",
    }  # fmt: skip


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _http(language: str, cause: str, reason: str, v: dict[str, Any]) -> str:
    if cause in ("upstream", "not found", "token"):
        code, text = {
            "upstream": (500, "Internal Server Error"), "not found": (404, "Not Found"), "token": (401, "Unauthorized"),
        }[cause]  # fmt: skip
        detail = ": token is not valid at this time (check iat/nbf/exp)" if cause == "token" else ""
        if language == "java":
            return f'{code} {text} on {v["verb"]} request for "{v["url"]}"{detail}'
        if language == "python":
            kind = "Server" if code >= 500 else "Client"
            return f"{code} {kind} Error: {text} for url: {v['url']}{detail}"
        if language == "node":
            return f"{v['verb']} {v['url']}: Request failed with status code {code}{detail}"
        return f"{v['verb']} {v['url']}: unexpected status {code} {text}{detail}"
    if language == "java":
        return f'I/O error on {v["verb"]} request for "{v["url"]}": {reason}'
    if language == "node":
        return reason if cause == "timeout" else f"request to {v['url']} failed, reason: {reason}"
    if language == "python":
        pool = f"{'HTTPSConnectionPool' if cause in ('tls', 'certificate') else 'HTTPConnectionPool'}"
        where = f"{pool}(host='{v['host']}', port={v['port']})"
        if cause in ("timeout", "plain", "sidecar"):
            return f"{where}: {reason}"
        kind = {"no such host": "NameResolutionError", "dns timeout": "NameResolutionError",
                "dns refused": "NameResolutionError", "tls": "SSLError", "certificate": "SSLError",
                "protocol": "ProtocolError"}.get(cause, "NewConnectionError")  # fmt: skip
        said = f'"{_OBJECT}: {reason}"' if kind == "NameResolutionError" else f"'{_OBJECT}: {reason}'"
        if kind == "NewConnectionError":
            said = f"'{_OBJECT}: Failed to establish a new connection: {reason}'"
        return f"{where}: Max retries exceeded with url: {v['path']} (Caused by {kind}({said}))"
    return f'{v["verb"].capitalize()} "{v["url"]}": {reason}'


def _from_server(language: str, protocol: str, cause: str, said: str, v: dict[str, Any]) -> str:
    if protocol == "postgres":
        plain = said.partition(": ")[2]
        if language == "go":
            text = f"{said} (SQLSTATE {_SQLSTATE.get(cause, '08P01')})"
            where = f"failed to connect to `host={v['host']} user={v['user']} database={v['database']}`"
            return text if cause in _IN_QUERY else f"{where}: server error ({text})"
        if language == "java":
            return f"org.postgresql.util.PSQLException: {said}"
        if language == "python":
            where = f'connection to server at "{v["host"]}" ({v["ip"]}), port {v["port"]} failed'
            return f"psycopg.errors: {plain}" if cause in _IN_QUERY else f"{where}: {said}"
        return f"error: {plain}"
    if protocol == "mysql":
        number = _MYSQL_ERRNO.get(cause, 1105)
        if language == "python":
            return f'pymysql.err.OperationalError: ({number}, "{said}")'
        if language == "java":
            return f"java.sql.SQLException: {said}"
        return f"ER_{number}: {said}" if language == "node" else f"Error {number}: {said}"
    if protocol == "redis":
        if language == "python":
            return f"redis.exceptions.ResponseError: {said}"
        if language == "java":
            return f"redis.clients.jedis.exceptions.JedisDataException: {said}"
        return f"ReplyError: {said}" if language == "node" else f"redis: {said}"
    return f"{protocol} {v['host']}:{v['port']}: {said}"


def _connecting(language: str, protocol: str, cause: str, reason: str, v: dict[str, Any]) -> str:
    """No answer from a database's side, or none it can understand."""
    where = f"{v['host']}:{v['port']}"
    if cause == "timeout" and language == "go":
        reason = f"dial tcp {v['ip']}:{v['port']}: i/o timeout"
    elif cause == "timeout" and language == "node":
        reason = f"connect ETIMEDOUT {v['ip']}:{v['port']}"
    else:
        reason = _NOT_UNDERSTOOD.get(cause, reason)
    if protocol == "postgres" and language == "python":
        return _psycopg(cause, reason, v)
    if protocol == "postgres" and language == "java" and cause == "refused":
        return (
            f"org.postgresql.util.PSQLException: Connection to {where} refused. Check that the hostname and port are "
            "correct and that the postmaster is accepting TCP/IP connections."
        )
    frame = _CONNECTING.get((protocol, language), _CONNECTING.get((protocol, ""), "{protocol}: {where}: {reason}"))
    return frame.format(**v, protocol=protocol, where=where, reason=reason)


def _psycopg(cause: str, reason: str, v: dict[str, Any]) -> str:
    if "resolve" in reason:
        return f'could not translate host name "{v["host"]}" to address: {reason.partition("] ")[2].rstrip(")")}'
    reason = {"refused": "Connection refused", "timeout": "timeout expired"}.get(cause, reason)
    return f'connection to server at "{v["host"]}" ({v["ip"]}), port {v["port"]} failed: {reason}'


_NOT_UNDERSTOOD = {
    "protocol": 'received invalid response to the handshake: "H"',
    "upstream": "server closed the connection unexpectedly",
}
_CONNECTING = {
    ("postgres", "go"): "failed to connect to `host={host} user={user} database={database}`: {reason}",
    ("postgres", "java"): "org.postgresql.util.PSQLException: The connection attempt to {where} failed: {reason}",
    ("postgres", ""): "Error: {reason}",
    (
        "mysql",
        "python",
    ): "pymysql.err.OperationalError: (2003, \"Can't connect to MySQL server on '{host}' ({reason})\")",
    ("mysql", "java"): "com.mysql.cj.jdbc.exceptions.CommunicationsException: Communications link failure: {where}: "
    "{reason}",
    ("mysql", ""): "Error: {reason}",
    ("redis", "python"): "redis.exceptions.ConnectionError: Error connecting to {where}. {reason}.",
    (
        "redis",
        "java",
    ): "redis.clients.jedis.exceptions.JedisConnectionException: Failed to connect to {where}: {reason}",
    ("redis", "go"): "redis: connection pool: failed to dial after 5 attempts: {reason}",
    ("redis", ""): "{reason}",
}


def _pool(language: str, process: ServerProcess, edge: Edge) -> str:
    size, patience = pools.size_of(edge, process), edge.spec.pool_timeout_seconds
    if language == "java":
        waiting = max(1, round(edge.waiting))
        return (
            f"HikariPool-1 - Connection is not available, request timed out after {round(patience * 1000)}ms "
            f"(total={size}, active={size}, idle=0, waiting={waiting})"
        )
    if language == "python":
        return f"QueuePool limit of size {size} overflow 0 reached, connection timed out, timeout {patience:.2f}"
    if language == "node":
        return "timeout exceeded when trying to connect"
    return f"timed out waiting for a connection from the pool ({size} of {size} in use): context deadline exceeded"


#: what a server itself prints about callers it turns away: (level, lines)
_TURNED_AWAY: dict[str, dict[str, tuple[str, str]]] = {
    "postgres": {
        "auth": ("fatal", 'password authentication failed for user "{user}"'),
        "no database": ("fatal", "database requested by the client does not exist"),
        "too many clients": ("fatal", "sorry, too many clients already"),
        "read only": ("error", "cannot execute INSERT in a read-only transaction"),
        "disk full": ("error", 'could not extend file "base/16384/16450": No space left on device'),
        "protocol": ("info", "invalid length of startup packet"),
    },
    "mysql": {
        "auth": ("warn", "[Server] Access denied for user '{user}' (using password: YES)"),
        "too many clients": ("warn", "[Server] Too many connections"),
        "disk full": ("error", "[InnoDB] The table 'orders' is full"),
    },
    "redis": {"disk full": ("error", "Write error saving DB on disk: No space left on device")},
    "http": {
        "plain": ("warn", "http: TLS handshake error: client sent an HTTP request to an HTTPS server"),
        "certificate": ("warn", "http: TLS handshake error: remote error: tls: expired certificate"),
        "tls": ("warn", "http: bad request: unexpected TLS handshake on a plain port"),
    },
}


def turned_away(process: ServerProcess, cause: str) -> tuple[str, str] | None:
    """(level, message) of a server that has refused a caller; None where it does not log that."""
    found = _TURNED_AWAY.get(process.program.protocol, {}).get(cause)
    if found is None:
        return None
    user = next(iter(sorted(process.account.users - {"postgres", "root"})), process.start.namespace)
    return found[0], found[1].format(user=user)
