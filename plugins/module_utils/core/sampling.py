# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Samples of which only so many are kept: a random sample of all, in which each has the same chance.

Source: algorithm R, J. S. Vitter, "Random Sampling with a Reservoir", ACM Transactions on Mathematical Software 11 (1985). The
random numbers begin with the same seed, so that the same samples leave the same ones. Every so manieth sample would be simpler,
and would miss, or find nothing but, what happens every so many requests.
"""

from __future__ import annotations

import array
import random
from collections.abc import Iterable

MOST = 500
"""Samples of a measure that are compared with those before the change, and kept for it."""
DIGITS = 6
"""Decimals of a kept sample: microseconds."""


class Reservoir:
    """``kept``: at most ``most`` of the samples that came; ``count``: how many came."""

    __slots__ = ("_random", "count", "kept", "most")

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self.kept: array.array[float] = array.array("d")
        self.count = 0
        self._random = random.Random(0)

    def add(self, sample: float) -> None:
        self.count += 1
        if self.count <= self.most:
            self.kept.append(sample)
            return
        place = int(self._random.random() * self.count)
        if place < self.most:
            self.kept[place] = sample


def few(samples: Iterable[float]) -> list[float]:
    """At most `MOST` of the samples, as they are kept and compared."""
    found = Reservoir()
    for sample in samples:
        found.add(sample)
    return [round(one, DIGITS) for one in found.kept]
