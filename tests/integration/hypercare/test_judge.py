# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""That a sampler looks says nothing about what it sees: without a question, and without an answer, no checkpoint passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import hypercare
from ansible_collections.golive.cutover.plugins.module_utils.core.hypercare import CHECKPOINTS, Watch, states
from ansible_collections.golive.cutover.plugins.module_utils.hypercare.judge import (
    SAMPLER_CLOCK,
    SAMPLER_PAGE,
    SAMPLER_READ,
    judge_time,
)
from ansible_collections.golive.cutover.plugins.module_utils.store import samples
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from ansible_collections.golive.cutover.plugins.module_utils.store.samples import Key, Look

GO = 1_763_700_000.0
NOW = GO + 960.0
EVERY = 30.0


def judged(place: Path, asked: bool, **read: float) -> dict[str, Any]:
    """The verdicts of T+15m, by id, after a sampler that looked all the time."""
    looks = []
    for number in range(int(1020 / EVERY) + 1):
        at = NOW - 1020 + number * EVERY
        values: dict[Key, float] = {(SAMPLER_CLOCK, ()): 100_000.0 + number * EVERY}
        values.update({(SAMPLER_READ, (("of", name),)): value for name, value in read.items()})
        looks.append(Look(SAMPLER_PAGE, at, values))
    watch = Watch("run-1", "1.0.0", GO)
    with open_store(f"sqlite://{place}/golive.db", "spark") as store:
        store._clock = lambda: NOW  # type: ignore[attr-defined]
        samples.write(store, looks)
        known = states(watch, CHECKPOINTS, [], NOW)
        chosen = next(one for one in known if one.name == hypercare.CHECKPOINTS[1].name)
        found = judge_time(store, [], watch, known, chosen, NOW, EVERY, [], asked=asked)
    return {one["id"]: one for one in found}


@pytest.mark.parametrize("asked", [True, False])
def test_a_checkpoint_that_asks_nothing_is_inconclusive(tmp_path: Path, asked: bool) -> None:
    found = judged(tmp_path, asked, app=1.0)
    assert found["HYPERCARE-LOOKS"]["status"] == "pass"
    assert ("HYPERCARE-ASKED" in found) is not asked
    if not asked:
        assert found["HYPERCARE-ASKED"]["status"] == "inconclusive" and found["HYPERCARE-ASKED"]["required"]
        assert "nothing is asked at T+15m" in found["HYPERCARE-ASKED"]["reason"]
        assert "HYPERCARE-ASKED" in [id for row in hypercare.criteria(list(found.values())) for id in row.get("checks", [])]


def test_a_page_that_never_answered_is_missed(tmp_path: Path) -> None:
    looks = judged(tmp_path, True, app_1=1.0, app_2=0.0)["HYPERCARE-LOOKS"]
    assert looks["status"] == "inconclusive"
    assert looks["reason"] == "could not be measured, because in all this time app_2 could not be read once"
