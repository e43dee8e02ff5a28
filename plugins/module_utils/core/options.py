# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Options: how a mapping written by a person is described, read and refused.

A reader takes the raw value and returns the clean one, or raises ValueError with what was expected. `read_options` applies the
readers of a schema to a mapping and collects every mistake, each with the path of its key.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import Problem

Reader = Callable[[Any], Any]


class Secret:
    """A secret value. It shows itself as ``***`` wherever it is printed; `reveal` gives it to the one place that needs it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def reveal(value: Any) -> Any:
    """The plain value of an option that may be a Secret."""
    return value.reveal() if isinstance(value, Secret) else value


@dataclass(frozen=True)
class Option:
    """One key of a mapping: how it is read, what it is for, and what it is when it is left out."""

    read: Reader
    help: str
    default: Any = None
    required: bool = False


def text(value: Any) -> str:
    if isinstance(value, Secret):
        raise ValueError("a secret cannot be used here, because this value is shown in reports")
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected a text, got {value!r}")
    return value


def secret_text(value: Any) -> str | Secret:
    """A text that may be given as ``{secret: name}``."""
    return value if isinstance(value, Secret) else text(value)


def secret_only(value: Any) -> Secret:
    """A text that must be given as ``{secret: name}``, so that it cannot end up in a report."""
    if not isinstance(value, Secret):
        raise ValueError("expected {secret: NAME}, with the value under NAME in cutover_secrets; a plain value would be shown")
    return value


def flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "yes", "false", "no"):
        return value.lower() in ("true", "yes")
    raise ValueError(f"expected true or false, got {value!r}")


def integer(minimum: int | None = None, maximum: int | None = None) -> Reader:
    """A whole number within bounds. Ansible hands numbers over as texts at times, so a text of digits is one too."""

    def read(value: Any) -> int:
        number: int | None = None
        if isinstance(value, int) and not isinstance(value, bool):
            number = value
        elif isinstance(value, str) and value.strip().lstrip("-").isdigit():
            number = int(value)
        if number is None:
            raise ValueError(f"expected a whole number, got {value!r}")
        if minimum is not None and number < minimum:
            raise ValueError(f"expected at least {minimum}, got {number}")
        if maximum is not None and number > maximum:
            raise ValueError(f"expected at most {maximum}, got {number}")
        return number

    return read


def duration(value: Any) -> float:
    """A duration with its unit, as seconds."""
    return units.parse_duration(value)


def size(value: Any) -> int:
    """A size with its unit, as bytes."""
    return units.parse_size(value)


def share(value: Any) -> float:
    """A part of one, as a percentage or a number; more than nothing."""
    quantity = units.parse_quantity(str(value))
    if quantity is None or quantity[1] not in ("ratio", "count") or not 0 < quantity[0] <= 1:
        raise ValueError(f"expected a percentage of more than 0% and at most 100%, got {value!r}")
    return quantity[0]


def choice(*allowed: str) -> Reader:
    def read(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"expected one of {', '.join(allowed)}, got {value!r}")
        return str(value)

    return read


def list_of(read_one: Reader) -> Reader:
    """A list, or one value that stands for a list of one."""

    def read(value: Any) -> list[Any]:
        return [read_one(one) for one in (value if isinstance(value, list) else [value])]

    return read


def map_of(read_one: Reader) -> Reader:
    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError(f"expected a mapping, got {value!r}")
        clean: dict[str, Any] = {}
        for key, one in value.items():
            try:
                clean[str(key)] = read_one(one)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from error
        return clean

    return read


def anything(value: Any) -> Any:
    return value


def url(*schemes: str) -> Reader:
    """A URL with one of the schemes, a host, and no credentials in it: a URL is shown in reports."""
    from urllib.parse import urlsplit

    def read(value: Any) -> str:
        where = text(value)
        try:
            parts = urlsplit(where)
            _port = parts.port
        except ValueError as error:
            raise ValueError(f"{where!r} is not a URL: {error}") from error
        if parts.scheme not in schemes or not parts.hostname:
            wanted = " or ".join(f"{scheme}://" for scheme in schemes)
            raise ValueError(f"expected a URL that starts with {wanted} and has a host, got {where!r}")
        if parts.password or parts.username:
            raise ValueError("credentials in a URL would be shown in reports; give username and password {secret: NAME}")
        return where

    return read


def unknown_key(key: str, known: Iterable[str], what: str = "key") -> str:
    """The message for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    near = difflib.get_close_matches(key, names, n=1)
    return f"unknown {what}{f', did you mean {near[0]!r}?' if near else ''}; expected one of {', '.join(names)}"


def read_options(raw: Any, schema: Mapping[str, Option], where: str, problems: list[Problem]) -> dict[str, Any]:
    """Read a mapping by a schema. Every mistake is appended to ``problems``; keys with mistakes are left at their defaults."""
    clean = {key: option.default for key, option in schema.items()}
    if not isinstance(raw, Mapping):
        problems.append(Problem(where, f"expected a mapping with the keys {', '.join(sorted(schema))}, got {raw!r}"))
        return clean
    for key, value in raw.items():
        path = f"{where}.{key}"
        option = schema.get(str(key))
        if option is None:
            problems.append(Problem(path, unknown_key(str(key), schema)))
            continue
        if value is None and not option.required:
            continue
        try:
            clean[str(key)] = option.read(value)
        except ValueError as error:
            problems.append(Problem(path, str(error)))
    problems.extend(
        Problem(f"{where}.{key}", f"is missing: {option.help}")
        for key, option in schema.items()
        if option.required and key not in raw
    )
    return clean
