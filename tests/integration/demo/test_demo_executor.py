# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The executor: election, evaluation, notifications, reload."""

from __future__ import annotations

import time
from typing import Any

from tests.conftest import wait_until
from tests.integration.demo.conftest import App, Receiver, Spark

LOCK = "spark:alerts:scheduler:lock"
ALERT = {"symbol": "BTCUSDT", "condition": "price_above", "threshold": 1}


def elected(*apps: App) -> list[App]:
    return [app for app in apps if app.health()["leader"]]


def leader_of(*apps: App, seconds: float = 10) -> App:
    """Wait until exactly one of ``apps`` leads, and return it."""
    wait_until(lambda: len(elected(*apps)) == 1, seconds=seconds, what="one leader")
    return elected(*apps)[0]


def create(web: App, **fields: Any) -> str:
    answer = web.post("/api/alerts", json={**ALERT, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_one_of_two_leads_and_holds_the_lock(spark: Spark) -> None:
    one, two = spark.start("executor"), spark.start("executor")
    leader = leader_of(one, two)
    health = leader.health()
    assert health["status"] == "ok" and health["redis"] == "ok" and health["release"] == "1.0.0"
    assert health["scheduler_enabled"] is True
    assert str(spark.client.get(LOCK)).startswith(health["instance"] + ":")
    assert 0 < int(str(spark.client.pttl(LOCK))) <= 2000
    assert one.metric("leader") + two.metric("leader") == 1
    assert one.metric("leader_elected_total") + two.metric("leader_elected_total") == 1
    wait_until(lambda: leader.metric("alerts_evaluations_total") >= 3, what="evaluations")
    wait_until(lambda: "heartbeat" in leader.output(), what="a heartbeat")
    assert leader.output().count("became leader") == 1
    assert "pollOnce" in leader.output()
    follower = two if leader is one else one
    assert follower.metric("alerts_evaluations_total") == 0
    assert "became leader" not in follower.output()


def test_lock_outlives_its_time_to_live_while_the_leader_lives(spark: Spark) -> None:
    one = spark.start("executor", LEADER_LOCK_TTL_MS="600")
    leader_of(one)
    holder = spark.client.get(LOCK)
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        assert spark.client.get(LOCK) == holder
        time.sleep(0.05)
    assert one.metric("leader_elected_total") == 1


def test_leader_that_stops_hands_over_at_once(spark: Spark) -> None:
    one, two = spark.start("executor", LEADER_LOCK_TTL_MS="60000"), spark.start("executor", LEADER_LOCK_TTL_MS="60000")
    leader = leader_of(one, two)
    follower = two if leader is one else one
    code, seconds = leader.terminate()
    assert code == 0 and seconds < 3
    assert "leadership released" in leader.output()
    wait_until(lambda: bool(elected(follower)), seconds=2, what="the new leader")


def test_leader_that_is_killed_is_replaced_after_the_time_to_live(spark: Spark) -> None:
    one, two = spark.start("executor"), spark.start("executor")
    leader = leader_of(one, two)
    follower = two if leader is one else one
    leader.process.kill()
    leader.process.wait(5)
    wait_until(lambda: bool(elected(follower)), seconds=5, what="the new leader")


def test_leader_whose_lock_was_taken_away_gives_up_and_leaves_it_alone(spark: Spark) -> None:
    one = spark.start("executor")
    leader_of(one)
    spark.client.set(LOCK, "somebody-else", px=60_000)
    wait_until(lambda: "lost leadership" in one.output(), what="the end of leadership")
    assert one.metric("leader") == 0
    assert one.terminate()[0] == 0
    assert spark.client.get(LOCK) == "somebody-else"


def test_leader_without_redis_gives_up_and_comes_back(spark: Spark) -> None:
    one = spark.start("executor")
    leader_of(one)
    spark.redis.kill()
    wait_until(lambda: one.metric("leader") == 0, what="the end of leadership")
    answer = one.get("/health")
    assert answer.status_code == 503
    assert (answer.json()["status"], answer.json()["redis"]) == ("degraded", "down")
    # How many alerts there are, nobody knows.
    assert str(one.metric("alerts_active")) == "nan"
    spark.redis.start()
    leader_of(one)
    assert one.health()["status"] == "ok"
    assert "lost leadership" in one.output() and "redis is back" in one.output()


def test_executor_starts_before_redis(spark: Spark) -> None:
    spark.redis.stop()
    one = spark.start("executor")
    assert one.get("/health").status_code == 503
    spark.redis.start()
    leader_of(one)


def test_alert_triggers_once_and_is_then_suppressed(spark: Spark) -> None:
    one, web = spark.start("executor"), spark.start("web")
    leader_of(one)
    alert = create(web)
    create(web, condition="price_below")
    create(web, enabled=False)
    wait_until(lambda: one.metric("alerts_suppressed_total", reason="cooldown") >= 3, what="suppression")
    assert one.metric("alerts_triggered_total") == 1
    assert one.metric("alerts_active") == 2
    assert one.metric("notifications_skipped_total", reason="not_configured") == 1
    assert one.metric("alerts_errors_total") == 0
    history = web.get(f"/api/alerts/{alert}/history").json()["history"]
    assert len(history) == 1
    assert history[0]["symbol"] == "BTCUSDT" and history[0]["price"] > 1
    # Hash, membership, history, cooldown: what the runbook counts.
    assert set(spark.client.scan_iter(f"spark:alerts:*:{alert}")) == {
        f"spark:alerts:{kind}:{alert}" for kind in ("alert", "history", "cooldown")
    }


def test_alert_triggers_again_after_its_cooldown(spark: Spark) -> None:
    one, web = spark.start("executor"), spark.start("web")
    create(web, cooldown_sec=0.2)
    wait_until(lambda: one.metric("alerts_triggered_total") >= 3, what="three triggers")


def test_damaged_alert_is_an_error_and_not_the_end(spark: Spark) -> None:
    spark.client.sadd("spark:alerts:ids", "broken")
    spark.client.hset("spark:alerts:alert:broken", "symbol", "not json")
    one = spark.start("executor")
    wait_until(lambda: "pollOnce failed" in one.output(), what="the error")
    spark.client.srem("spark:alerts:ids", "broken")
    wait_until(lambda: one.metric("alerts_evaluations_total") > 0, what="an evaluation")
    assert one.metric("alerts_errors_total") >= 1


def test_notification_reaches_the_webhook(spark: Spark, receiver: Receiver) -> None:
    one = spark.start("executor", NOTIFY_WEBHOOK_URL=receiver.url, NOTIFY_ALLOWED_HOSTS=receiver.host)
    web = spark.start("web")
    alert = create(web)
    wait_until(lambda: one.metric("notifications_sent_total") == 1, what="the notification")
    assert one.metric("notifications_failed_total") == 0
    assert [(m["type"], m["alert_id"]) for m in receiver.received] == [("alert", alert)]


def test_notification_reaches_telegram_and_the_token_is_not_logged(spark: Spark, receiver: Receiver, canary: str) -> None:
    one = spark.start(
        "executor",
        TELEGRAM_API_URL=f"http://{receiver.host}",
        TELEGRAM_BOT_TOKEN=canary,
        TELEGRAM_CHAT_ID="42",
        NOTIFY_ALLOWED_HOSTS=receiver.host,
    )
    web = spark.start("web")
    create(web)
    wait_until(lambda: one.metric("notifications_sent_total") == 1, what="the notification")
    assert receiver.paths == [f"/bot{canary}/sendMessage"]
    assert receiver.received[0]["chat_id"] == "42"
    receiver.status = 500
    create(web)
    wait_until(lambda: one.metric("notifications_failed_total") == 1, what="the failure")
    assert canary not in one.output() + web.output()


def test_redirect_is_not_followed(spark: Spark, receiver: Receiver) -> None:
    receiver.status, receiver.location = 302, "http://127.0.0.1:1/inner"
    one = spark.start("executor", NOTIFY_WEBHOOK_URL=receiver.url, NOTIFY_ALLOWED_HOSTS=receiver.host)
    create(spark.start("web"))
    wait_until(lambda: one.metric("notifications_failed_total") == 1, what="the failure")
    assert "HTTP status 302" in one.output()


def test_host_that_is_no_longer_allowed_is_not_asked(spark: Spark, receiver: Receiver) -> None:
    web = spark.start("web", NOTIFY_ALLOWED_HOSTS=receiver.host)
    create(web, webhook_url=receiver.url)
    one = spark.start("executor")
    wait_until(lambda: one.metric("notifications_failed_total") == 1, what="the refusal")
    assert receiver.received == []


def test_slow_receiver_holds_up_neither_evaluation_nor_stop(spark: Spark, receiver: Receiver) -> None:
    receiver.delay = 5
    one = spark.start("executor", NOTIFY_WEBHOOK_URL=receiver.url, NOTIFY_ALLOWED_HOSTS=receiver.host)
    create(spark.start("web"))
    wait_until(lambda: bool(receiver.received), what="the request")
    before = one.metric("alerts_evaluations_total")
    wait_until(lambda: one.metric("alerts_evaluations_total") >= before + 5, seconds=3, what="evaluations")
    code, seconds = one.terminate()
    assert code == 0 and seconds < 3


def test_notifications_beyond_the_rate_are_skipped(spark: Spark, receiver: Receiver) -> None:
    one = spark.start("executor", NOTIFY_WEBHOOK_URL=receiver.url, NOTIFY_ALLOWED_HOSTS=receiver.host)
    create(spark.start("web"), cooldown_sec=0)
    wait_until(lambda: one.metric("notifications_sent_total") >= 3, what="notifications without a limit")
    one.reload(NOTIFY_RATE_LIMIT="1")
    wait_until(lambda: one.metric("notifications_skipped_total", reason="rate_limit") >= 3, what="what is skipped")
    sent = one.metric("notifications_sent_total")
    before = one.metric("alerts_triggered_total")
    wait_until(lambda: one.metric("alerts_triggered_total") >= before + 5, what="more of them")
    assert one.metric("notifications_sent_total") <= sent + 1


def test_scheduler_is_stopped_and_started_by_reload(spark: Spark) -> None:
    one = spark.start("executor")
    leader_of(one)
    wait_until(lambda: one.metric("alerts_evaluations_total") > 0, what="an evaluation")
    one.reload(SCHEDULER_ENABLED="false")
    wait_until(lambda: not one.health()["leader"], what="the end of leadership")
    assert one.health()["scheduler_enabled"] is False
    assert one.metric("scheduler_enabled") == 0
    assert spark.client.get(LOCK) is None
    time.sleep(0.1)
    polled, evaluated = one.output().count("pollOnce"), one.metric("alerts_evaluations_total")
    time.sleep(0.4)
    assert (one.output().count("pollOnce"), one.metric("alerts_evaluations_total")) == (polled, evaluated)
    one.reload(SCHEDULER_ENABLED="true")
    leader_of(one)
    assert one.metric("config_reloads_total", result="ok") == 2


def test_scheduler_stopped_on_the_leader_alone_moves_to_the_other(spark: Spark) -> None:
    one, two = spark.start("executor"), spark.start("executor")
    leader = leader_of(one, two)
    leader.reload(SCHEDULER_ENABLED="false")
    wait_until(lambda: elected(one, two) == [two if leader is one else one], seconds=3, what="the other leader")


def test_reload_of_a_bad_configuration_changes_nothing(spark: Spark) -> None:
    one = spark.start("executor")
    one.reload(SCHEDULER_ENABLED="perhaps", ALERT_COOLDOWN_SEC="-1")
    output = one.output()
    assert "configuration refused, the old one stays" in output
    assert "SCHEDULER_ENABLED must be true or false" in output and "ALERT_COOLDOWN_SEC must be" in output
    assert one.health()["scheduler_enabled"] is True
    assert one.metric("config_reloads_total", result="refused") == 1


def test_reload_says_what_needs_a_restart(spark: Spark) -> None:
    one = spark.start("executor")
    one.reload(LEADER_LOCK_TTL_MS="9000")
    assert "needs a restart: lock_ttl" in one.output()


def test_streams_of_all_web_processes_are_in_the_metrics(spark: Spark) -> None:
    one, web, other = spark.start("executor"), spark.start("web"), spark.start("web")
    assert one.metric("streams_connected") == 0
    with web.stream() as first, other.stream() as second:
        first.ticks(2)
        second.ticks(2)
        wait_until(lambda: one.metric("streams_connected") == 2, what="the report")
        wait_until(lambda: one.metric("streams_messages_total") >= 4, what="the report")
    wait_until(lambda: one.metric("streams_connected") == 0, what="the report")
    before = one.metric("streams_messages_total")
    web.terminate()
    other.terminate()
    # Counters do not go back because a process did.
    assert one.metric("streams_messages_total") >= before
    assert one.metric("streams_errors_total") == 0
