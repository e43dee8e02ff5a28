# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Internal: what a Redis configuration file says, and the smallest edit that makes it say something else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

_DIRECTIVE = re.compile(r"\s*(?P<name>[A-Za-z][A-Za-z0-9-]*)[ \t]+(?P<value>.*?)\s*\Z")
_MAX_INCLUDES = 32


def _unquote(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"" else value


def directives(text: str) -> Iterable[tuple[str, str]]:
    """Name (lower case) and value of each directive, in order."""
    for line in text.splitlines():
        match = None if line.lstrip().startswith("#") else _DIRECTIVE.match(line)
        if match is not None:
            yield match["name"].lower(), _unquote(match["value"])


def effective(text: str, names: Iterable[str], included: Callable[[str], Iterable[str]] = lambda _pattern: ()) -> dict[str, str]:
    """The values that count, which are the last ones.

    ``included`` returns the texts of the files that an ``include`` names; Redis reads them where the line stands.
    """
    wanted = set(names)
    found: dict[str, str] = {}
    left = _MAX_INCLUDES

    def read(content: str) -> None:
        nonlocal left
        for name, value in directives(content):
            if name == "include" and left > 0:
                left -= 1
                for inner in included(value):
                    read(inner)
            elif name in wanted:
                found[name] = value

    read(text)
    return found


def edited(text: str, wanted: Mapping[str, str]) -> str:
    """The text with the directives set: in place where they stand, else at the end. Everything else stays as it is.

    A directive that an ``include`` further down could override is set again at the end.
    """
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    last = dict.fromkeys(wanted, -1)
    include = -1
    for index, line in enumerate(lines):
        for name, _value in directives(line):
            if name == "include":
                include = index
            elif name in wanted:
                lines[index] = f"{name} {wanted[name]}\n"
                last[name] = index
    lines += [f"{name} {value}\n" for name, value in wanted.items() if last[name] <= include]
    return "".join(lines)
