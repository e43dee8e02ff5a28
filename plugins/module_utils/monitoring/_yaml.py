# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Internal: YAML as a person would write it. Rendered where Ansible runs, so its own library is there."""

from __future__ import annotations

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


def _plain(value: Any) -> Any:
    """Only what YAML knows: Ansible hands over texts and mappings of classes of its own."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, str):
        return "".join(value)
    return value
