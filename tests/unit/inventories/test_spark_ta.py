# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of the inventory spark_ta ask what its README says that they ask."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes import leader
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from tests.inventories import by_id, rendered
from tests.unit.module_utils.core.fakes import FakeClock

EXECUTORS = ("executor-1", "executor-2")


def heard(leading: str, holder: str, by_metrics: str) -> Any:
    """What every round hears: who leads by the health and by the metrics, and who holds the lock."""

    def ask_all(_options: Any, context: Any) -> leader.Round:
        says = {(name, "health"): name == leading for name in EXECUTORS}
        says |= {(name, "metrics"): name == by_metrics for name in EXECUTORS}
        return leader.Round(at=context.clock(), says=says, lock=f"{holder}:7:x", ttl=20.0)

    return ask_all


@pytest.mark.parametrize("id", ["HC-05", "LEADER-3"])
@pytest.mark.parametrize(
    ("leading", "holder", "by_metrics", "status"),
    [
        ("executor-1", "executor-1", "executor-1", "pass"),
        # One leads, the lock is held, nothing changes; but it is another that holds it, or somebody who is none of them.
        ("executor-1", "executor-2", "executor-1", "fail"),
        ("executor-1", "executor-9", "executor-1", "fail"),
    ],
)
def test_the_leader_is_the_one_on_whom_lock_metrics_and_health_agree(
    id: str, leading: str, holder: str, by_metrics: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered("spark_ta", "hypercare_checklist", "cutover_checks")
    check = by_id(found["hypercare_checklist"], found["cutover_checks"])[id]
    monkeypatch.setattr(leader, "ask_all", heard(leading, holder, by_metrics))
    (verdict,) = run_checks(read_checks([check], PROBES), PROBES, clock=FakeClock())
    assert verdict["status"] == status, verdict
    assert verdict["measures"]["leaders"]["value"] == 1 and verdict["measures"]["lock_held"]["value"] is True
    if status == "fail":
        assert "agree is false, expected == true" in verdict["reason"]
    # Two addresses that lead to one process are no two executors.
    assert check["leader"]["identity"] == "instance"


def test_every_checkpoint_asks_whether_the_sources_agree() -> None:
    check = by_id(rendered("spark_ta", "hypercare_checklist")["hypercare_checklist"])["HC-05"]
    assert check["tags"] == ["T+0", "T+15m", "T+1h", "T+4h", "T+12h", "T+24h", "T+48h"]
    assert check["expect"]["agree"] == "== true"
