# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook hypercare on this machine: which checkpoint it looks at, what it decides, records and reports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import closing, hypercare, signoff
from ansible_collections.golive.cutover.plugins.module_utils.hypercare.judge import SAMPLER_CLOCK, SAMPLER_PAGE
from ansible_collections.golive.cutover.plugins.module_utils.hypercare.sampler import steady_clock
from ansible_collections.golive.cutover.plugins.module_utils.store import ledger, samples, signatures
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from ansible_collections.golive.cutover.plugins.module_utils.store.samples import Look
from tests.conftest import Nginx
from tests.integration.notify.conftest import HttpReceiver

HOUR = 3600.0


class Shop:
    """A system that has been live for some hours, with a sampler that has looked all the time."""

    def __init__(self, url: str, directory: Path, play: Callable[..., Any]) -> None:
        self.url = url
        self.directory = directory
        self.address = f"sqlite://{directory}/golive.db"
        self.play = play

    def live(self, hours: float, errors: float = 0.0, silent: float = 0.0) -> None:
        """Let it be live for so long; ``errors`` come in the last minutes; the sampler has been silent for so many seconds."""
        now = time.time()
        with open_store(self.address, "shop") as store:
            store._clock = lambda: now - hours * HOUR  # type: ignore[attr-defined]
            ledger.append(store, "shop", "run-1", "run_ended", {"kind": "cutover", "decision": "go", "release": "1.0.0"})
            store._clock = time.time  # type: ignore[attr-defined]
            looks = []
            for number in range(int((hours * HOUR + 300) / 30)):
                ago = hours * HOUR + 300 - number * 30
                if ago < max(silent, 1):
                    continue
                looks.append(Look(SAMPLER_PAGE, now - ago, {(SAMPLER_CLOCK, ()): steady_clock() - ago}))
                looks.append(Look("shop", now - ago, {("errors_total", ()): errors if ago < 300 else 0.0}))
            samples.write(store, looks)

    def log(self) -> Path:
        """A log with a line of five hours ago and one of two hours ago."""
        lines = [f"{hypercare.utc(time.time() - hours * HOUR)} {what}" for hours, what in ((5, "old"), (2, "new"))]
        (self.directory / "shop.log").write_text("\n".join([*lines, ""]), encoding="utf-8")
        return self.directory / "shop.log"

    def go_on(self) -> None:
        """Let the sampler have looked until now: a run may take longer than a pause that is no gap."""
        now = time.time()
        with open_store(self.address, "shop") as store:
            at = samples.status(store)["pages"][SAMPLER_PAGE]["newest"] + 30
            looks = []
            while at < now:
                looks.append(Look(SAMPLER_PAGE, at, {(SAMPLER_CLOCK, ()): steady_clock() - (now - at)}))
                looks.append(Look("shop", at, {("errors_total", ()): 0.0}))
                at += 30
            samples.write(store, looks)

    def looks(self) -> list[dict[str, Any]]:
        with open_store(self.address, "shop") as store:
            return [entry["data"] for entry in ledger.read(store, event=hypercare.EVENT)]

    def run(self, *arguments: str, checkpoint: str = "", **more: Any) -> Any:
        window = {"store": self.address, "environment": "shop", "name": "errors_total", "as": "increase", "over": "5m"}
        check = {"id": "H-1", "http": {"url": self.url}, "expect": {"status": "== 200"}, "tags": ["smoke", "T+0", "T+1h", "T+4h"]}
        # What a log says since the GO, which the check has from the checkpoint.
        go = "{{ (hypercare_result | default({})).watch.start | default('1s') }}"
        log = {"file": [str(self.log())], "since": go, "patterns": {"old": "old", "new": "new"}}
        since = {"id": "H-2", "log": log, "expect": {"count.old": "== 0", "count.new": "== 1"}, "tags": ["T+4h"]}
        variables = {
            "cutover_environment": "shop",
            "cutover_home": str(self.directory),
            "cutover_reports_dir": str(self.directory / "reports"),
            "cutover_checks": [check],
            "cutover_steps": [{"name": "smoke", "checks": {"tags": ["smoke"]}}],
            "hypercare_checkpoint": checkpoint,
            "hypercare_checklist": [check, since],
            "hypercare_objectives": [{"id": "ESC-1", "window": window, "critical": {"value": "> 20"}}],
            **more,
        }
        hosts = {"shop": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}
        return self.play("golive.cutover.hypercare", *arguments, inventory={"all": {"hosts": hosts}}, extra_vars=variables)

    def decision(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.directory / "reports/shop/latest/decision.json").read_text(encoding="utf-8"))
        return found


@pytest.fixture
def shop(nginx: Callable[[str], Nginx], tmp_path: Path, ansible_playbook: Callable[..., Any]) -> Shop:
    server = nginx("server { listen 127.0.0.1:@PORT@; location / { return 200 ok; } }")
    return Shop(server.url, tmp_path, ansible_playbook)


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    server = HttpReceiver()
    yield server
    server.close()


def statuses(decision: dict[str, Any]) -> dict[str, str]:
    return {one["id"]: one["status"] for one in decision["verdicts"]}


def test_the_checkpoint_that_is_due_is_looked_at_recorded_and_reported(shop: Shop) -> None:
    shop.live(4.5)
    done = shop.run()
    assert done.rc == 0, done.output
    assert "GO: T+4h of the watch over release 1.0.0 on shop passed." in done.output
    assert [(one["checkpoint"], one["decision"], one["late"]) for one in shop.looks()] == [("T+4h", "go", False)]
    decision = shop.decision()
    assert (decision["kind"], decision["decision"], decision["release"]) == ("hypercare", "go", "1.0.0")
    assert statuses(decision) == {"HYPERCARE-LOOKS": "pass", "ESC-1": "pass", "H-1": "pass", "H-2": "pass"}
    again = shop.run()
    assert again.rc != 0, "it has passed, so none is due; and the ones before were missed"
    assert "no checkpoint is due now, and T+0, T+15m, T+1h were missed" in again.output
    assert len(shop.looks()) == 1


def test_a_burst_is_no_go_and_is_told_once(shop: Shop, receiver: HttpReceiver) -> None:
    shop.live(4.5, errors=25)
    hook = {"name": "hook", "kind": "webhook", "url": f"{receiver.url}/x"}
    told: dict[str, Any] = {"notify_channels": [hook], "notify_allowed_hosts": "localhost", "hypercare_longest_gap": "1h"}
    done = shop.run(**told)
    assert done.rc != 0
    assert shop.run(**told).rc != 0
    assert [one["json"]["subject"] for one in receiver.requests] == ["CHECKPOINT T+4h of shop: NOT met"]
    assert [one["status"] for one in shop.decision()["notifications"]] == ["already"]
    assert "critical when > 20" in done.output
    assert shop.looks()[0]["decision"] == "no_go"
    assert statuses(shop.decision())["ESC-1"] == "fail"


def test_a_sampler_that_stopped_is_no_go(shop: Shop) -> None:
    shop.live(4.5, silent=1800)
    done = shop.run()
    assert done.rc != 0
    assert "the sampler has stopped" in done.output
    assert statuses(shop.decision())["ESC-1"] == "inconclusive"


def test_a_missed_checkpoint_stays_missed_however_good_it_looks(shop: Shop) -> None:
    shop.live(4.5)
    done = shop.run(checkpoint="T+1h")
    assert done.rc != 0
    assert "it was missed" in done.output
    assert [(one["checkpoint"], one["decision"], one["late"]) for one in shop.looks()] == [("T+1h", "no_go", True)]


def test_a_checkpoint_that_is_not_due_yet_is_refused(shop: Shop) -> None:
    shop.live(4.5)
    done = shop.run(checkpoint="T+48h")
    assert done.rc != 0
    assert "T+48h is due at" in done.output
    assert shop.looks() == []


def test_a_call_while_nothing_is_due_ends_well_and_decides_nothing(shop: Shop) -> None:
    shop.live(0.2)
    with open_store(shop.address, "shop") as store:
        look = {"watch": "run-1", "checkpoint": "T+0", "at": time.time() - 0.2 * HOUR + 60, "decision": "go"}
        ledger.append(store, "shop", "look-1", hypercare.EVENT, look)
    done = shop.run()
    assert done.rc == 0, done.output
    assert "T+15m  due at" in done.output
    assert len(shop.looks()) == 1
    assert not (shop.directory / "reports/shop/latest").exists()


def test_nothing_is_written_in_check_mode_but_the_report(shop: Shop) -> None:
    shop.live(4.5)
    done = shop.run("--check")
    assert done.rc == 0, done.output
    assert shop.looks() == []


def test_without_a_go_there_is_nothing_to_watch(shop: Shop) -> None:
    done = shop.run()
    assert done.rc != 0
    assert "nothing to watch" in done.output


def crontab(directory: Path) -> str:
    """A stand-in for crontab, which keeps the table in a file."""
    program = directory / "bin/crontab"
    program.parent.mkdir()
    table = directory / "crontab.txt"
    text = f"""#!/bin/sh
case "$1" in
  -l) cat "{table}" 2>/dev/null || {{ echo "no crontab for user" >&2; exit 1; }} ;;
  -r) rm -f "{table}" ;;
  *) cat "$1" > "{table}" ;;
esac
"""
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


@pytest.mark.parametrize("scheduler", ["cron", "none"])
def test_the_sampler_is_put_there_kept_running_and_taken_away(shop: Shop, tmp_path: Path, scheduler: str) -> None:
    path = crontab(tmp_path)
    hosts = {"shop": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}
    variables = {
        "cutover_environment": "shop",
        "cutover_home": str(tmp_path),
        "hypercare_scheduler": scheduler,
        "hypercare_sampler_checks": [{"id": "AV-1", "http": {"url": shop.url}, "expect": {"status": "== 200"}}],
    }

    def play(**more: Any) -> Any:
        inventory = {"all": {"hosts": hosts}}
        extra = {**variables, **more}
        return shop.play("golive.cutover.sampler", inventory=inventory, extra_vars=extra, env={"PATH": path})

    first = play()
    assert first.rc == 0, first.output
    assert play().changed() == 0
    table = tmp_path / "crontab.txt"
    entry: Optional[str] = table.read_text(encoding="utf-8") if table.exists() else None
    if scheduler == "cron":
        assert entry is not None
        command = next(line for line in entry.splitlines() if line.startswith("* * * * * "))[10:]
        once = command.replace("exec ", "").replace(">/dev/null", "--once >/dev/null")
        subprocess.run(["sh", "-c", once], check=True, timeout=60)
        with open_store(shop.address, "shop") as store:
            assert set(samples.status(store)["pages"]) == {"golive_checks", SAMPLER_PAGE}
    else:
        assert entry is None
    gone = play(sampler_stopped=True)
    assert gone.rc == 0, gone.output
    assert not (tmp_path / "sampler/shop.json").exists()
    if scheduler == "cron":
        assert "sampler.pyz" not in table.read_text(encoding="utf-8")


def test_cron_calls_the_checkpoints_until_the_sampler_is_stopped(shop: Shop, tmp_path: Path) -> None:
    path = crontab(tmp_path)
    hosts = {"shop": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}
    variables = {
        "cutover_environment": "shop",
        "cutover_home": str(tmp_path),
        "hypercare_scheduler": "none",
        "hypercare_sampler_checks": [{"id": "AV-1", "http": {"url": shop.url}, "expect": {"status": "== 200"}}],
        "hypercare_schedule_by": "cron",
        "hypercare_schedule_checkpoints": ["/srv/cutover/.venv/bin/ansible-playbook", "-i", "my inventory", "hypercare.yml"],
        "hypercare_schedule_directory": "/srv/cutover",
    }

    def play(**more: Any) -> Any:
        inventory = {"all": {"hosts": hosts}}
        extra = {**variables, **more}
        return shop.play("golive.cutover.sampler", inventory=inventory, extra_vars=extra, env={"PATH": path})

    table = tmp_path / "crontab.txt"
    first = play()
    assert first.rc == 0, first.output
    entry = [line for line in table.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert entry == ["*/15 * * * * cd /srv/cutover && exec /srv/cutover/.venv/bin/ansible-playbook -i 'my inventory' hypercare.yml"]
    assert play().changed() == 0
    assert play(sampler_stopped=True).rc == 0
    assert "hypercare.yml" not in table.read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------------------
# The exit


OPS, DEV = "Operations Lead", "Development Lead"
EXIT: dict[str, Any] = {
    "hypercare_exit": True,
    "hypercare_checkpoints": [{"name": "T+0", "tolerance": "10m"}, {"name": "T+4h", "tolerance": "2h"}],
    "signoff_required": [OPS, DEV],
    "hypercare_exit_criteria": [
        {"name": "All objectives are met", "tags": ["objective"]},
        {"name": "No critical incident", "checks": ["HYPERCARE-INCIDENTS"]},
        {"name": "Less than two issues were reported", "given": "user_reported_issues", "expect": "< 2"},
    ],
}


def test_the_watch_is_closed_by_every_criterion_and_both_signatures_and_by_nothing_less(shop: Shop) -> None:
    shop.live(4.5)
    with open_store(shop.address, "shop") as store:
        at_once = {"watch": "run-1", "checkpoint": "T+0", "at": time.time() - 4.4 * HOUR, "decision": "go"}
        ledger.append(store, "shop", "look-0", hypercare.EVENT, at_once)
    early = shop.run(**EXIT)
    assert early.rc != 0 and "T+4h is due and was not looked at" in early.output, early.output
    assert f"{OPS} has not signed; {DEV} has not signed" in early.output
    assert "EXIT-1 (All objectives are met) inconclusive: no verdict of T+4h carries any of objective" in early.output
    assert "nobody has said user_reported_issues, expected < 2" in early.output
    shop.go_on()
    looked = shop.run(**{**EXIT, "hypercare_exit": False})
    assert looked.rc == 0, looked.output
    details: dict[str, str] = {}
    rules = signoff.read_rules([OPS, DEV])
    with open_store(shop.address, "shop") as store:
        signatures.sign(store, "shop", "hypercare", rules, OPS, "ann", details)
    one = shop.run(**EXIT, hypercare_given={"user_reported_issues": 2})
    assert one.rc != 0, one.output
    assert f"fail: {DEV} has not signed" in one.output and "user_reported_issues is 2, expected < 2" in one.output
    assert "The watch over release 1.0.0 on shop is NOT closed." in one.output
    with open_store(shop.address, "shop") as store:
        signatures.sign(store, "shop", "hypercare", rules, DEV, "bob", details)
        assert not ledger.read(store, event=closing.CLOSED)
    done = shop.run(**EXIT, hypercare_given={"user_reported_issues": 1})
    assert done.rc == 0, done.output
    assert "GO: The watch over release 1.0.0 on shop is closed" in done.output
    again = shop.run(**EXIT)
    assert again.rc == 0 and "closed at" in again.output, again.output
    with open_store(shop.address, "shop") as store:
        entries = ledger.read(store, event=closing.CLOSED)
        assert [one["data"]["given"] for one in entries] == [{"user_reported_issues": 1}]
        ledger.verify(store, "shop")
