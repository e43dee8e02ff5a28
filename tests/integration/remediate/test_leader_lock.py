# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of the reference application on a real Redis: a stuck one goes, and that of a living leader survives."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils import leader_lock as locks
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError
from ansible_collections.golive.cutover.plugins.module_utils.leader_lock import LockHeld, Sight
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context
from tests.conftest import wait_until
from tests.integration.demo.conftest import App, Spark

LOCK = "spark:alerts:scheduler:lock"


def options(spark: Spark, *apps: App, **more: Any) -> dict[str, Any]:
    instances = {
        f"executor-{number}": {"metrics": f"{app.url}/metrics", "health": f"{app.url}/health"} for number, app in enumerate(apps, 1)
    }
    raw = {"instances": instances, "lock": {"url": spark.redis.url, "key": LOCK}, "identity": "instance", "refused": "dead"}
    return locks.read({**raw, "hold": "500ms", "every": "100ms", **more}, {})


def run(
    options: dict[str, Any], state: str = "released", check: bool = False, value: str | None = None, within: float = 60.0
) -> dict[str, Any]:
    context = Context(time.monotonic() + 15)
    return locks.run(options, context, state=state, value=value, expires_within=within, check=check)


def one_leads(*apps: App) -> App:
    wait_until(lambda: sum(app.health()["leader"] for app in apps) == 1, what="one leader")
    return next(app for app in apps if app.health()["leader"])


def stuck(spark: Spark, leader: App) -> str:
    """Kill the leader and leave its lock without an end."""
    value = spark.client.get(LOCK)
    leader.process.send_signal(signal.SIGKILL)
    leader.process.wait(5)
    spark.client.persist(LOCK)
    assert spark.client.ttl(LOCK) == -1 and spark.client.get(LOCK) == value
    return str(value)


def test_the_lock_of_a_dead_leader_goes_and_another_one_leads(spark: Spark) -> None:
    # The first one has the lock for so long that it does not end between its death and the persisting of the lock.
    one = spark.start("executor", LEADER_LOCK_TTL_MS="60000")
    one_leads(one)
    two = spark.start("executor")
    value = stuck(spark, one)
    asked = options(spark, one, two)
    seen = run(asked, state="read")
    assert (seen["finding"], seen["changed"], seen["lock"]["value"]) == ("stale", False, value)
    assert seen["lock"]["holder"] == "executor-1" and seen["lock"]["expires"] is False
    assert "nobody listens at the addresses of executor-1" in seen["proof"]
    tried = run(asked, check=True)
    assert tried["changed"] and tried["diff"] == {"before": f"{LOCK}: {value}\n", "after": ""}
    assert spark.client.get(LOCK) == value
    assert not two.health()["leader"]
    for unproven in ({"refused": "uncertain"}, {"proxy": True}):
        # A firewall, a proxy or the service of a cluster refuses in the name of an instance that lives.
        with pytest.raises(LockHeld, match="executor-1 may lead: it does not say whether it does"):
            run(options(spark, one, two, **unproven))
    assert spark.client.get(LOCK) == value
    with pytest.raises(LockHeld, match="no longer that of executor-1:0:other"):
        run(asked, value="executor-1:0:other")
    assert run(asked, value=value)["changed"]
    one_leads(two)
    with pytest.raises(LockHeld, match="executor-2 leads and holds"):
        run(asked)


def test_the_lock_of_a_living_leader_survives(spark: Spark) -> None:
    one, two = spark.start("executor"), spark.start("executor")
    leader = one_leads(one, two)
    value = spark.client.get(LOCK)
    asked = options(spark, one, two)
    with pytest.raises(LockHeld, match="leads and holds") as caught:
        run(asked)
    assert caught.value.result["finding"] == "led"
    # One that hangs does not answer, but it is there, and may go on.
    leader.process.send_signal(signal.SIGSTOP)
    try:
        spark.client.set(LOCK, str(value))
        with pytest.raises(LockHeld, match="may lead: it does not say"):
            run(options(spark, one, two, patience="300ms"))
        assert spark.client.get(LOCK) == value
    finally:
        leader.process.send_signal(signal.SIGCONT)
    # It is back, its lock is still its own, and it renews it.
    wait_until(lambda: leader.health()["leader"] and spark.client.ttl(LOCK) > 0, what="the leader that is back")
    assert spark.client.get(LOCK) == value


def test_a_lock_that_was_renewed_after_the_look_stays(spark: Spark) -> None:
    """Between the look and the deletion the holder is back: same value, new time to live."""
    asked = options(spark, spark.start("executor", SCHEDULER_ENABLED="false"))
    context = Context(time.monotonic() + 15)
    spark.client.set(LOCK, "executor-1:1:aa", px=30_000)
    assert locks.release(asked, Sight(b"executor-1:1:aa"), context) == "renewed"
    assert locks.release(asked, Sight(b"executor-1:1:aa", 20_000), context) == "renewed"
    assert locks.release(asked, Sight(b"executor-1:1:bb"), context) == "changed"
    assert spark.client.get(LOCK) == "executor-1:1:aa"
    assert locks.release(asked, Sight(b"executor-1:1:aa", 40_000), context) == "deleted"
    assert locks.release(asked, Sight(b"executor-1:1:aa"), context) == "gone"


def test_a_holder_that_is_alive_and_renews_nothing(spark: Spark) -> None:
    """It says itself that it does not lead; nobody touches the lock, which never expires."""
    one, two = (spark.start("executor", SCHEDULER_ENABLED="false") for _number in range(2))
    spark.client.set(LOCK, "executor-1:1:aa")
    asked = options(spark, one, two)
    assert "answers and says in each of" in run(asked, state="read")["proof"]
    # With a short end it is left to end, with a far one it is not.
    spark.client.pexpire(LOCK, 50_000)
    assert run(asked)["finding"] == "expiring" and spark.client.exists(LOCK)
    assert run(asked, within=1.0)["changed"] and not spark.client.exists(LOCK)
    assert run(asked)["finding"] == "free"


def test_what_somebody_takes_during_the_look_is_left_alone(spark: Spark) -> None:
    one = spark.start("executor", SCHEDULER_ENABLED="false")
    spark.client.set(LOCK, "executor-1:1:aa")
    timer = threading.Timer(0.2, spark.client.set, (LOCK, "executor-2:2:bb"))
    timer.start()
    with pytest.raises(LockHeld, match="changed hands during the look"):
        run(options(spark, one))
    timer.join()
    assert spark.client.get(LOCK) == "executor-2:2:bb"


def test_two_leaders(spark: Spark) -> None:
    apps = [spark.start("executor", release="1.1.0-two-leaders") for _number in range(2)]
    wait_until(lambda: all(app.health()["leader"] for app in apps), what="two leaders")
    with pytest.raises(LockHeld, match="executor-1 and executor-2 lead at the same time"):
        run(options(spark, *apps))
    assert spark.client.exists(LOCK)


def test_a_redis_that_cannot_be_asked_and_a_key_that_is_no_lock(spark: Spark) -> None:
    one = spark.start("executor", SCHEDULER_ENABLED="false")
    asked = options(spark, one)
    spark.client.hset(LOCK, "owner", "executor-1")
    seen = run(asked, state="read")
    assert seen["finding"] == "uncertain" and "WRONGTYPE" in seen["reason"]
    spark.redis.stop()
    seen = run(asked, state="read")
    assert seen["finding"] == "uncertain" and "refused" in seen["reason"]
    with pytest.raises(CutoverError, match="refused"):
        run(asked)
