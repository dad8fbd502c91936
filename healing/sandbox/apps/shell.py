"""Runs shell scripts in the world's time: a coroutine that yields how long it waits.

Commands act on a small file system (mounted files and what the script writes) and on the world's network, so
``until nc -z db 5432; do sleep 1; done`` waits exactly as long as the database is away.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from healing.sandbox.apps import shell_commands, shell_syntax as syntax
from healing.sandbox.apps.shell_context import BecomesServer, Context, ShellExit, Steps
from healing.sandbox.apps.shell_syntax import ShellSyntaxError

_BUSY_SECONDS = 0.25  # a loop that never sleeps turns at least this slowly, at full CPU
_FOREVER = 1e9


def run_script(script: str, context: Context) -> Steps:
    """The exit code is the generator's return value."""
    try:
        tree = syntax.parse(script)
    except ShellSyntaxError as error:
        context.write("stderr", str(error))
        return 2
    return (yield from run_tree(tree, context))


def run_tree(tree: syntax.Sequence, context: Context) -> Steps:
    try:
        return (yield from _sequence(tree, context, checked=False))
    except ShellExit as leave:
        return leave.code


def run_argv(argv: list[str], context: Context) -> Steps:
    """One command without a shell, as in ``command: [sleep, "60"]``."""
    try:
        return (yield from _execute(argv, context, ""))
    except ShellExit as leave:
        return leave.code


def _sequence(tree: syntax.Sequence, context: Context, *, checked: bool) -> Steps:
    status = 0
    for position, (connector, pipeline, background) in enumerate(tree.items):
        if (connector == "&&" and status != 0) or (connector == "||" and status == 0):
            continue
        if background:
            context.background.append(_in_background(pipeline, context))
            status = 0
            continue
        status = yield from _pipeline(pipeline, context, checked=checked)
        follows = tree.items[position + 1][0] if position + 1 < len(tree.items) else ";"
        if status != 0 and context.errexit and not checked and follows == ";" and not pipeline.negated:
            raise ShellExit(status)
    return status


def _in_background(pipeline: syntax.Pipeline, context: Context) -> Steps:
    try:
        return (yield from _pipeline(pipeline, context, checked=True))
    except ShellExit as leave:
        return leave.code


def _pipeline(pipeline: syntax.Pipeline, context: Context, *, checked: bool) -> Steps:
    status, stdin = 0, ""
    outer = context.write
    for position, command in enumerate(pipeline.commands):
        captured: list[str] = []
        if position < len(pipeline.commands) - 1:
            context.write = lambda stream, text, out=captured: out.append(text) if stream == "stdout" else None  # type: ignore[misc]
        else:
            context.write = outer
        try:
            status = yield from _command(command, context, stdin, checked=checked or pipeline.negated)
        finally:
            context.write = outer
        stdin = "\n".join(captured)
    return int(status == 0) if pipeline.negated else status


def _command(command: syntax.Command, context: Context, stdin: str, *, checked: bool) -> Steps:
    if isinstance(command, syntax.Simple):
        return (yield from _simple(command, context, stdin))
    if isinstance(command, syntax.Group):
        if not command.subshell:
            return (yield from _sequence(command.body, context, checked=checked))
        try:
            return (yield from _sequence(command.body, context, checked=checked))
        except ShellExit as leave:
            return leave.code
    if isinstance(command, syntax.If):
        for condition, body in command.branches:
            if (yield from _sequence(condition, context, checked=True)) == 0:
                return (yield from _sequence(body, context, checked=checked))
        return (yield from _sequence(command.otherwise, context, checked=checked)) if command.otherwise else 0
    if isinstance(command, syntax.For):
        status = 0
        for word in command.words:
            for value in _expand(word, context).split() or [""]:
                context.env[command.name] = value
                status = yield from _sequence(command.body, context, checked=checked)
        return status
    return (yield from _loop(command, context, checked=checked))


def _loop(command: syntax.Loop, context: Context, *, checked: bool) -> Steps:
    status = 0
    while True:
        condition = yield from _sequence(command.condition, context, checked=True)
        if (condition == 0) == command.until:
            return status
        status = yield from _sequence(command.body, context, checked=checked)
        yield -_BUSY_SECONDS if not _sleeps(command) else 0.0


def _sleeps(command: syntax.Loop) -> bool:
    return "sleep" in str(command) or "read" in str(command) or "wait" in str(command)


def _simple(command: syntax.Simple, context: Context, stdin: str) -> Steps:
    values = {name: _expand(word, context) for name, word in command.assignments}
    argv: list[str] = []
    for word in command.words:
        text = _expand(word, context)
        argv.extend([text] if any(quote for _, quote in word) else text.split() or [])
    if not argv:
        context.env.update(values)
        return 0
    outer = context.write
    if any(operator.lstrip("12").startswith(">") or operator == "&>" for operator, _ in command.redirects):
        context.write = _redirected(command, context, outer)
    for operator, word in command.redirects:
        if operator == "<":
            stdin = context.files.get(_expand(word, context), "")
    try:
        return (yield from _execute(argv, context, stdin))
    finally:
        context.write = outer


def _redirected(
    command: syntax.Simple, context: Context, outer: Callable[[str, str], None]
) -> Callable[[str, str], None]:
    targets = {"stdout": "stdout", "stderr": "stderr"}
    for operator, word in command.redirects:
        target = _expand(word, context)
        stream = "stderr" if operator.startswith("2") else "stdout"
        if operator.endswith(">&"):
            targets[stream] = {"1": targets["stdout"], "2": targets["stderr"]}.get(target, target)
        elif operator == "&>":
            targets = {"stdout": target, "stderr": target}
        elif operator.lstrip("12").startswith(">"):
            targets[stream] = {"/dev/stderr": "stderr", "/dev/stdout": "stdout", "/proc/1/fd/1": "stdout"}.get(
                target, target
            )
            if not operator.endswith(">>") and targets[stream] == target and not target.startswith("/dev/"):
                context.files[target] = ""

    def write(stream: str, text: str) -> None:
        target = targets[stream]
        if target in ("stdout", "stderr"):
            outer(target, text)
        elif not target.startswith("/dev/"):
            context.files[target] = context.files.get(target, "") + text + "\n"

    return write


_VARIABLE = re.compile(r"\\\$|\$\(\(([^)]*)\)\)|\$\(([^)]*)\)|\$\{(\w+)(?::?([-?=])([^}]*))?\}|\$(\w+|[?$#@*!])")


def _expand(word: syntax.Word, context: Context) -> str:
    def replaced(match: re.Match[str]) -> str:
        arithmetic, substitution, braced, operator, default, plain = match.groups()
        if match.group(0) == "\\$":
            return "$"
        if arithmetic is not None:
            return str(_arithmetic(arithmetic, context))
        if substitution is not None:
            return _substituted(substitution, context)
        name = braced or plain
        if operator == "?" and not context.env.get(name):
            context.write("stderr", f"sh: {name}: {default or 'parameter not set'}")
            raise ShellExit(2)
        return context.env.get(name, "") or (default if operator in ("-", "=") else "") or ""

    return "".join(text if quote == "'" else _VARIABLE.sub(replaced, text) for text, quote in word)


def _arithmetic(text: str, context: Context) -> int:
    numbers = re.sub(r"\$?([A-Za-z_]\w*)", lambda m: context.env.get(m.group(1), "0") or "0", text)
    total, sign = 0, 1
    for part in re.findall(r"\d+|[-+]", numbers):  # sums only: what counters in scripts need
        if part in "+-":
            sign = 1 if part == "+" else -1
        else:
            total += sign * int(part)
    return total


def _substituted(script: str, context: Context) -> str:
    """``$(...)`` of commands that do not wait."""
    captured: list[str] = []
    outer = context.write
    context.write = lambda stream, text: captured.append(text) if stream == "stdout" else None
    try:
        for _ in run_script(script, context):
            break
    finally:
        context.write = outer
    return "\n".join(captured)


def _execute(argv: list[str], context: Context, stdin: str) -> Steps:
    name = argv[0].rsplit("/", 1)[-1]
    if name == "exec" and len(argv) > 1:
        status = yield from _execute(argv[1:], context, stdin)
        raise ShellExit(status)
    if name in ("sh", "bash", "ash", "dash") and context.is_program("sh"):
        return (yield from _nested(argv, context))
    if name == "sleep":
        yield sum(_seconds(text) for text in argv[1:])
        return 0
    if name == "wait":
        yield 0.0
        while context.jobs:
            yield 0.2
        return 0
    if name in ("yes", "stress", "stress-ng"):
        while True:
            if "--vm-bytes" in argv:
                context.memory_bytes += _bytes(argv[argv.index("--vm-bytes") + 1])
                yield _FOREVER
            yield -_BUSY_SECONDS
    if shell_commands.eats_memory(argv):
        context.memory_per_second = 400 << 20
        yield _FOREVER
    if name == "tail" and "-f" in argv:
        yield _FOREVER
    handler = shell_commands.COMMANDS.get(name)
    if handler is not None and (handler.builtin or context.is_program("sh")):
        return handler.run(argv, context, stdin)
    if context.is_program(argv[0]):
        raise BecomesServer(argv)
    context.write("stderr", f"sh: {argv[0]}: not found")
    return 127


def _nested(argv: list[str], context: Context) -> Steps:
    options = [text for text in argv[1:] if text.startswith("-")]
    operands = [text for text in argv[1:] if not text.startswith("-")]
    if any("e" in option for option in options):
        context.errexit = True
    if any("c" in option for option in options) and operands:
        return (yield from run_script(operands[0], context))
    if operands:
        if operands[0] not in context.files:
            context.write("stderr", f"sh: can't open '{operands[0]}': No such file or directory")
            return 2
        return (yield from run_script(context.files[operands[0]], context))
    return 0  # an interactive shell without a terminal reads end of file


def _seconds(text: str) -> float:
    if text in ("infinity", "inf"):
        return _FOREVER
    try:
        return float(text.rstrip("smhd")) * {"m": 60, "h": 3600, "d": 86400}.get(text[-1:], 1)
    except ValueError:
        return 0.0


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+)([KMGkmg]?)B?", text)
    if found is None:
        return 0
    return int(found.group(1)) * {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}[found.group(2).lower()]
