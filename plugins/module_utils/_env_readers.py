# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Internal: how the programs that read env files read one value, and which notation they all read alike.

There is no standard for env files. Each reader here is a function ``(notation, lookup) -> value`` that models one real
program, with the notation being what stands after ``KEY=``. It raises `Unreadable` where that program would stop, would
run something, or would read more than one word.

=============  =====================================  ======================================================
reader         models                                 of note
=============  =====================================  ======================================================
compose        ``env_file:`` and ``.env`` of Docker   ``$`` is expanded except in single quotes; ``\\'`` is a
               Compose v2 (compose-go ``dotenv``)     quote even in single quotes
shell          ``set -a; . ./.env`` in POSIX sh       a space ends the value; a backtick runs a command
python_dotenv  python-dotenv with its defaults        ``${NAME}`` is expanded even in single quotes
=============  =====================================  ======================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Optional

Lookup = Callable[[str], Optional[str]]
Reader = Callable[[str, Lookup], str]


class Unreadable(Exception):
    """A reader cannot read a notation, or reading it would do more than read. The text never holds the value."""


_REFERENCE = re.compile(
    r"\$(?:\$|(?P<bare>[A-Za-z_][A-Za-z0-9_]*)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::?-(?P<default>[^}$]*))?\})"
)
_COMPOSE_ESCAPE = re.compile(r"\\(?:([abcfnrtv$\"\\])|0([0-7]{0,3}))")
_CONTROL = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\"}
_COMPOSE_ESCAPED = {**_CONTROL, "$": "$$"}
_DOTENV_REFERENCE = re.compile(r"\$\{([^}:]*)(?::-([^}]*))?\}")
_DOTENV_ESCAPED = {**_CONTROL, "'": "'"}
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]*\Z")
_SHELL_SPECIAL = re.compile(r"[\s\"'\\`&|;<>()*?\[\]~!{}]")


def _dotenv_comment(notation: str) -> str:
    """The part of an unquoted notation before its comment, as compose and python-dotenv see it."""
    return re.split(r"\s#", notation, maxsplit=1)[0].rstrip()


def _expand(text: str, lookup: Lookup, doubled: str) -> str:
    """Expand ``$NAME`` and ``${NAME:-default}``; ``$$`` becomes ``doubled``. An unknown name is empty."""
    out: list[str] = []
    at = 0
    while True:
        dollar = text.find("$", at)
        if dollar < 0:
            return "".join([*out, text[at:]])
        match = _REFERENCE.match(text, dollar)
        if match is None:
            raise Unreadable("has a $ that does not start a name")
        out.append(text[at:dollar])
        name = match.group("bare") or match.group("name")
        if name is None:
            if not doubled:
                raise Unreadable("has $$, which a shell replaces by a process id")
            out.append(doubled)
        else:
            value = lookup(name)
            default = match.group("default")
            out.append(default if default is not None and not value else value or "")
        at = match.end()


def _inside(notation: str) -> tuple[str, str]:
    """Split a notation into its quote ("" for none) and what is inside."""
    if notation[:1] in ("'", '"'):
        return notation[0], notation[1:-1]
    return "", notation


def compose(notation: str, lookup: Lookup) -> str:
    quote, text = _inside(notation)
    if not quote:
        return _expand(_dotenv_comment(text), lookup, "$")
    # An escaped quote loses its backslash in both kinds of quotes; every other escape is left for the next stage.
    text = re.sub(r"\\(.)", lambda match: match[1] if match[1] == quote else match[0], text, flags=re.DOTALL)
    if quote == "'":
        return text

    def escaped(match: re.Match[str]) -> str:
        if match[1] is None:
            return chr(int(match[2] or "0", 8))
        return _COMPOSE_ESCAPED.get(match[1], match[0])

    return _expand(_COMPOSE_ESCAPE.sub(escaped, text), lookup, "$")


def shell(notation: str, lookup: Lookup) -> str:
    quote, text = _inside(notation)
    if quote == "'":
        if "'" in text:
            raise Unreadable("has a quote inside single quotes")
        return text
    if not quote:
        text = _dotenv_comment(text)
        bare = _REFERENCE.sub("", text)
        if _SHELL_SPECIAL.search(bare):
            raise Unreadable("has a space or another character that is special to a shell, outside quotes")
        return _expand(text, lookup, "")
    out: list[str] = []
    literal = ""
    at = 0
    while at < len(text):
        char = text[at]
        if char == "`":
            raise Unreadable("has a backtick, which runs a command in a shell")
        if char == "\\" and at + 1 < len(text):
            follows = text[at + 1]
            if follows in '$`"\\':
                out.append(_expand(literal, lookup, "") + follows)
                literal = ""
            elif follows == "\n":
                pass
            else:
                literal += char + follows
            at += 2
            continue
        literal += char
        at += 1
    return "".join([*out, _expand(literal, lookup, "")])


def python_dotenv(notation: str, lookup: Lookup) -> str:
    quote, text = _inside(notation)
    if not quote:
        text = _dotenv_comment(text)
    else:
        known = _DOTENV_ESCAPED if quote == '"' else {"'": "'", "\\": "\\"}
        text = re.sub(r"\\(.)", lambda match: known.get(match[1], match[0]), text, flags=re.DOTALL)

    def reference(match: re.Match[str]) -> str:
        value = lookup(match[1])
        return value if value is not None else match[2] or ""

    return _DOTENV_REFERENCE.sub(reference, text)


READERS: dict[str, Reader] = {"compose": compose, "shell": shell, "python_dotenv": python_dotenv}
DEFAULT_READERS = ("compose", "shell")


def references(notation: str) -> list[tuple[str, bool]]:
    """The names that a reader might expand in a notation, each with whether it has a default. ``$$`` is the name ""."""
    quote, text = _inside(notation)
    if quote == "'":
        return []
    text = re.sub(r"\\.", "", text, flags=re.DOTALL) if quote else _dotenv_comment(text)
    found = [(match["bare"] or match["name"] or "", match["default"] is not None) for match in _REFERENCE.finditer(text)]
    if "$" in _REFERENCE.sub("", text):
        found.append(("", False))
    return found


def _nothing(_name: str) -> str | None:
    return None


def _safe_single(value: str) -> bool:
    """Whether single quotes hold a value without any program having to undo an escape."""
    return "'" not in value and not value.endswith("\\")


def notations(value: str) -> list[str]:
    """The ways to write a value, the plainest first."""
    ways = []
    if _PLAIN.match(value):
        ways.append(value)
    if _safe_single(value):
        ways.append(f"'{value}'")
    elif "\\" not in value:
        ways.append("'" + value.replace("'", "\\'") + "'")
    ways.append('"' + re.sub(r'([\\"$])', r"\\\1", value) + '"')
    return ways


def reads_as(reader: str, notation: str, value: str) -> bool:
    """Whether a reader gets exactly this value out of a notation."""
    try:
        return READERS[reader](notation, _nothing) == value
    except Unreadable:
        return False


def best_notation(value: str, readers: Iterable[str]) -> tuple[str | None, list[str]]:
    """The notation that all ``readers`` read as ``value`` (None: there is none), and which other readers would not.

    >>> best_notation("it's", ["compose", "shell"])
    ('"it\\'s"', [])
    """
    # Every reader turns CRLF into a line feed before it looks, and a NUL ends a variable for the kernel.
    if "\r" in value or "\0" in value:
        return None, sorted(READERS)
    wanted = tuple(readers)
    best: tuple[str, list[str]] | None = None
    for notation in notations(value):
        if not all(reads_as(reader, notation, value) for reader in wanted):
            continue
        others = sorted(name for name in READERS if name not in wanted and not reads_as(name, notation, value))
        if best is None or len(others) < len(best[1]):
            best = notation, others
    if best is None:
        return None, sorted(name for name in wanted)
    return best
