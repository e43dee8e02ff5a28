# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""That a sampler looks says nothing about what it sees: without a question, and without an answer, no checkpoint passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import hypercare
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.hypercare import CHECKPOINTS, Watch, states
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import Clock, run_checks
from ansible_collections.golive.cutover.plugins.module_utils.hypercare.judge import (
    SAMPLER_CLOCK,
    SAMPLER_PAGE,
    SAMPLER_READ,
    judge_sampler,
    judge_time,
)
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
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


class Sampled:
    """A store, a sampler whose clock may be wrong, and the steady clock of its host."""

    def __init__(self, place: Path) -> None:
        self.address = f"sqlite://{place}/golive.db"

    def looks(self, *spans: tuple[float, float], wrong: float = 0.0, store_too: bool = True, now: float = 0.0) -> None:
        """Look every 30 seconds of these spans, in seconds before the end, by a clock that is wrong by so many seconds."""
        with open_store(self.address, "spark") as store:
            for begin, end in spans:
                for number in range(int((begin - end) / EVERY) + 1):
                    passed = NOW - begin + number * EVERY
                    store._clock = lambda at=passed: at + (wrong if store_too else 0.0)  # type: ignore[attr-defined]
                    values: dict[Key, float] = {(SAMPLER_CLOCK, ()): 100_000.0 + passed - GO}
                    looks = [Look(SAMPLER_PAGE, passed + wrong, values), Look("app", passed + wrong, {("errors_total", ()): 0.0})]
                    samples.write(store, looks)

    def judged(self, over: float = 600.0, allowed: float = 0.0) -> dict[str, Any]:
        with open_store(self.address, "spark") as store:
            return judge_sampler(store, NOW - over, NOW, EVERY, allowed=allowed)

    def window(self) -> dict[str, Any]:
        asked = {"store": self.address, "environment": "spark", "page": ["app"], "name": "errors_total", "as": "increase"}
        check = {"id": "E-1", "window": {**asked, "over": "10m"}, "critical": {"value": "> 20"}}
        return run_checks(read_checks([check], PROBES), PROBES, clock=Clock(now=lambda: NOW))[0]


@pytest.mark.parametrize("wrong", [-7200.0, -3000.0, 7200.0])
@pytest.mark.parametrize("store_too", [True, False])
def test_a_clock_that_was_wrong_for_one_look_is_seen(tmp_path: Path, wrong: float, store_too: bool) -> None:
    """What it wrote then lies before the window or is given up, and what is left of the window looks whole."""
    sampled = Sampled(tmp_path)
    sampled.looks((1200, 330))
    sampled.looks((300, 300), wrong=wrong, store_too=store_too)
    sampled.looks((270, 0))
    found = sampled.judged()
    assert found["status"] == "inconclusive" and found["measures"]["jumps"]["value"] >= 1
    assert "the clock jumped" in found["reason"]
    asked = sampled.window()
    assert asked["status"] == "inconclusive" and "the clock of the sampler jumped" in asked["reason"]
    assert asked["proof"]["jumps"] >= 1


@pytest.mark.parametrize("store_too", [True, False])
def test_a_newest_sample_that_lies_before_the_window_is_told_as_a_jump(tmp_path: Path, store_too: bool) -> None:
    sampled = Sampled(tmp_path)
    sampled.looks((1200, 330))
    sampled.looks((300, 0), wrong=-7200.0, store_too=store_too)
    found = sampled.judged(allowed=3600.0)
    assert found["status"] == "inconclusive" and "the clock jumped" in found["reason"]
    asked = sampled.window()
    assert asked["status"] == "inconclusive" and "the clock of the sampler jumped" in asked["reason"]


def test_a_jump_that_is_long_past_is_not_told_again(tmp_path: Path) -> None:
    sampled = Sampled(tmp_path)
    sampled.looks((7200, 6000))
    sampled.looks((5970, 5970), wrong=-7200.0)
    sampled.looks((5940, 0))
    assert sampled.judged()["status"] == "pass" and sampled.window()["status"] == "pass"
    assert sampled.judged(over=6000.0)["status"] == "inconclusive"
