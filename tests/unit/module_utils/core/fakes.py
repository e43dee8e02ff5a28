# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A clock that only moves when somebody sleeps, and probes that answer what a test tells them to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import Clock
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe


class FakeClock(Clock):
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self._time = 1000.0
        self._lock = threading.Lock()
        super().__init__(monotonic=self._read, now=self._read, sleep=self._sleep)

    def _read(self) -> float:
        with self._lock:
            return self._time

    def _sleep(self, seconds: float) -> None:
        with self._lock:
            self._time += seconds


class FakeProbe(Probe):
    """Answers each look with the next of the answers that it was given; the last one repeats."""

    name = "fake"
    yields_document = True
    options: ClassVar[Mapping[str, Option]] = {
        "target": Option(opt.text, "what to look at", default="x"),
        "password": Option(opt.secret_only, "a secret"),
        "hold": Option(opt.duration, "how long to hold", default=0.0),
        "number": Option(opt.integer(1, 10), "a number"),
    }
    measures: ClassVar[Mapping[str, str]] = {
        "status": "count",
        "latency": "time",
        "share": "ratio",
        "memory": "size",
        "speed": "rate",
        "word": "text",
        "open": "flag",
        "value": "any",
        "times": "samples",
        "header.*": "text",
    }

    def __init__(self, *answers: Observation | Exception | Callable[[Context], Observation]) -> None:
        self.answers = list(answers)
        self.looks = 0

    def at_least(self, options: Mapping[str, Any]) -> float:
        return float(options["hold"])

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        answer = self.answers[min(self.looks, len(self.answers) - 1)]
        self.looks += 1
        if isinstance(answer, Exception):
            raise answer
        return answer(context) if callable(answer) else answer


def seen(**measures: Any) -> Observation:
    """An observation with proof."""
    return Observation(measures=measures, proof={"samples": 1})
