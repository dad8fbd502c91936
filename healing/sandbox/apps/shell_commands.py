"""The commands of a small base image, acting on a `Context`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from healing.sandbox.apps.shell_context import Context, ShellExit

_Run = Callable[[list[str], Context, str], int]


@dataclass(frozen=True, slots=True)
class Handler:
    run: _Run
    #: part of the shell itself rather than a file in the image
    builtin: bool = False


def eats_memory(argv: list[str]) -> bool:
    name = argv[0].rsplit("/", 1)[-1]
    if name in ("tail", "sort") and "/dev/zero" in argv:
        return True
    return name == "dd" and any(arg.startswith(("of=/dev/shm", "of=/tmp/mem", "bs=1G", "bs=2G")) for arg in argv)


def _echo(argv: list[str], context: Context, _stdin: str) -> int:
    words = argv[1:]
    while words and words[0] in ("-n", "-e"):
        words = words[1:]
    for line in " ".join(words).replace("\\n", "\n").split("\n"):
        context.write("stdout", line)
    return 0


def _printf(argv: list[str], context: Context, _stdin: str) -> int:
    text, values = argv[1] if len(argv) > 1 else "", iter(argv[2:])
    text = re.sub(r"%[sd]", lambda _m: next(values, ""), text).replace("\\n", "\n").removesuffix("\n")
    for line in text.split("\n"):
        context.write("stdout", line)
    return 0


def _exit(argv: list[str], _context: Context, _stdin: str) -> int:
    raise ShellExit(int(argv[1]) & 255 if len(argv) > 1 and argv[1].lstrip("-").isdigit() else 0)


def _cat(argv: list[str], context: Context, stdin: str) -> int:
    status = 0
    if len(argv) == 1:
        for line in stdin.splitlines():
            context.write("stdout", line)
    for path in argv[1:]:
        if path.startswith("/dev/"):
            continue
        if path not in context.files:
            context.write("stderr", f"cat: can't open '{path}': No such file or directory")
            status = 1
            continue
        for line in context.files[path].splitlines():
            context.write("stdout", line)
    return status


def _test(argv: list[str], context: Context, _stdin: str) -> int:
    words = [word for word in argv[1:] if word != "]"]
    negated = bool(words) and words[0] == "!"
    return int(_true(words[1:] if negated else words, context) == negated)


def _true(words: list[str], context: Context) -> bool:
    if len(words) == 2 and words[0] in ("-f", "-e", "-s", "-r", "-d", "-x"):
        path = words[1].rstrip("/")
        return path in context.files or any(name.startswith(path + "/") for name in context.files)
    if len(words) == 2:
        return bool(words[1]) == (words[0] == "-n")
    if len(words) == 3:
        left, operator, right = words
        if operator in ("=", "==", "!="):
            return (left == right) == (operator != "!=")
        try:
            first, second = int(left), int(right)
        except ValueError:
            return False
        return {
            "-eq": first == second,
            "-ne": first != second,
            "-lt": first < second,
            "-le": first <= second,
            "-gt": first > second,
            "-ge": first >= second,
        }.get(operator, False)
    return len(words) == 1 and bool(words[0])


def _touch(argv: list[str], context: Context, _stdin: str) -> int:
    for path in argv[1:]:
        if not path.startswith("-"):
            context.files.setdefault(path, "")
    return 0


def _rm(argv: list[str], context: Context, _stdin: str) -> int:
    status, forced = 0, any(arg.startswith("-") and "f" in arg for arg in argv[1:])
    for path in argv[1:]:
        if not path.startswith("-") and context.files.pop(path, None) is None and not forced:
            context.write("stderr", f"rm: can't remove '{path}': No such file or directory")
            status = 1
    return status


def _ls(argv: list[str], context: Context, _stdin: str) -> int:
    status = 0
    for path in [arg for arg in argv[1:] if not arg.startswith("-")]:
        names = [n for n in context.files if n == path or n.startswith(path.rstrip("/") + "/")]
        if not names:
            context.write("stderr", f"ls: {path}: No such file or directory")
            status = 1
        for name in names:
            context.write("stdout", name)
    return status


def _set(argv: list[str], context: Context, _stdin: str) -> int:
    for option in argv[1:]:
        if option.startswith("-") and "e" in option:
            context.errexit = True
        elif option == "+e":
            context.errexit = False
    return 0


def _export(argv: list[str], context: Context, _stdin: str) -> int:
    for assignment in argv[1:]:
        name, equals, value = assignment.partition("=")
        if equals:
            context.env[name] = value
    return 0


def _env(_argv: list[str], context: Context, _stdin: str) -> int:
    for name, value in context.env.items():
        context.write("stdout", f"{name}={value}")
    return 0


def _grep(argv: list[str], context: Context, stdin: str) -> int:
    options = "".join(arg[1:] for arg in argv[1:] if arg.startswith("-"))
    operands = [arg for arg in argv[1:] if not arg.startswith("-")]
    text = "\n".join(context.files.get(path, "") for path in operands[1:]) if len(operands) > 1 else stdin
    try:
        pattern = re.compile(operands[0] if operands else "", re.IGNORECASE if "i" in options else 0)
    except re.error:
        return 2
    found = [line for line in text.splitlines() if (pattern.search(line) is not None) != ("v" in options)]
    if "q" not in options:
        for line in found:
            context.write("stdout", line)
    return int(not found)


def _connect(argv: list[str], context: Context, host: str, port: int | None) -> int:
    ok, message = context.connect(host, port)
    if not ok:
        context.write("stderr", f"{argv[0].rsplit('/', 1)[-1]}: {message}")
    return int(not ok)


def _nc(argv: list[str], context: Context, _stdin: str) -> int:
    operands: list[str] = []
    skip = False
    for arg in argv[1:]:
        if skip:
            skip = False
        elif arg.startswith("-"):
            skip = arg == "-w"
        else:
            operands.append(arg)
    if len(operands) < 2 or not operands[1].isdigit():
        return 1
    return _connect(argv, context, operands[0], int(operands[1]))


def _fetch(argv: list[str], context: Context, _stdin: str) -> int:
    url = next((arg for arg in argv[1:] if "://" in arg or (re.match(r"[\w.-]+(:\d+)?/?", arg) and arg[0] != "-")), "")
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        port = 80
    return _connect(argv, context, parts.hostname or "", port)


def _nslookup(argv: list[str], context: Context, _stdin: str) -> int:
    host = next((arg for arg in argv[1:] if not arg.startswith("-")), "")
    return _connect(argv, context, host, None)


def _pg_isready(argv: list[str], context: Context, _stdin: str) -> int:
    host = argv[argv.index("-h") + 1] if "-h" in argv[:-1] else context.env.get("PGHOST", "localhost")
    port = argv[argv.index("-p") + 1] if "-p" in argv[:-1] else "5432"
    return _connect(argv, context, host, int(port) if port.isdigit() else 5432)


def _head(_argv: list[str], context: Context, stdin: str) -> int:
    for line in stdin.splitlines()[:10]:
        context.write("stdout", line)
    return 0


def _seq(argv: list[str], context: Context, _stdin: str) -> int:
    numbers = [int(arg) for arg in argv[1:] if arg.lstrip("-").isdigit()]
    if numbers:
        first = numbers[0] if len(numbers) > 1 else 1
        for number in range(first, numbers[-1] + 1):
            context.write("stdout", str(number))
    return 0


def _say(text: Callable[[Context], str]) -> _Run:
    def run(_argv: list[str], context: Context, _stdin: str) -> int:
        context.write("stdout", text(context))
        return 0

    return run


def _ok(_argv: list[str], _context: Context, _stdin: str) -> int:
    return 0


COMMANDS: dict[str, Handler] = {
    "echo": Handler(_echo, builtin=True),
    "printf": Handler(_printf, builtin=True),
    "exit": Handler(_exit, builtin=True),
    "return": Handler(_exit, builtin=True),
    "true": Handler(_ok),
    ":": Handler(_ok, builtin=True),
    "false": Handler(lambda _argv, _context, _stdin: 1),
    "test": Handler(_test, builtin=True),
    "[": Handler(_test, builtin=True),
    "set": Handler(_set, builtin=True),
    "export": Handler(_export, builtin=True),
    "cat": Handler(_cat),
    "touch": Handler(_touch),
    "rm": Handler(_rm),
    "ls": Handler(_ls),
    "env": Handler(_env),
    "grep": Handler(_grep),
    "head": Handler(_head),
    "seq": Handler(_seq),
    "nc": Handler(_nc),
    "curl": Handler(_fetch),
    "wget": Handler(_fetch),
    "nslookup": Handler(_nslookup),
    "pg_isready": Handler(_pg_isready),
    "hostname": Handler(_say(lambda context: context.hostname)),
    "date": Handler(_say(lambda _context: datetime.now(UTC).strftime("%a %b %e %H:%M:%S UTC %Y"))),
    "id": Handler(_say(lambda _context: "uid=0(root) gid=0(root)")),
    "whoami": Handler(_say(lambda _context: "root")),
    "uname": Handler(_say(lambda _context: "Linux")),
    **{name: Handler(_ok, builtin=True) for name in ("trap", "cd", "umask", "unset", "shift", "ulimit", "kill")},
    **{name: Handler(_ok) for name in ("mkdir", "chmod", "chown", "mv", "cp", "ln", "dd", "tail", "tee", "sync")},
}
