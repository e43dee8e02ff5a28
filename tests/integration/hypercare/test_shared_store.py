# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts share a store: each is judged by its own samples and by the looks at itself, never by those of the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.hypercare import program
from ansible_collections.golive.cutover.plugins.module_utils.hypercare.judge import SAMPLER_CLOCK, SAMPLER_PAGE
from ansible_collections.golive.cutover.plugins.module_utils.probes._stored import with_host
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from ansible_collections.golive.cutover.plugins.module_utils.store import ledger, samples
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from ansible_collections.golive.cutover.plugins.module_utils.store.samples import Look
from ansible_collections.golive.cutover.plugins.modules import hypercare as module
from tests.conftest import RedisServer

PAGE = "http://127.0.0.1:4001/metrics"
ENVIRONMENT = "spark"
HOSTS = ("web-1", "web-2")


class Fleet:
    """A watch that began 16 minutes ago, over hosts that write into one store."""

    def __init__(self, address: str) -> None:
        self.address = address
        with self.store() as store:
            now = store.read([]).now
            data = {"kind": "cutover", "decision": "go", "release": "1.0.0"}
            go = ledger.append(store, ENVIRONMENT, "run-1", "run_ended", data)
            self.now, self.go = now, int(go["seq"])

    @contextmanager
    def store(self) -> Iterator[Store]:
        with open_store(self.address, ENVIRONMENT) as store:
            yield store

    def sampled(self, host: str, errors: float) -> None:
        """Let the sampler of a host have looked for the last ten minutes, in which so many errors came."""
        looks = []
        for number in range(21):
            at = self.now - 600 + number * 30
            looks.append(Look(SAMPLER_PAGE, at, {(SAMPLER_CLOCK, ()): 5000.0 + number * 30}))
            looks.append(Look(PAGE, at, {("errors_total", ()): errors * number / 20}))
        with self.store() as store:
            samples.write(store, looks, host=host)

    def window(self, host: str = "") -> list[dict[str, Any]]:
        asked = {"store": self.address, "environment": ENVIRONMENT, "name": "errors_total", "as": "increase", "over": "5m"}
        checks = [{"id": "ESC-1", "window": asked, "critical": {"value": "> 20"}}]
        return with_host(checks, host)

    def ask(self, host: str) -> dict[str, Any]:
        return run_checks(read_checks(self.window(host), PROBES), PROBES)[0]

    def module(self, host: str, state: str, **more: Any) -> dict[str, Any]:
        """What the module says, on a host."""
        params = {
            **{"store": self.address, "store_password": None, "environment": ENVIRONMENT, "state": state, "host": host},
            **{"watch": None, "checkpoint": "T+0", "checkpoints": None, "objectives": self.window(), "secrets": {}},
            **{"every": "30s", "longest_gap": "0s", "checklist": True, "run": None, "at": None, "decision": None},
            **{"reasons": [], "verdicts": [], "exit_criteria": [], "given": {}, "signatures": {}},
            **more,
        }
        return module.hypercare(SimpleNamespace(params=params, check_mode=False, no_log_values=set()))

    def state(self, host: str) -> str:
        return str(self.module(host, "read")["checkpoints"][0]["state"])


@pytest.fixture
def fleet(redis_server: Callable[..., RedisServer]) -> Fleet:
    return Fleet(redis_server().url)


def test_each_host_is_judged_by_its_own_samples(fleet: Fleet) -> None:
    fleet.sampled("web-1", errors=0)
    assert fleet.ask("web-1")["status"] == "pass"
    unseen = fleet.ask("web-2")
    assert unseen["status"] == "inconclusive" and "holds no samples for spark on web-2" in unseen["reason"]
    fleet.sampled("web-2", errors=90)
    assert [fleet.ask(host)["status"] for host in HOSTS] == ["pass", "fail"]
    nobody = fleet.ask("")
    assert nobody["status"] == "inconclusive" and "is shared by hosts" in nobody["reason"], "never a mixture, never the first"
    with fleet.store() as store:
        assert samples.series(store) == [] and len(samples.series(store, host="web-1")) == 2


def test_one_look_does_not_stand_for_all_hosts(fleet: Fleet) -> None:
    fleet.sampled("web-1", errors=0)
    judged = {host: {one["id"]: one["status"] for one in fleet.module(host, "judged")["verdicts"]} for host in HOSTS}
    assert judged["web-1"]["HYPERCARE-LOOKS"] == "pass"
    assert judged["web-2"]["HYPERCARE-LOOKS"] == "inconclusive", "its sampler never looked"
    found = {"at": fleet.module("web-1", "read")["now"], "run": "look-1", "decision": "go"}
    assert fleet.module("web-1", "recorded", **found)["entry"]["data"]["host"] == "web-1"
    assert [fleet.state(host) for host in HOSTS] == ["passed", "due"]
    fleet.module("web-2", "recorded", **{**found, "decision": "no_go"})
    assert [fleet.state(host) for host in HOSTS] == ["passed", "failed"]
    with fleet.store() as store:
        ledger.append(store, ENVIRONMENT, "exit-1", "hypercare_closed", {"watch": "run-1", "host": "web-1"})
    assert [fleet.module(host, "read")["closed"] is not None for host in HOSTS] == [True, False]


def test_without_a_host_nothing_is_read_or_written(fleet: Fleet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"host: the store redis://.* is shared by hosts.*give host"):
        fleet.module("", "read")
    settings = {"store": fleet.address, "environment": ENVIRONMENT, "pages": [{"url": PAGE}]}
    with pytest.raises(InputError, match=r"sampler\.host: the store .* is shared by hosts"):
        program.read_settings(settings)
    assert program.read_settings({**settings, "host": "web-1"}).host == "web-1"
    alone = {**settings, "store": f"sqlite://{tmp_path}/golive.db"}
    assert program.read_settings({**alone, "host": "web-1"}).host == "", "the store of one host goes by no name"


def test_the_sampler_writes_under_its_host(fleet: Fleet, tmp_path: Path) -> None:
    checks = [{"id": "F-1", "file": {"path": str(tmp_path)}, "expect": {"exists": "== true"}}]
    for host in HOSTS:
        place = tmp_path / f"{host}.json"
        place.write_text(json.dumps({"store": fleet.address, "environment": ENVIRONMENT, "host": host, "checks": checks}))
        assert program.main([str(place), "--once"]) == 0
    with fleet.store() as store:
        assert samples.status(store)["pages"] == {}
        assert [set(samples.status(store, host)["pages"]) for host in HOSTS] == [{SAMPLER_PAGE, "golive_checks"}] * 2
