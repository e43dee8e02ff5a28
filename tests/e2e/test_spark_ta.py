# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The 10-minute runbook of Spark TA on a Docker engine, as its operator plays it: one machine, one act after the other.

Each test stands on those before it, so they run in the order of the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from tests.conftest import CACHE, ROOT, wait_until
from tests.e2e.past import sampling, set_back
from tests.e2e.spark_ta_stage import KEYS, SparkTa
from tests.e2e.stage import port_block, recap

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.xdist_group("docker")]

REGRESSION = {
    *("A-001", "A-002", "A-003"),
    *("C-001", "C-002", "C-003", "C-004", "C-005", "C-006"),
    *("S-001", "S-003", "S-004"),
    *("M-001", "M-002", "H-001", "H-002", "V-001", "V-002"),
}
BUDGETS = {
    "preflight": 30, "secrets": 60, "deploy": 120, "redis": 30, "proxy": 30,
    "smoke": 15, "regression": 45, "cli": 60, "ui": 120,
}  # fmt: skip
TABLE = [
    ("Deployment successful", True),
    ("Smoke tests passed", True),
    ("Regression at least 95 %", True),
    ("Leader elected", True),
    ("No critical errors", True),
    ("UI functional", True),
    ("Notifications working", False),
]


AT_15_MINUTES = {"HC-01", "HC-05", "HC-10", "HC-11", "HC-12", "HC-13", "HC-14"}
# Those that are about no more time than has passed.
OBJECTIVES = {"ESC-1", "ESC-2", "ESC-4", "ESC-5"}


@pytest.fixture(scope="module")
def spark(
    collection_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    docker_engine: dict[str, str],
    docker_image: Callable[[str], str],
    nginx_bin: str,
) -> Iterator[SparkTa]:
    with ExitStack() as stack:
        base = stack.enter_context(port_block())
        engine = {**os.environ, **docker_engine}
        images = docker_image("python"), docker_image("redis")
        made = SparkTa(tmp_path_factory.mktemp("spark"), base, collection_path, engine, *images)
        stack.callback(made.close)
        made.start(["0.9.0", "1.0.0", "1.1.0", "1.1.0-bad-config"])
        yield made


@contextlib.contextmanager
def streams(port: int, count: int) -> Iterator[None]:
    """Clients, three streams each, which hold them and do not come back when they are cut."""
    with ExitStack() as stack:
        for number in range(count):
            link = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            client = f"X-Forwarded-For: 10.9.0.{number // 3 + 1}"
            link.sendall(f"GET /api/marketdata/stream?symbol=BTCUSDT HTTP/1.1\r\nHost: spark\r\n{client}\r\n\r\n".encode())
            assert link.recv(15) == b"HTTP/1.1 200 OK", "a stream was refused"
        yield


def assert_data(spark: SparkTa) -> None:
    """Every key that was there before the first cutover is there, and Redis writes its append-only file."""
    link = spark.redis()
    assert sum(value is not None for value in link.mget([f"order:{number}" for number in range(KEYS)])) == KEYS
    assert link.config_get("append*")["appendonly"] == "yes"
    assert link.config_get("append*")["appendfsync"] == "everysec"
    assert link.info("persistence")["aof_last_write_status"] == "ok"


def health(spark: SparkTa) -> dict[str, Any]:
    found: dict[str, Any] = requests.get(f"http://127.0.0.1:{spark.front}/api/public/health", timeout=5).json()
    return found


def containers_of_the_watch(spark: SparkTa) -> dict[str, Any]:
    """The verdict of HC-07, as a checkpoint of the watch would ask it now."""
    text = (ROOT / "inventories/spark_ta/group_vars/all/containers.yml").read_text(encoding="utf-8")
    [check] = yaml.safe_load(text)["spark_container_checklist"]
    names = [f"{spark.key}-{name}" for name in ("executor-1", "executor-2", "web-next-1", "spark-redis")]
    check["container"] = {"docker_host": spark.engine["DOCKER_HOST"], "name": names, "reduce": "worst"}
    [verdict] = run_checks(read_checks([check], PROBES), PROBES)
    assert verdict["id"] == "HC-07"
    return verdict


def by_id(verdicts: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in verdicts}


def test_the_first_release_goes_live_on_the_data_of_before(spark: SparkTa) -> None:
    put = spark.run("sampler")
    assert put.rc == 0, put.why
    done = spark.run("cutover", "0.9.0", "-vvv", "--diff")
    assert done.rc == 0, done.why
    decision = spark.decision()
    assert (decision["decision"], decision["previous_release"], decision["rolled_back"]) == ("go", None, False)
    assert health(spark)["release"] == "0.9.0"
    assert_data(spark)
    # The settings of the services: in one file, for its owner alone.
    assert (spark.home / "releases/0.9.0/.env").stat().st_mode & 0o777 == 0o600


def test_a_checkpoint_asks_its_checklist_and_what_the_sampler_saw(spark: SparkTa) -> None:
    place = (spark.home, "spark_ta", spark.store, spark.root / "sampler.log")
    with sampling(*place):
        pass
    set_back(spark.store, "spark_ta", 16 * 60)
    spark.background.enter_context(sampling(*place))
    done = spark.run("hypercare", None, "-e", "hypercare_checkpoint=T+15m")
    assert done.rc == 0, done.why
    decision = spark.decision()
    assert (decision["kind"], decision["decision"], decision["release"]) == ("hypercare", "go", "0.9.0")
    verdicts = by_id(decision["verdicts"])
    assert set(verdicts) == {"HYPERCARE-LOOKS", *OBJECTIVES, *AT_15_MINUTES}
    # Notifications go nowhere here, which is nice to have.
    assert {one for one in verdicts if verdicts[one]["status"] not in ("pass", "warn")} == {"HC-13", "HC-14"}, done.output
    assert "T+15m of the watch over release 0.9.0 on spark_ta passed" in done.output


def test_a_missed_checkpoint_is_seen_and_keeps_the_watch_open_when_all_have_signed(spark: SparkTa) -> None:
    again = spark.run("hypercare")
    assert again.rc != 0
    assert "no checkpoint is due now, and T+0 was missed" in again.output, again.output
    for role, who in (("Operations Lead", "ann"), ("Development Lead", "bob")):
        signed = spark.run("signoff", None, signoff_as=role, signoff_by=who)
        assert signed.rc == 0, signed.why
    done = spark.run("hypercare", None, "-e", "hypercare_exit=true")
    assert done.rc != 0
    assert "The watch over release 0.9.0 on spark_ta is NOT closed." in done.output, done.why
    verdicts = by_id(spark.decision()["verdicts"])
    assert verdicts["HYPERCARE-SIGNED"]["status"] == "pass", verdicts["HYPERCARE-SIGNED"]
    passed = verdicts["HYPERCARE-PASSED"]
    assert (passed["status"], "T+0 was missed" in passed["reason"]) == ("inconclusive", True), passed
    assert "nobody has said user_reported_issues" in done.output


def test_too_many_streams_let_the_watch_take_option_2(spark: SparkTa) -> None:
    """A hundred streams are critical; what the inventory says then is carried out and verified."""
    before = spark.ids()
    with streams(spark.web, 105):
        shown = f"http://127.0.0.1:{spark.executor}/metrics"
        wait_until(lambda: "\nstreams_connected 105" in requests.get(shown, timeout=5).text, what="105 streams")
        done = spark.run("watch", None, hypercare_watch_for="3m", hypercare_watch_every="2s")
    assert done.rc != 0
    assert "ESC-8 105 CRITICAL" in done.output, done.output
    assert "EMERGENCY STOP: " in done.output
    decision = spark.decision()
    assert (decision["kind"], decision["ending"]) == ("watch", "no_go_rolled_back"), done.output
    assert (decision["rollback_verified"], decision["rollback"]["strategy"]) == (True, "reduce_load")
    assert decision["rollback"]["budget"] == 60
    assert [one["id"] for one in decision["verdicts"] if one["status"] == "fail"] == ["ESC-8"], done.why
    assert {name for name, one in spark.ids().items() if one != before[name]} == {"web-next-1"}
    url = f"http://127.0.0.1:{spark.front}/api/marketdata/stream?symbol=BTCUSDT"
    with requests.get(url, stream=True, timeout=5) as first:
        assert first.status_code == 200
        with requests.get(url, stream=True, timeout=5) as second:
            assert second.status_code == 429
    spark.background.close()
    gone = spark.run("sampler", None, sampler_stopped=True)
    assert gone.rc == 0, gone.why
    assert list((spark.home / "sampler").iterdir()) == []


def test_option_1_stops_the_scheduler_without_a_restart(spark: SparkTa) -> None:
    before = spark.ids()
    done = spark.run("rollback", None, "-vvv", "-e", "rollback_strategy=stop_scheduler")
    assert done.rc == 0, done.why
    decision = spark.decision()
    assert (decision["rollback_verified"], decision["rollback"]["strategy"]) == (True, "stop_scheduler")
    assert decision["rollback"]["budget"] == 30
    assert spark.ids() == before
    for number in (0, 1):
        page = requests.get(f"http://127.0.0.1:{spark.executor + number}/metrics", timeout=5).text
        assert "\nscheduler_enabled 0.0" in page
    assert_data(spark)


def test_a_release_goes_live_within_the_budgets_of_the_runbook(spark: SparkTa) -> None:
    before = spark.ids()
    # Another image of Redis: its container is made anew, and what it holds and how it is configured must outlive it.
    spark.variables["spark_redis_image"] = f"{spark.image}-redis:7.1"
    done = spark.run("cutover", "1.0.0")
    assert done.rc == 0, done.why
    decision = spark.decision()
    assert (decision["decision"], decision["previous_release"]) == ("go", "0.9.0")
    assert {name for name, one in spark.ids().items() if one == before[name]} == set()
    assert health(spark)["release"] == "1.0.0"
    assert_data(spark)

    assert {one["name"]: one["budget"] for one in decision["steps"]} == BUDGETS
    assert {one["status"] for one in decision["steps"]} <= {"ok", "over"}, decision["steps"]
    verdicts = by_id(decision["verdicts"])
    assert {one for one in verdicts if "regression" in verdicts[one]["tags"]} == REGRESSION
    # Notifications go nowhere here, which the runbook calls optional.
    assert {one for one in verdicts if verdicts[one]["status"] not in ("pass", "warn")} == {"SMOKE-6"}, done.output
    assert [(one["name"], one["required"]) for one in decision["criteria"]] == TABLE
    assert [one["name"] for one in decision["criteria"] if not one["met"]] == ["Notifications working"]
    # Streams go through nginx as the drop-in of the cutover has it.
    assert verdicts["S-003"]["measures"]["buffered"]["value"] is False
    assert "proxy_buffering off" in (spark.nginx / "server.d/golive-streaming.conf").read_text(encoding="utf-8")


def test_the_same_again_changes_nothing(spark: SparkTa) -> None:
    before = spark.ids()
    done = spark.run("cutover", "1.0.0")
    assert done.rc == 0, done.why
    assert recap(done.stdout)["changed"] == 0, done.output
    assert spark.decision()["decision"] == "go"
    assert spark.ids() == before


def test_redis_that_is_killed_comes_back_with_its_data(spark: SparkTa) -> None:
    spark.redis().set("after:aof", "written a moment ago")
    wait_until(lambda: spark.redis().info("persistence")["aof_pending_bio_fsync"] == 0, what="the fsync")
    assert containers_of_the_watch(spark)["status"] == "pass"
    spark.kill_redis()
    ended = containers_of_the_watch(spark)
    assert (ended["status"], "restarts is 1" in ended["reason"]) == ("fail", True), ended
    assert spark.redis().get("after:aof") == "written a moment ago"
    assert_data(spark)


def test_redis_that_was_stopped_is_remedied_with_its_data(spark: SparkTa) -> None:
    before = {name: one for name, one in spark.ids().items() if name != "spark-redis"}
    spark.docker("stop", f"{spark.key}-spark-redis")
    done = spark.run("remediate", None, incident="redis_lost")
    assert done.rc == 0, done.why
    assert "REMEDIATED: The incident redis_lost on spark_ta is over" in done.stdout
    assert [one["name"] for one in spark.decision()["hosts"]["spark"]["steps"]] == ["look", "start_redis"]
    assert before.items() <= spark.ids().items()
    assert_data(spark)


def test_a_faulty_release_is_rolled_back_and_that_is_verified(spark: SparkTa) -> None:
    done = spark.run("cutover", "1.1.0")
    assert done.rc != 0, done.why
    decision = spark.decision()
    assert (decision["decision"], decision["release"], decision["previous_release"]) == ("no_go", "1.1.0", "1.0.0")
    assert (decision["rolled_back"], decision["rollback_verified"]) == (True, True), done.output
    assert decision["rollback"]["budget"] == 120
    assert decision["rollback_seconds"] > 0
    assert any("SMOKE-5" in reason for reason in decision["reasons"]), decision["reasons"]
    assert by_id(decision["rollback"]["verdicts"])["SMOKE-1"]["status"] in ("pass", "warn")
    assert "rolled back to 1.0.0" in done.output
    assert health(spark)["release"] == "1.0.0"
    for name in ("executor-1", "executor-2", "web-next-1"):
        assert spark.inspect(name)["Image"] == spark.image_id("1.0.0")
    assert_data(spark)


def test_a_release_that_refuses_its_settings_is_rolled_back_before_anybody_is_served_by_it(spark: SparkTa) -> None:
    done = spark.run("cutover", "1.1.0-bad-config")
    assert done.rc != 0, done.why
    decision = spark.decision()
    assert (decision["decision"], decision["rolled_back"], decision["rollback_verified"]) == ("no_go", True, True), done.output
    assert {one["name"]: one["status"] for one in decision["steps"]}["deploy"] == "failed"
    assert "ALERT_RULES_SCHEMA" in done.output
    assert health(spark)["release"] == "1.0.0"
    assert_data(spark)


def test_no_cutover_without_a_way_back(spark: SparkTa) -> None:
    before = spark.ids()
    spark.docker("image", "rm", "-f", spark.image_id("0.9.0"))
    done = spark.run("cutover", "1.0.0")
    assert done.rc != 0
    assert f"a rollback would fail: the image {spark.image}:0.9.0" in done.output
    assert "no longer on the engine" in done.output
    assert spark.decision()["rolled_back"] is False
    assert [one["name"] for one in spark.decision()["steps"] if one["status"] != "not_run"] == ["preflight"]
    assert spark.ids() == before
    spark.build("0.9.0")


def test_no_cutover_to_an_image_that_is_not_there(spark: SparkTa) -> None:
    done = spark.run("cutover", "2.0.0")
    assert done.rc != 0
    assert f"the image {spark.image}:2.0.0 is not on the engine" in done.output
    assert not (spark.home / "releases/2.0.0").exists()


def test_status_answers_the_six_questions(spark: SparkTa) -> None:
    done = spark.run("status")
    assert done.rc == 0, done.why
    assert recap(done.stdout)["changed"] == 0
    for question in ("Who is the leader?", "Active alert count?", "SSE status?", "Notification failures?"):
        assert question in done.stdout
    assert "Alert trigger trend?" in done.stdout and "Redis health?" in done.stdout
    assert "release: 1.0.0 (accepted" in done.stdout


def test_secrets_are_in_the_env_files_alone(spark: SparkTa) -> None:
    values = [value.encode() for value in spark.canaries.values()]
    names = spark.docker("ps", "-a", "--format", "{{.Names}}", "--filter", f"name=^{spark.key}-").split()
    said = [spark.docker("inspect", *names), *(spark.docker("logs", name) for name in names)]
    assert len(names) == 4
    assert not [text[:200] for text in said if any(value.decode() in text for value in values)]

    holding = set()
    for one in [*spark.root.rglob("*"), *(CACHE / "docker/config").rglob("*")]:
        if one.is_file() and not one.is_symlink() and any(value in one.read_bytes() for value in values):
            holding.add(one)
    # vars.json stands for the vault of the operator.
    expected = {spark.home / f"releases/{one}/.env" for one in ("0.9.0", "1.0.0", "1.1.0", "1.1.0-bad-config")}
    assert holding == expected | {spark.root / "vars.json"}
    record = json.loads((spark.home / "releases/1.0.0/.golive/compose.rendered.json").read_text(encoding="utf-8"))
    assert sorted(record["services"]) == ["executor-1", "executor-2", "spark-redis", "web-next-1"]
