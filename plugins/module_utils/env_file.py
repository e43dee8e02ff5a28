# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Env files: reading, validating, rendering and writing them, without ever naming a value.

Every problem names a key or a line, never what stands there: the file holds secrets. A name is shown only where the
line surely is an assignment; the lines after one that is not may be the rest of a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ansible_collections.golive.cutover.plugins.module_utils import _env_readers
from ansible_collections.golive.cutover.plugins.module_utils._env_readers import DEFAULT_READERS, READERS, Unreadable
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.patterns import compile_pattern

DEFAULT_PLACEHOLDERS = (
    r"(?i)your[_-].*[_-]?here",
    r"(?i)(^|[^A-Za-z0-9-])example\.(com|org|net)\b",
    r"(?i)^change[_-]?me",
    r"^<[^<>]*>$",
    r"(?i)^(todo|tbd|fixme|xxx+)$",
    r"^\.\.\.$",
)
"""Values that a person was meant to replace. Searched for in the value, so they are anchored where that matters."""

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_ASSIGNMENT = re.compile(r"[ \t]*(?P<export>export[ \t]+)?(?P<key>[^=\s#'\"]+)(?P<before>[ \t]*)=(?P<after>[ \t]*)")
_HOST = re.compile(r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9_-]{1,63}(\.(?!-)[A-Za-z0-9_-]{1,63})*\.?\Z")
_BOOLEANS = ("true", "false", "yes", "no", "on", "off", "1", "0")


@dataclass(frozen=True)
class Entry:
    """One assignment.

    ``line`` is where it starts (from 1), ``notation`` what stands after ``KEY=`` without comment, ``text`` all of it as
    it stands; ``tidy`` says that there is no space around the ``=``.
    """

    key: str
    line: int
    notation: str
    text: str
    tidy: bool
    export: bool = False


@dataclass(frozen=True)
class EnvFile:
    """A parsed env file. ``parts`` is everything in order: entries, and the text between them as it stands."""

    parts: tuple[Entry | str, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def entries(self) -> list[Entry]:
        return [part for part in self.parts if isinstance(part, Entry)]

    @property
    def keys(self) -> list[str]:
        return list(dict.fromkeys(entry.key for entry in self.entries))


class Changes(NamedTuple):
    """Names of keys, never their values."""

    added: list[str]
    changed: list[str]
    removed: list[str]

    @property
    def keys(self) -> list[str]:
        return sorted({*self.added, *self.changed, *self.removed})


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def _closing_quote(text: str, start: int) -> int:
    """The index of the quote that closes the one at ``start``, or -1. A backslash hides the character after it."""
    quote = text[start]
    at = start + 1
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == quote:
            return at
        at += 1
    return -1


def decode(data: bytes) -> str:
    """The text of an env file. Raises InputError when it is not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError([Problem(f"line {line}", "is not UTF-8")]) from None


def parse(text: str) -> EnvFile:
    """Parse an env file: comments, ``export``, quotes, values over several lines, CRLF, a byte order mark.

    Mistakes are collected in ``problems`` (where: ``line N`` or ``line N, KEY``), and parsing goes on at the next line.
    """
    problems: list[Problem] = []
    warnings: list[str] = []
    parts: list[Entry | str] = []
    if text.startswith("\ufeff"):
        text = text[1:]
        warnings.append("the file starts with a byte order mark, which a shell takes for part of the first name")
    if "\r\n" in text:
        warnings.append("lines end with CRLF, which a shell takes for part of the values")
        text = text.replace("\r\n", "\n")
    if "\0" in text:
        problems.append(Problem(f"line {text.count(chr(10), 0, text.index(chr(0))) + 1}", "holds a NUL byte"))
        text = text.replace("\0", "")
    at = 0
    line = 1
    doubtful = False
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        content = text[at:end]
        if not content.strip() or content.lstrip().startswith("#"):
            parts.append(content + "\n")
            doubtful = doubtful and bool(content.strip())
            at, line = end + 1, line + 1
            continue
        match = _ASSIGNMENT.match(text, at, end)
        if match is None:
            if not doubtful and _KEY.match(content.strip()):
                message = "has a name but no =: its value would come from whoever reads the file"
                problems.append(Problem(f"line {line}", message))
            else:
                problems.append(Problem(f"line {line}", "is neither a comment nor an assignment KEY=value"))
            doubtful = True
            at, line = end + 1, line + 1
            continue
        key = match["key"]
        sure = _KEY.match(key) is not None and not doubtful
        where = f"line {line}, {key}" if sure else f"line {line}"
        if not _KEY.match(key):
            problems.append(Problem(where, "the name is not made of letters, digits and _ alone"))
        elif doubtful:
            message = "follows a line that is no assignment: is it the rest of a value without quotes?"
            problems.append(Problem(where, message))
        begin = match.end()
        notation_end = end
        if text[begin : begin + 1] in ("'", '"'):
            close = _closing_quote(text, begin)
            if close < 0:
                problems.append(Problem(where, "the quote at the start of the value is never closed"))
                doubtful = True
                at, line = end + 1, line + 1
                continue
            notation = text[begin : close + 1]
            notation_end = text.find("\n", close)
            notation_end = len(text) if notation_end < 0 else notation_end
            rest = text[close + 1 : notation_end]
            if rest.strip() and not re.match(r"\s+#", rest):
                problems.append(Problem(where, "has text after the closing quote"))
        else:
            # With a space after the =, a # starts a comment at once: KEY= # comment
            notation = match["after"] + text[begin:end]
            notation = re.split(r"\s#", notation, maxsplit=1)[0].strip()
        tidy = not match["before"] and not match["after"]
        if not tidy and sure:
            warnings.append(f"line {line}, {key}: has spaces around the =, which a shell does not accept")
        if sure:
            parts.append(Entry(key, line, notation, text[at:notation_end] + "\n", tidy, bool(match["export"])))
        line += text.count("\n", at, notation_end) + 1
        at = notation_end + 1
    return EnvFile(tuple(parts), tuple(problems), tuple(warnings))


def read_values(env: EnvFile, reader: str = "compose") -> tuple[dict[str, str], list[Problem]]:
    """What one reader gets out of a file: key to value, the last assignment winning; and where it would stop."""
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for entry in env.entries:
        try:
            values[entry.key] = READERS[reader](entry.notation, values.get)
        except Unreadable as error:
            problems.append(Problem(f"line {entry.line}, {entry.key}", f"{error}, so {reader} cannot read it"))
            values[entry.key] = ""
    return values, problems


def duplicates(env: EnvFile) -> list[Problem]:
    lines: dict[str, list[int]] = {}
    for entry in env.entries:
        lines.setdefault(entry.key, []).append(entry.line)
    return [
        Problem(key, f"is set {len(at)} times, in lines {', '.join(map(str, at))}; which one counts depends on the reader")
        for key, at in lines.items()
        if len(at) > 1
    ]


def disagreements(env: EnvFile, readers: Iterable[str]) -> tuple[list[Problem], list[Entry]]:
    """Entries that the readers do not read alike.

    They are problems where a ``$`` outside single quotes is the reason, because only the author knows what was meant.
    They are entries where the value is certain and other quotes are all that is needed.
    """
    problems: list[Problem] = []
    mendable: list[Entry] = []
    known: dict[str, dict[str, str]] = {reader: {} for reader in readers}
    defined: set[str] = set()
    for entry in env.entries:
        seen: set[str | None] = set()
        for reader, values in known.items():
            try:
                value: str | None = READERS[reader](entry.notation, values.get)
            except Unreadable:
                value = None
            values[entry.key] = value or ""
            seen.add(value)
        names = _env_readers.references(entry.notation)
        unknown = [name for name, default in names if name and not default and name not in defined]
        defined.add(entry.key)
        if unknown or (names and (len(seen) > 1 or None in seen)):
            why = "refers to a name that is not set above it" if unknown else f"{', '.join(known)} do not read it alike"
            problems.append(
                Problem(
                    f"line {entry.line}, {entry.key}",
                    f"has a $ outside single quotes and {why}; put the value in single quotes if the $ is meant",
                )
            )
        elif len(seen) > 1 or None in seen or not entry.tidy:
            mendable.append(entry)
    return problems, mendable


# ---------------------------------------------------------------------------------------------------------------------
# Formats


Format = Callable[[str], "str | None"]
"""Takes a value and returns what was expected, or None when the value is fine. Never repeats the value."""


def _regex(raw: Any) -> Format:
    pattern = compile_pattern(str(raw))
    return lambda value: None if pattern.fullmatch(value) else f"does not match the pattern {pattern.pattern}"


def _url(raw: Any) -> Format:
    schemes = tuple([raw] if isinstance(raw, str) else raw or ())

    def check(value: str) -> str | None:
        expected = f"is not a URL{' that starts with ' + ' or '.join(s + '://' for s in schemes) if schemes else ''}"
        try:
            parts = urlsplit(value)
            _port = parts.port
        except ValueError:
            return expected
        fine = parts.scheme and (parts.hostname or parts.scheme in ("unix", "file")) and not re.search(r"\s", value)
        return None if fine and (not schemes or parts.scheme in schemes) else expected

    return check


def _integer(raw: Any) -> Format:
    bounds = raw or {}
    if not isinstance(bounds, Mapping) or set(bounds) - {"min", "max"}:
        raise ValueError("expected min and max")
    try:
        low, high = (int(bounds[name]) if bounds.get(name) is not None else None for name in ("min", "max"))
    except (TypeError, ValueError):
        raise ValueError("min and max are whole numbers") from None
    span = " ".join([*([f"from {low}"] if low is not None else []), *([f"up to {high}"] if high is not None else [])])

    def check(value: str) -> str | None:
        if not re.fullmatch(r"[+-]?[0-9]+", value):
            return "is not a whole number"
        number = int(value)
        if (low is not None and number < low) or (high is not None and number > high):
            return f"is not a whole number {span}"
        return None

    return check


def _boolean(raw: Any) -> Format:
    allowed = tuple(str(one) for one in raw) if isinstance(raw, (list, tuple)) else _BOOLEANS
    return lambda value: None if value.lower() in allowed else f"is not one of {', '.join(allowed)}"


def _one_of(raw: Any) -> Format:
    if not isinstance(raw, (list, tuple)) or not raw:
        raise ValueError("expected a list of the allowed values")
    allowed = tuple(_plain_text(one) for one in raw)
    return lambda value: None if value in allowed else f"is not one of {', '.join(allowed)}"


def _host_list(_raw: Any) -> Format:
    def check(value: str) -> str | None:
        hosts = [host.strip() for host in value.split(",")]
        fine = all(_HOST.match(host.rpartition(":")[0] if re.search(r":\d+\Z", host) else host) for host in hosts)
        return None if fine else "is not a list of host names with commas between them"

    return check


_FORMATS: dict[str, Callable[[Any], Format]] = {
    "regex": _regex,
    "url": _url,
    "integer": _integer,
    "boolean": _boolean,
    "one_of": _one_of,
    "host_list": _host_list,
}
_NEEDS_ARGUMENT = ("regex", "one_of")


def read_formats(raw: Mapping[str, Any] | None, where: str = "formats") -> dict[str, Format]:
    """Read ``{KEY: integer}`` or ``{KEY: {integer: {min: 1}}}``. Raises InputError with every mistake."""
    problems: list[Problem] = []
    formats: dict[str, Format] = {}
    for key, spec in (raw or {}).items():
        if isinstance(spec, str):
            name, argument = spec, None
        elif isinstance(spec, Mapping) and len(spec) == 1:
            name, argument = next(iter(spec.items()))
        else:
            problems.append(Problem(f"{where}.{key}", f"expected one of {', '.join(_FORMATS)}, alone or as {{format: argument}}"))
            continue
        if name not in _FORMATS:
            problems.append(Problem(f"{where}.{key}", f"no format {name!r}; expected one of {', '.join(_FORMATS)}"))
        elif argument is None and name in _NEEDS_ARGUMENT:
            problems.append(Problem(f"{where}.{key}", f"the format {name} needs an argument, as in {{{name}: …}}"))
        else:
            try:
                formats[str(key)] = _FORMATS[name](argument)
            except ValueError as error:
                problems.append(Problem(f"{where}.{key}", f"{name}: {error}"))
    if problems:
        raise InputError(problems)
    return formats


def read_placeholders(raw: Iterable[str] | None, where: str = "placeholders") -> tuple[re.Pattern[str], ...]:
    """Compile patterns; None stands for `DEFAULT_PLACEHOLDERS`. Raises InputError."""
    patterns = []
    problems = []
    for index, pattern in enumerate(DEFAULT_PLACEHOLDERS if raw is None else raw):
        try:
            patterns.append(compile_pattern(pattern))
        except ValueError as error:
            problems.append(Problem(f"{where}[{index}]", str(error)))
    if problems:
        raise InputError(problems)
    return tuple(patterns)


# ---------------------------------------------------------------------------------------------------------------------
# Validating


@dataclass(frozen=True)
class Rules:
    """What a file must fulfil. ``readers`` are the programs that must read every value alike."""

    required: tuple[str, ...] = ()
    formats: Mapping[str, Format] = field(default_factory=dict)
    placeholders: tuple[re.Pattern[str], ...] = ()
    readers: tuple[str, ...] = DEFAULT_READERS


def read_rules(
    required: Iterable[str] | None = None,
    formats: Mapping[str, Any] | None = None,
    placeholders: Iterable[str] | None = None,
    readers: Iterable[str] | None = None,
) -> Rules:
    """Read rules as they are written by a person. Raises InputError with every mistake."""
    problems: list[Problem] = []
    read: dict[str, Any] = {}
    readings: dict[str, Callable[[], Any]] = {
        "formats": lambda: read_formats(formats),
        "placeholders": lambda: read_placeholders(placeholders),
    }
    for name, reading in readings.items():
        try:
            read[name] = reading()
        except InputError as error:
            problems.extend(error.problems)
    names = tuple(readers) if readers is not None else DEFAULT_READERS
    if not names or set(names) - set(READERS):
        problems.append(Problem("readers", f"expected some of {', '.join(READERS)}"))
    if problems:
        raise InputError(problems)
    return Rules(tuple(required or ()), read["formats"], read["placeholders"], names)


def validate_values(values: Mapping[str, str], rules: Rules) -> list[Problem]:
    """Hold values against rules: required keys, placeholders, formats. Names keys, never values."""
    problems: list[Problem] = []
    for key in rules.required:
        if key not in values:
            problems.append(Problem(key, "is required and not set"))
        elif not values[key].strip():
            problems.append(Problem(key, "is required and empty"))
    for key, value in values.items():
        if any(pattern.search(value) for pattern in rules.placeholders):
            problems.append(Problem(key, "is still a placeholder"))
        elif key in rules.formats and value.strip():
            expected = rules.formats[key](value)
            if expected is not None:
                problems.append(Problem(key, expected))
    return problems


def validate(env: EnvFile, rules: Rules) -> tuple[list[Problem], list[str]]:
    """Every problem of a file as it stands, and warnings: what some readers would trip over."""
    values, _unreadable = read_values(env)
    ambiguous, mendable = disagreements(env, rules.readers)
    warnings = list(env.warnings) + [
        f"line {entry.line}, {entry.key}: is not read alike by {', '.join(rules.readers)}; put it in quotes"
        for entry in mendable
        if entry.tidy
    ]
    return [*env.problems, *duplicates(env), *ambiguous, *validate_values(values, rules)], warnings


# ---------------------------------------------------------------------------------------------------------------------
# Rendering


def _plain_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def read_given(raw: Mapping[str, Any]) -> dict[str, str]:
    """Values as they are given by a person: texts, numbers and flags. Raises InputError with every mistake."""
    problems: list[Problem] = []
    values: dict[str, str] = {}
    for key, value in raw.items():
        if not _KEY.match(str(key)):
            problems.append(Problem(str(key), "the name is not made of letters, digits and _ alone"))
        elif value is None:
            problems.append(Problem(str(key), "has no value; give an empty text if that is meant"))
        elif isinstance(value, (Mapping, list, tuple, set)):
            problems.append(Problem(str(key), f"is a {type(value).__name__}; expected a text, a number or a flag"))
        else:
            values[str(key)] = _plain_text(value)
    if problems:
        raise InputError(problems)
    return values


class Rendered(NamedTuple):
    """The text of a file, and warnings about readers that were not asked for."""

    text: str
    warnings: list[str]


def render(values: Mapping[str, str], base: EnvFile | None = None, readers: Iterable[str] = DEFAULT_READERS) -> Rendered:
    """The text of an env file that all ``readers`` read alike.

    Keys of ``base`` keep their place, comments and, unless ``values`` overrides them, their value; the rest follows in
    the order given. Raises InputError, naming every key for which there is no such notation.
    """
    wanted = tuple(readers)
    base = base or EnvFile()
    problems: list[Problem] = list(base.problems)
    warnings: list[str] = []
    kept = EnvFile(tuple(part for part in base.parts if isinstance(part, str) or part.key not in values))
    ambiguous, mendable = disagreements(base, wanted)
    overridden = {f"line {entry.line}, {entry.key}" for entry in base.entries if entry.key in values}
    problems += [problem for problem in ambiguous if problem.where not in overridden]
    problems += duplicates(kept)
    read, _unreadable = read_values(base)

    def line(key: str, value: str, export: bool = False) -> str:
        notation, others = _env_readers.best_notation(value, wanted)
        if notation is None:
            who = ", ".join(wanted)
            problems.append(Problem(key, f"cannot be written so that {who} read the same value ({_why_not(value)})"))
            return ""
        warnings.extend(f"{key}: {reader} would read another value ({_why_not(value)})" for reader in others)
        return f"{'export ' if export else ''}{key}={notation}\n"

    out: list[str] = []
    done: set[str] = set()
    for part in base.parts:
        if isinstance(part, str):
            out.append(part)
        elif part.key not in values:
            out.append(line(part.key, read[part.key], part.export) if part in mendable else part.text)
        elif part.key not in done:
            done.add(part.key)
            out.append(line(part.key, values[part.key], part.export))
    out += [line(key, value) for key, value in values.items() if key not in done]
    if problems:
        raise InputError(problems)
    return Rendered("".join(out), warnings)


def _why_not(value: str) -> str:
    """Which characters of a value are in the way. Names kinds of characters only."""
    kinds = {
        "'": "a single quote",
        '"': "a double quote",
        "`": "a backtick",
        "$": "a $",
        "\\": "a backslash",
        "\r": "a carriage return",
        "\0": "a NUL byte",
    }
    return "it has " + " and ".join(name for char, name in kinds.items() if char in value)


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> Changes:
    """The names of the keys in which two sets of values differ, sorted."""
    return Changes(
        added=sorted(set(after) - set(before)),
        changed=sorted(key for key in set(after) & set(before) if after[key] != before[key]),
        removed=sorted(set(before) - set(after)),
    )


# ---------------------------------------------------------------------------------------------------------------------
# The file


def read_mode(raw: str) -> int:
    """An octal mode that keeps a secret: no access for others, no execution. Raises ValueError."""
    if not re.fullmatch(r"0?[0-7]{3}", raw):
        raise ValueError(f"{raw!r} is not an octal mode such as '0600'")
    mode = int(raw, 8)
    if mode & 0o137:
        raise ValueError(f"{raw} lets more in than the owner and readers of a group; expected '0600', '0640', '0400' or '0440'")
    return mode
