# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe leader against the reference application, its good release and its faulty ones, on a real Redis."""

from __future__ import annotations

import contextlib
import http.server
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Secret
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Observation
from ansible_collections.golive.cutover.plugins.module_utils.probes.leader import LeaderProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from tests.conftest import wait_until
from tests.integration.demo.conftest import App, Spark
from tests.integration.probes.looking import look, mistakes

PROBE = LeaderProbe()
LOCK = "spark:alerts:scheduler:lock"


def instances(*apps: App) -> dict[str, dict[str, str]]:
    return {app.health()["instance"]: {"metrics": f"{app.url}/metrics", "health": f"{app.url}/health"} for app in apps}


def options(spark: Spark, *apps: App, **more: Any) -> dict[str, Any]:
    return {
        "instances": instances(*apps),
        "lock": {"url": spark.redis.url, "key": LOCK},
        "identity": "instance",
        "elections": "leader_elected_total",
        "hold": "1s",
        "every": "100ms",
        **more,
    }


def ask(spark: Spark, *apps: App, timeout: float = 10.0, **more: Any) -> Observation:
    return look(PROBE, timeout, **options(spark, *apps, **more))


def one_leads(*apps: App) -> None:
    wait_until(lambda: sum(app.health()["leader"] for app in apps) == 1, what="one leader")


def verdict(raw: dict[str, Any], **thresholds: str) -> dict[str, Any]:
    checks = read_checks([{"id": "L", "leader": raw, "expect": thresholds}], PROBES, {})
    return run_checks(checks, PROBES)[0]


# -- the good release --------------------------------------------------------------------------------------------------


def test_one_of_two_leads_and_all_sources_agree(spark: Spark) -> None:
    one, two = spark.start("executor"), spark.start("executor")
    one_leads(one, two)
    seen = ask(spark, one, two)
    m = seen.measures
    assert (m["leaders"], m["agree"], m["changes"], m["elections"]) == (1, True, 0, 0)
    assert m["leader"] == m["holder"] == str(spark.client.get(LOCK)).partition(":")[0]
    assert m["lock_held"] is True and 0.5 < float(m["lock_ttl"]) <= 2.0
    assert (m["instances"], m["unanswered"]) == (2, 0)
    assert float(m["rounds"]) >= 5
    assert seen.proof["window"] >= 1.0
    assert seen.proof["readings"] == 5 * int(m["rounds"])
    assert not seen.missing


def test_a_single_round(spark: Spark) -> None:
    one, two = spark.start("executor"), spark.start("executor")
    one_leads(one, two)
    raw = options(spark, one, two)
    for name in ("hold", "every", "elections"):
        del raw[name]
    seen = look(PROBE, **raw)
    assert (seen.measures["leaders"], seen.measures["agree"], seen.measures["rounds"]) == (1, True, 1)
    assert "changes" not in PROBE.measures_for({**dict.fromkeys(PROBE.options), "hold": 0.0, "instances": {}})


def test_a_leader_that_is_silent_and_replaced_is_a_change(spark: Spark) -> None:
    one, two = spark.start("executor", LEADER_LOCK_TTL_MS="600"), spark.start("executor", LEADER_LOCK_TTL_MS="600")
    one_leads(one, two)
    leader = one if one.health()["leader"] else two

    def handover() -> None:
        time.sleep(0.5)
        # SIGTERM would give the lock up; a stopped process only stops to renew it.
        leader.process.send_signal(signal.SIGSTOP)

    raw = options(spark, one, two, hold="2s", patience="300ms")
    thread = threading.Thread(target=handover)
    thread.start()
    try:
        seen = look(PROBE, 10.0, **raw)
    finally:
        thread.join()
        leader.process.send_signal(signal.SIGCONT)
    assert float(seen.measures["changes"]) >= 1
    assert "no answer" in seen.missing["elections"]
    assert seen.measures["instances"] == 1


def test_a_quick_change_of_hands_is_seen_by_its_elections(spark: Spark) -> None:
    one, two = spark.start("executor"), spark.start("executor")
    one_leads(one, two)
    leader = one if one.health()["leader"] else two

    def handover() -> None:
        time.sleep(0.3)
        leader.reload(SCHEDULER_ENABLED="false")

    thread = threading.Thread(target=handover)
    thread.start()
    seen = ask(spark, one, two, hold="1500ms")
    thread.join()
    assert float(seen.measures["changes"]) >= 1
    assert seen.measures["elections"] == 1
    follower = two if leader is one else one
    assert seen.measures["leader"] == follower.health()["instance"]


# -- the faulty releases -----------------------------------------------------------------------------------------------


def test_two_leaders_are_found(spark: Spark) -> None:
    one, two = (spark.start("executor", release="1.1.0-two-leaders") for _number in range(2))
    wait_until(lambda: one.health()["leader"] and two.health()["leader"], what="two leaders")
    seen = ask(spark, one, two)
    assert seen.measures["leaders"] == 2
    assert seen.measures["agree"] is False
    assert "leads, but" in seen.proof["differences"][0]
    assert seen.proof["rounds_with_several"] >= 1
    assert "lead" in seen.missing["leader"]
    record = verdict(options(spark, one, two, hold="500ms"), leaders="== 1", agree="== true", changes="== 0")
    assert record["status"] == "fail"
    assert "leaders is 2, expected == 1" in record["reason"]


def test_the_lock_alone_does_not_see_two_leaders(spark: Spark) -> None:
    """Why the probe is there: the lock always has one holder."""
    one, two = (spark.start("executor", release="1.1.0-two-leaders") for _number in range(2))
    wait_until(lambda: one.health()["leader"] and two.health()["leader"], what="two leaders")
    redis = look(PROBES["redis"], url=spark.redis.url, lock=LOCK)
    assert redis.measures["lock_held"] is True


def test_no_leader_is_found(spark: Spark) -> None:
    one, two = (spark.start("executor", release="1.1.0-no-leader") for _number in range(2))
    seen = ask(spark, one, two, hold="500ms")
    assert seen.measures["leaders"] == 0
    assert seen.measures["lock_held"] is False
    assert seen.measures["agree"] is True  # all say the same: there is none
    assert "nobody holds" in seen.missing["holder"] and "nobody holds" in seen.missing["lock_ttl"]
    assert seen.missing["leader"] == "no instance leads"
    record = verdict(options(spark, one, two, hold="500ms"), leaders="== 1")
    assert record["status"] == "fail"


def test_a_lock_that_is_stuck_is_found(spark: Spark) -> None:
    spark.client.set(LOCK, "executor-9:1:dead")
    one, two = spark.start("executor"), spark.start("executor")
    seen = ask(spark, one, two, hold="300ms")
    assert (seen.measures["leaders"], seen.measures["lock_held"], seen.measures["agree"]) == (0, True, False)
    assert seen.measures["holder"] == "executor-9"
    assert seen.missing["lock_ttl"] == f"{LOCK} never expires"
    assert "none of the instances" in seen.proof["differences"][0]


# -- who does not answer -----------------------------------------------------------------------------------------------


def test_an_instance_that_is_gone_may_lead(spark: Spark) -> None:
    one, two = spark.start("executor"), spark.start("executor")
    one_leads(one, two)
    follower = two if one.health()["leader"] else one
    name = follower.health()["instance"]
    raw = options(spark, one, two, hold="300ms")
    follower.terminate()
    seen = look(PROBE, **raw)
    for measure in ("leaders", "agree", "changes", "elections"):
        assert name in seen.missing[measure] and "connection refused" in seen.missing[measure]
    assert (seen.measures["instances"], seen.measures["lock_held"]) == (1, True)
    assert float(seen.measures["unanswered"]) == 2 * float(seen.measures["rounds"])
    assert name in seen.proof["unanswered"][0]
    record = verdict(raw, leaders="== 1")
    assert record["status"] == "inconclusive"
    assert name in record["reason"]


def test_two_leaders_are_two_also_when_a_third_is_silent(spark: Spark) -> None:
    apps = [spark.start("executor", release="1.1.0-two-leaders") for _number in range(3)]
    wait_until(lambda: all(app.health()["leader"] for app in apps), what="leaders")
    raw = options(spark, *apps, hold="300ms")
    apps[2].terminate()
    seen = look(PROBE, **raw)
    assert seen.measures["leaders"] == 2


def test_an_instance_that_hangs_does_not_hold_up_the_others(spark: Spark) -> None:
    one, two = spark.start("executor"), spark.start("executor")
    one_leads(one, two)
    raw = options(spark, one, two, hold="500ms", patience="300ms")
    two.process.send_signal(signal.SIGSTOP)
    try:
        seen = look(PROBE, 5.0, **raw)
    finally:
        two.process.send_signal(signal.SIGCONT)
    assert "no complete answer" in str(seen.proof["unanswered"])
    assert float(seen.measures["rounds"]) >= 2


def test_redis_that_is_gone(spark: Spark) -> None:
    one, two = spark.start("executor"), spark.start("executor")
    one_leads(one, two)
    raw = options(spark, one, two, hold="200ms")
    spark.redis.stop()
    seen = look(PROBE, **raw)
    for measure in ("agree", "lock_held", "holder", "lock_ttl", "changes"):
        assert "the lock gave no answer" in seen.missing[measure]
    assert seen.measures["leaders"] == 1


def test_the_time_that_runs_out_is_no_proof(spark: Spark) -> None:
    one, two = spark.start("executor"), spark.start("executor")
    one_leads(one, two)
    seen = ask(spark, one, two, hold="30s", timeout=1.0)
    for measure in ("leaders", "agree", "changes", "lock_held", "lock_ttl"):
        assert "the time ran out" in seen.missing[measure]


def test_two_addresses_of_one_instance_are_found(spark: Spark) -> None:
    """Behind a balancer both addresses lead to the same process, which then seems to lead twice, or not at all."""
    one = spark.start("executor")
    one_leads(one)
    two = spark.start("executor")
    raw = options(spark, one, two, hold="200ms")
    raw["instances"]["executor-2"]["health"] = one.url + "/health?again"
    seen = look(PROBE, **raw)
    assert "executor-1 answered, and not executor-2" in seen.missing["leaders"]


# -- answers that are none ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def answering(health: Any, metrics: str, status: int = 200) -> Iterator[dict[str, dict[str, str]]]:
    """An instance that answers what it is told to."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (metrics if self.path == "/metrics" else json.dumps(health)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    yield {"a": {"metrics": f"{url}/metrics", "health": f"{url}/health"}}
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("health", "metrics", "why"),
    [
        ({"leader": "yes"}, "leader 1\n", 'leader is "yes"'),
        ({}, "leader 1\n", "leader is null"),
        ({"leader": True}, "leader 0.5\n", "leader is 0.5, expected 0 or 1"),
        ({"leader": True}, "leader NaN\n", "NaN"),
        ({"leader": True}, "other 1\n", "no series matches leader"),
        ({"leader": True}, 'leader{a="1"} 1\nleader{a="2"} 1\n', "2 series match leader; say labels"),
        ({"leader": True}, "", "empty"),
    ],
)
def test_what_is_no_answer(health: Any, metrics: str, why: str) -> None:
    with answering(health, metrics) as some:
        seen = look(PROBE, instances=some)
        assert why in str(seen.proof["unanswered"])
        assert "agree" in seen.missing and seen.measures["unanswered"] == 1


def test_metrics_and_health_that_differ() -> None:
    with answering({"leader": False}, "leader 1\n") as some:
        seen = look(PROBE, instances=some)
        assert (seen.measures["leaders"], seen.measures["agree"]) == (1, False)
        assert seen.proof["differences"] == ["round 1: a leads by its metrics and does not by its health"]


def test_a_lock_that_names_another_is_found(redis_server: Callable[..., Any]) -> None:
    server = redis_server()
    with answering({"leader": True}, "leader 1\n") as some, contextlib.closing(Redis(port=server.port)) as client:
        client.set("k", "b:1:x", px=60_000)
        seen = look(PROBE, instances=some, lock={"url": server.url, "key": "k"})
        assert (seen.measures["leaders"], seen.measures["agree"], seen.measures["holder"]) == (1, False, "b")
        assert seen.proof["differences"] == [
            "round 1: a leads, but b holds the lock",
            "round 1: the lock is held by none of the instances",
        ]
        client.set("k", ":", px=60_000)
        seen = look(PROBE, instances=some, lock={"url": server.url, "key": "k"})
        assert seen.measures["agree"] is False
        assert "does not match" in seen.missing["holder"]


def test_health_that_is_not_well_still_tells_who_leads() -> None:
    with answering({"role": "leader"}, "raft_leader 1\n", 503) as some:
        only = {"a": {"health": some["a"]["health"]}}
        seen = look(PROBE, instances=only, field="role == 'leader'")
        assert seen.measures["leaders"] == 1
        assert seen.proof["health_status"] == {"a": 503}


def test_a_password_is_not_shown(redis_server: Callable[..., Any]) -> None:
    server = redis_server({"requirepass": "CANARY-lock"})
    with answering({"leader": False}, "leader 0\n") as some:
        lock = {"url": server.url, "key": "k", "password": Secret("CANARY-lock")}
        seen = look(PROBE, instances=some, lock=lock)
        assert seen.measures["lock_held"] is False and "CANARY" not in str(seen)
        assert (seen.measures["leaders"], seen.measures["agree"]) == (0, True)


# -- options -----------------------------------------------------------------------------------------------------------

GOOD = {"a": {"health": "http://h/health"}}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({}, "leader.instances: is missing"),
        ({"instances": {}}, "expected a mapping"),
        ({"instances": {"a": {}}}, "a: has neither metrics nor health"),
        ({"instances": {"a": {"helth": "http://h"}}}, "did you mean 'health'"),
        ({"instances": GOOD, "lock": {"url": "redis://h"}}, "key: is missing"),
        ({"instances": GOOD, "lock": {"key": "k", "url": "redis://h", "host": "h"}}, "exclude each other"),
        ({"instances": GOOD, "lock": {"key": "k", "url": "redis://h", "password": "x"}}, "expected {secret: NAME}"),
        ({"instances": GOOD, "holder": "x"}, "one group"),
        ({"instances": GOOD, "holder": "("}, "not a regular expression"),
        ({"instances": GOOD, "field": "a["}, "not a JMESPath expression"),
        ({"instances": GOOD, "hold": "1s", "every": "2s"}, "every: is not shorter than hold"),
        ({"instances": GOOD, "hold": "1h", "every": "1ms"}, "more than 1000 rounds"),
        ({"instances": GOOD, "hold": "5s", "elections": "e_total"}, "a has no metrics page"),
        ({"instances": {"a": {"metrics": "http://h/m"}}, "elections": "e_total"}, "needs hold"),
        ({"instances": {"a": {"metrics": "http://h/m"}}, "identity": "x"}, "no instance has one"),
        ({"instances": {**GOOD, "b": {"health": "http://h/health"}}}, "an address stands twice"),
    ],
)
def test_options_that_are_refused(raw: dict[str, Any], why: str) -> None:
    assert any(why in line for line in mistakes(PROBE, raw)), mistakes(PROBE, raw)


def test_measures_follow_the_options() -> None:
    checks = [{"id": "L", "leader": {"instances": GOOD}, "expect": {"agree": "== true"}}]
    with pytest.raises(Exception, match="unknown measure"):
        read_checks(checks, PROBES, {})
