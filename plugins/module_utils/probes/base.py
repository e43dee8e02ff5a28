# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What a probe is: options in, one observation out. It knows its protocol, and neither thresholds nor Ansible."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ansible_collections.golive.cutover.plugins.module_utils.core import sampling
from ansible_collections.golive.cutover.plugins.module_utils.core.enough import Behind
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.units import Value


@dataclass(frozen=True)
class Artefact:
    """Something that a probe keeps as evidence, for a person to look at: a picture, an answer.

    ``name``: a file name without a directory. ``media_type``: one of `MEDIA_TYPES`. A text is kept without the secrets of the
    check; what a picture shows is for the probe to see to.
    """

    name: str
    media_type: str
    content: bytes = field(repr=False)


MEDIA_TYPES: Mapping[str, str] = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "application/json": "json",
    "text/plain": "txt",
}
"""The media types of artefacts, and how the names of their files end."""

LARGEST_ARTEFACT = 1_000_000
"""Bytes of one artefact. A larger one is not kept, and the proof says so."""


@dataclass
class Observation:
    """What a probe saw.

    ``measures``: name to value, in the base unit of the measure's kind (seconds, bytes, ratio 0..1, per second).
    ``proof``: what shows that there was something to judge: ``requests``, ``samples``, ``series``, ``events``, ``age``, …
    An observation without proof is inconclusive.
    ``missing``: name of a measure that could not be had, to the reason in a few words.
    ``document``: the JSON document that the JMESPath expressions under ``measures:`` of a check look into, if there is one.
    ``artefacts``: what is kept as evidence beside the verdict. The proof should name each.
    ``samples``: name of a measure of the kind ``samples`` to some of what was measured, by `sampled`.
    ``behind``: name of a measure to how many requests or runs it is from, where a few cannot show what a threshold asks.
    """

    measures: dict[str, Value] = field(default_factory=dict)
    proof: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    document: Any = None
    artefacts: list[Artefact] = field(default_factory=list)
    samples: dict[str, list[float]] = field(default_factory=dict)
    behind: dict[str, Behind] = field(default_factory=dict)

    def sampled(self, name: str, samples: Iterable[float]) -> None:
        """Hold samples for a comparison with those before the change; at most `sampling.MOST` of them, chosen at random."""
        self.samples[name] = sampling.few(samples)


@dataclass
class Context:
    """What a probe is handed: how long it may take, and the clock, the sleep and the stop signal that it uses.

    ``deadline`` is in the time of ``clock``. A probe uses `remaining` for its socket timeouts and stops when ``stop`` is set.
    """

    deadline: float
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    stop: threading.Event = field(default_factory=threading.Event)

    def remaining(self) -> float:
        """Seconds that are left, never below a millisecond, so that it can be given to a socket."""
        return max(self.deadline - self.clock(), 0.001)

    def over(self) -> bool:
        """Whether the probe should end now and report what it has."""
        return self.stop.is_set() or self.clock() >= self.deadline


class Probe:
    """Base of every probe: one file, one subclass, one line in `registry`.

    ``options``: the keys that stand under the probe's key in a check.
    ``measures``: name to kind (see `core.units.KINDS`). A name that ends in ``.*`` stands for a family, such as ``header.*``.
    """

    name: ClassVar[str]
    options: ClassVar[Mapping[str, Option]]
    measures: ClassVar[Mapping[str, str]]
    yields_document: ClassVar[bool] = False
    """Whether the probe can yield a JSON document, so that a check may have ``measures:``."""

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        """Mistakes that only show when several options are seen together; ``where`` is the key under the probe."""
        return []

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        """The measures that these options yield. By default all of ``measures``."""
        return self.measures

    def at_least(self, options: Mapping[str, Any]) -> float:
        """Seconds that a look takes at the least with these options, such as the time that a stream is held."""
        return 0.0

    def writes(self, options: Mapping[str, Any]) -> bool:
        """Whether a look with these options may change something in what it looks at."""
        return False

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        """Look once. Raises ProbeError when it could not look; whatever else it raises is reported as such too."""
        raise NotImplementedError


def kind_of_measure(name: str, measures: Mapping[str, str]) -> str | None:
    """The kind of a measure by its name or its family; None when the probe does not know it."""
    if name in measures:
        return measures[name]
    for family, kind in measures.items():
        if family.endswith(".*") and name.startswith(family[:-1]) and len(name) > len(family) - 1:
            return kind
    return None
