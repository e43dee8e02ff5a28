# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Which of many samples are kept."""

from __future__ import annotations

from collections import Counter

from ansible_collections.golive.cutover.plugins.module_utils.core.sampling import MOST, Reservoir, few


def test_few_are_all_kept_in_their_order() -> None:
    assert few([0.3, 0.1, 0.2]) == [0.3, 0.1, 0.2]
    assert few([]) == []
    assert few([0.123456789] * MOST) == [0.123457] * MOST


def test_of_many_so_many_and_the_same_ones_each_time() -> None:
    many = [float(number) for number in range(10 * MOST)]
    found = few(many)
    assert (len(found), len(set(found))) == (MOST, MOST)
    assert few(many) == found
    assert set(found) <= set(many)


def test_each_has_the_same_chance() -> None:
    """Of 20,000 samples 2,000 are kept: of each of ten parts about 200, with a deviation of 13 (hypergeometric)."""
    found = Reservoir(2000)
    for number in range(20_000):
        found.add(number)
    parts = Counter(int(one) // 2000 for one in found.kept)
    assert (found.count, len(found.kept)) == (20_000, 2000)
    assert all(150 < parts[part] < 250 for part in range(10)), parts
