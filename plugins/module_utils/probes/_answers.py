# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""A probe that also keeps the answer it got, as evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import Problem
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import (
    LARGEST_ARTEFACT,
    Artefact,
    Context,
    Observation,
    Probe,
)

_TEXTS = ("body", "stdout")
"""The measures in which probes have their whole answer."""
_LONGEST = LARGEST_ARTEFACT // 8
"""Characters of an answer that is no JSON, or too much of it: escaped they take up to six bytes each."""


class Answering(Probe):
    """Another probe, whose answer becomes an artefact: the JSON document as it came, anything else as ``{"text": …}``."""

    yields_document = True

    def __init__(self, inner: Probe, file: str) -> None:
        self.name = inner.name  # type: ignore[misc]
        self.options = inner.options  # type: ignore[misc]
        self.measures = inner.measures  # type: ignore[misc]
        self._inner = inner
        self._file = file

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        return self._inner.problems(options)

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        return self._inner.measures_for(options)

    def at_least(self, options: Mapping[str, Any]) -> float:
        return self._inner.at_least(options)

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        seen = self._inner.look(options, context)
        content = self._content(seen)
        seen.artefacts.append(Artefact(self._file, "application/json", content))
        seen.proof["answer"] = f"{self._file}, {len(content)} bytes"
        return seen

    @staticmethod
    def _content(seen: Observation) -> bytes:
        if seen.document is not None:
            try:
                whole = json.dumps(seen.document, ensure_ascii=False, indent=1).encode("utf-8", "replace")
            except (ValueError, RecursionError):
                whole = b""
            if 0 < len(whole) <= LARGEST_ARTEFACT:
                return whole
        text = next((str(seen.measures[name]) for name in _TEXTS if name in seen.measures), "")
        kept: dict[str, Any] = {"text": text[:_LONGEST]}
        if len(text) > _LONGEST:
            kept["cut_off_after"] = _LONGEST
        return json.dumps(kept, ensure_ascii=True, indent=1).encode("ascii")
