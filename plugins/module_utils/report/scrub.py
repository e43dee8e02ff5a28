# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Take secret values out of a record before anything is rendered from it."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
_SHORTEST = 4
"""A shorter secret is taken out only where it is a word of its own: as a part of words, it would eat the report."""
_SHORTEST_LINE = 8


def _spellings(secret: str) -> set[str]:
    """A secret and how it looks inside a URL, inside a JSON text, and in base64."""
    spellings = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1]}
    spellings.add(json.dumps(secret, ensure_ascii=False)[1:-1])
    spellings.add(repr(secret)[1:-1])
    if len(secret) >= _SHORTEST_LINE:
        spellings.add(base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode("ascii"))
    # An error message may quote one line of a key.
    spellings.update(line.strip() for line in secret.splitlines() if len(line.strip()) >= _SHORTEST_LINE)
    return {spelling for spelling in spellings if spelling}


def _pattern(secrets: Iterable[str]) -> re.Pattern[str] | None:
    spellings: set[str] = set()
    for secret in secrets:
        if secret.strip():
            spellings |= _spellings(secret)
            spellings |= _spellings(secret.strip())
    if not spellings:
        return None
    # The longest first, so that a secret which contains another one goes as a whole.
    parts = [
        re.escape(spelling) if len(spelling) >= _SHORTEST else rf"(?<!\w){re.escape(spelling)}(?!\w)"
        for spelling in sorted(spellings, key=lambda one: (-len(one), one))
    ]
    return re.compile("|".join(parts))


def scrubber(secrets: Iterable[str]) -> Callable[[Any], Any]:
    """A function that copies a record of mappings, lists and scalars with every secret in it replaced by ``***``.

    It looks at keys, values, and numbers that are a secret as a whole. A number that is not finite becomes its name,
    because JSON has no such number.
    """
    pattern = _pattern(secrets)

    def clean_text(text: str) -> str:
        return text if pattern is None else pattern.sub(MASK, text)

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            return clean_text(str(value))
        if isinstance(value, Mapping):
            return {clean_text(str(key)): clean(one) for key, one in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [clean(one) for one in value]
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            if pattern is not None and pattern.fullmatch(str(value)) and len(str(value)) >= _SHORTEST:
                return MASK
            return value if math.isfinite(value) else str(value)
        return clean_text(str(value))

    return clean
