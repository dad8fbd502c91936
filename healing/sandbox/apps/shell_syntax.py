"""A small POSIX shell grammar: enough for the scripts people put into ``command: [sh, -c, ...]``.

Lists (``; & && || newline``), pipes, ``!``, subshells, groups, ``if``, ``while``, ``until``, ``for``, assignments
and redirections. What it cannot read is a `ShellSyntaxError`, which the container reports as a shell would.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: pieces of a word: (text, how it was quoted)
Piece = tuple[str, str]
Word = tuple[Piece, ...]


class ShellSyntaxError(Exception):
    """The script cannot be read; the message is the shell's."""


@dataclass(slots=True)
class Simple:
    assignments: list[tuple[str, Word]] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    #: (operator such as ``>``, ``2>``, ``>&``; target)
    redirects: list[tuple[str, Word]] = field(default_factory=list)


@dataclass(slots=True)
class Pipeline:
    commands: list[Command]
    negated: bool = False


@dataclass(slots=True)
class Sequence:
    """``items``: (connector before it, command, runs in background)."""

    items: list[tuple[str, Pipeline, bool]]


@dataclass(slots=True)
class Group:
    body: Sequence
    subshell: bool


@dataclass(slots=True)
class If:
    branches: list[tuple[Sequence, Sequence]]
    otherwise: Sequence | None


@dataclass(slots=True)
class Loop:
    condition: Sequence
    body: Sequence
    until: bool


@dataclass(slots=True)
class For:
    name: str
    words: list[Word]
    body: Sequence


Command = Simple | Group | If | Loop | For
_OPERATORS = ("&&", "||", ";;", ">>", ">&", "&>", "<<", ";", "&", "|", "(", ")", "<", ">", "\n")
_CLOSING = {"then", "else", "elif", "fi", "do", "done", "}"}
Token = str | Word


def tokenize(script: str) -> list[Token]:
    """Operators as plain strings, words as tuples of pieces."""
    tokens: list[Token] = []
    index, length = 0, len(script)
    while index < length:
        char = script[index]
        if char in " \t\r" or script.startswith("\\\n", index):
            index += 2 if char == "\\" else 1
        elif char == "#":
            while index < length and script[index] != "\n":
                index += 1
        elif operator := next((op for op in _OPERATORS if script.startswith(op, index)), None):
            tokens.append(operator)
            index += len(operator)
        else:
            word, index = _word(script, index)
            # ``2>`` is one operator
            if word in ((("2", ""),), (("1", ""),)) and index < length and script[index] == ">":
                operator = next(op for op in (">>", ">&", ">") if script.startswith(op, index))
                tokens.append(word[0][0] + operator)
                index += len(operator)
            else:
                tokens.append(word)
    return tokens


def _word(script: str, index: int) -> tuple[Word, int]:
    pieces: list[Piece] = []
    plain = ""
    length = len(script)
    while index < length and script[index] not in " \t\r\n;&|()<>":
        char = script[index]
        if char in "'\"":
            if plain:
                pieces.append((plain, ""))
                plain = ""
            text, index = _quoted(script, index)
            pieces.append((text, char))
        elif char == "\\" and index + 1 < length:
            pieces.append((plain, ""))
            pieces.append((script[index + 1], "'"))
            plain = ""
            index += 2
        elif script.startswith("$(", index):
            end = _matching_parenthesis(script, index + 1)
            plain += script[index:end]
            index = end
        else:
            plain += char
            index += 1
    if plain:
        pieces.append((plain, ""))
    return tuple(piece for piece in pieces if piece[0] or piece[1]), index


def _quoted(script: str, index: int) -> tuple[str, int]:
    quote, text = script[index], ""
    index += 1
    while index < len(script) and script[index] != quote:
        if quote == '"' and script[index] == "\\" and script[index + 1 : index + 2] in ('"', "\\", "$", "`"):
            index += 1
            text += "\\$" if script[index] == "$" else script[index]
        else:
            text += script[index]
        index += 1
    if index >= len(script):
        raise ShellSyntaxError("sh: syntax error: unterminated quoted string")
    return text, index + 1


def _matching_parenthesis(script: str, index: int) -> int:
    depth = 0
    while index < len(script):
        depth += {"(": 1, ")": -1}.get(script[index], 0)
        index += 1
        if depth == 0:
            return index
    raise ShellSyntaxError('sh: syntax error: unexpected end of file (expecting ")")')


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.index = 0

    def peek(self) -> Token | None:
        return self.tokens[self.index] if self.index < len(self.tokens) else None

    def keyword(self) -> str | None:
        """The next token as text, if it is an operator or an unquoted word."""
        token = self.peek()
        if token is None or isinstance(token, str):
            return token
        return token[0][0] if len(token) == 1 and token[0][1] == "" else None

    def expect(self, text: str) -> None:
        if self.keyword() != text:
            found = self.keyword() or "end of file"
            raise ShellSyntaxError(f'sh: syntax error: unexpected {found} (expecting "{text}")')
        self.index += 1

    def skip(self, *texts: str) -> None:
        while self.keyword() in texts and isinstance(self.peek(), str):
            self.index += 1

    def sequence(self, closing: set[str]) -> Sequence:
        items: list[tuple[str, Pipeline, bool]] = []
        connector = ";"
        self.skip(";", "\n")
        while (word := self.keyword()) not in closing and self.peek() is not None:
            if isinstance(self.peek(), str) and word in (")", ";;"):
                break
            pipeline = self.pipeline()
            background = self.keyword() == "&" and isinstance(self.peek(), str)
            items.append((connector, pipeline, background))
            connector = ";"
            if self.keyword() in ("&&", "||"):
                connector = str(self.keyword())
                self.index += 1
                self.skip("\n")
            else:
                self.skip(";", "\n", "&")
        return Sequence(items)

    def pipeline(self) -> Pipeline:
        negated = False
        while self.keyword() == "!":
            negated = not negated
            self.index += 1
        commands = [self.command()]
        while self.keyword() == "|" and isinstance(self.peek(), str):
            self.index += 1
            self.skip("\n")
            commands.append(self.command())
        return Pipeline(commands, negated)

    def command(self) -> Command:
        word = self.keyword()
        if word in ("(", "{"):
            self.index += 1
            body = self.sequence({"}"} if word == "{" else set())
            self.expect("}" if word == "{" else ")")
            return Group(body, subshell=word == "(")
        if word == "if":
            return self.conditional()
        if word in ("while", "until"):
            self.index += 1
            condition = self.sequence({"do"})
            self.expect("do")
            body = self.sequence({"done"})
            self.expect("done")
            return Loop(condition, body, until=word == "until")
        if word == "for":
            return self.for_loop()
        return self.simple()

    def conditional(self) -> If:
        branches: list[tuple[Sequence, Sequence]] = []
        otherwise: Sequence | None = None
        self.expect("if")
        while True:
            condition = self.sequence({"then"})
            self.expect("then")
            branches.append((condition, self.sequence({"elif", "else", "fi"})))
            if self.keyword() != "elif":
                break
            self.index += 1
        if self.keyword() == "else":
            self.index += 1
            otherwise = self.sequence({"fi"})
        self.expect("fi")
        return If(branches, otherwise)

    def for_loop(self) -> For:
        self.expect("for")
        name = self.keyword() or ""
        self.index += 1
        self.expect("in")
        words: list[Word] = []
        while (token := self.peek()) is not None and not isinstance(token, str):
            words.append(token)
            self.index += 1
        self.skip(";", "\n")
        self.expect("do")
        body = self.sequence({"done"})
        self.expect("done")
        return For(name, words, body)

    def simple(self) -> Simple:
        command = Simple()
        while (token := self.peek()) is not None:
            if isinstance(token, str):
                if token.lstrip("12") not in (">", ">>", ">&", "<", "&>"):
                    break
                self.index += 1
                target = self.peek()
                if target is None or isinstance(target, str):
                    raise ShellSyntaxError("sh: syntax error: unexpected redirection")
                command.redirects.append((token, target))
            else:
                name, equals, rest = token[0][0].partition("=") if token and token[0][1] == "" else ("", "", "")
                if not command.words and equals and name.isidentifier():
                    command.assignments.append((name, ((rest, ""), *token[1:])))
                else:
                    command.words.append(token)
            self.index += 1
        if not command.words and not command.assignments and not command.redirects:
            raise ShellSyntaxError(f'sh: syntax error: unexpected "{self.keyword() or "end of file"}"')
        return command


def parse(script: str) -> Sequence:
    parser = _Parser(tokenize(script))
    tree = parser.sequence(set())
    if parser.peek() is not None:
        raise ShellSyntaxError(f'sh: syntax error: unexpected "{parser.keyword()}"')
    return tree
