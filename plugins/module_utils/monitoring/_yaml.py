# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Internal: YAML as a person would write it. Rendered where Ansible runs, so its own library is there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

HEADER = "Written by golive.cutover: a change made here is lost with the next run."


def dump(document: Mapping[str, Any], notes: Iterable[str] = ()) -> str:
    """A document with a header, and notes as comments."""
    import yaml

    lines = [HEADER, *notes]
    comments = "".join(f"# {' '.join(line.split())}\n" for line in lines)
    plain: Any = _plain(document)
    return comments + str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=130))


def load(text: str) -> Any:
    """A document, with every scalar as it is written: only what is a number, a flag or nothing in every version of YAML is one.

    ``0123`` and ``1_234`` may be passwords, ``on`` the name of a receiver and ``17:00`` a time. Raises ValueError.
    """
    import yaml

    class Reader(yaml.SafeLoader):
        """Reads no more than it is told to."""

    Reader.yaml_implicit_resolvers = {}
    for tag, pattern, first in (
        ("null", r"(?:~|null|)\Z", ["~", "n", ""]),
        ("bool", r"(?:true|false|True|False)\Z", list("tfTF")),
        ("int", r"-?(?:0|[1-9][0-9]*)\Z", list("-0123456789")),
        ("float", r"-?(?:0|[1-9][0-9]*)\.[0-9]+\Z", list("-0123456789")),
        ("merge", r"<<\Z", ["<"]),
    ):
        Reader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)
    try:
        return yaml.load(text, Loader=Reader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # Only where: the text around it may be a secret.
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise ValueError(f"is no YAML{where}: {getattr(error, 'problem', None) or type(error).__name__}") from None


def _plain(value: Any) -> Any:
    """Only what YAML knows: Ansible hands over texts and mappings of classes of its own."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, str):
        return "".join(value)
    return value
