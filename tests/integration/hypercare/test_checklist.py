# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checklist of the inventory spark_ta on the running reference application: what can be asked at once passes, and the sampler
finds every series that the rest is asked of; what a log or an answer shows of a faulty release fails. No page in a browser, no
containers and no nginx here."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import closing, escalation
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.hypercare import Watch, utc
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.hypercare import sampler, watching
from ansible_collections.golive.cutover.plugins.module_utils.probes._page import Selector
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from tests.conftest import Prometheus, wait_until
from tests.integration.demo.conftest import App, Receiver, Spark, receiver, spark
from tests.integration.monitoring.stand_ins import GrafanaStandIn

__all__ = ["receiver", "spark"]
ROOT = Path(__file__).resolve().parents[3]


def rendered(work: Path, collection_path: Path, **variables: Any) -> dict[str, Any]:
    """The variables of the watch, as a task of this inventory sees them."""
    parts = "checklist objectives pages sampler_checks watch_checks escalations exit_criteria"
    names = [f"hypercare_{part}" for part in parts.split()] + ["cutover_checks"]
    content = "{{ {" + ", ".join(f"'{name}': {name}" for name in names) + "} | to_json }}"
    task = {"ansible.builtin.copy": {"content": content, "dest": str(work / "found.json")}}
    (work / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]), encoding="utf-8")
    extra = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, **variables}
    subprocess.run(
        [
            *(sys.executable, "-m", "ansible", "playbook", str(work / "play.yml")),
            *("-i", str(ROOT / "inventories/spark_ta"), "-e", json.dumps(extra)),
        ],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collection_path), "ANSIBLE_HOME": str(work)},
        check=True,
        capture_output=True,
    )
    found: dict[str, Any] = json.loads((work / "found.json").read_text(encoding="utf-8"))
    return found


def _asked_series(options: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """Names and labels of every series that the options of a check of the probe window ask for."""
    for one in (options.get("select") or {"value": options}).values():
        yield one["name"], one.get("labels") or {}
        if one.get("to"):
            yield one["to"]["name"], one["to"].get("labels") or {}


def started(spark: Spark, receiver: Receiver, executor: str = "1.0.0", web: str = "1.0.0", **variables: str) -> list[App]:
    """Two executors and a web front, each with a log that was rotated in the last 8 hours."""
    settings = {"NOTIFY_WEBHOOK_URL": receiver.url, "NOTIFY_ALLOWED_HOSTS": receiver.host, **variables}
    apps = [spark.start(*one, **settings) for one in (("executor", executor), ("executor", executor), ("web", web))]
    for app in apps:
        line = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.localtime(time.time() - 9 * 3600))}.000 INFO {app.role} an older line\n"
        app.log.with_name(f"{app.log.name}.1").write_text(line, encoding="utf-8")
    return apps


def test_the_checklist_on_the_reference_application(
    spark: Spark, receiver: Receiver, tmp_path: Path, collection_path: Path
) -> None:
    executors = started(spark, receiver)
    web = executors.pop()
    logs = [str(one.log) for one in (*executors, web)]
    found = rendered(
        tmp_path,
        collection_path,
        cutover_store=f"sqlite://{tmp_path}/golive.db",
        cutover_expected_release="1.0.0",
        cutover_base_url=web.url,
        spark_executors=[{"name": f"executor-{number}", "url": one.url} for number, one in enumerate(executors, 1)],
        spark_redis_port=spark.redis.port,
        spark_browser=False,
        spark_container_checks=[],
        spark_container_checklist=[],
        spark_executor_log={"file": logs[:2], "zone": "local", "since": "1s"},
        spark_release_logs={"file": logs, "zone": "local"},
        spark_stream_rate=10,
        # The next full second: by then the logs have older lines.
        hypercare_result={"watch": {"start": utc(math.ceil(time.time()))}},
    )
    at_once = [one for one in found["hypercare_checklist"] if "window" not in one]
    verdicts = {one["id"]: one for one in run_checks(read_checks(at_once, PROBES), PROBES, concurrency=3)}
    # This Redis writes no append-only file.
    bad = {id: one["reason"] for id, one in verdicts.items() if one["status"] not in ("pass", "warn")}
    assert set(bad) == {"HC-50"}, bad
    assert [one["type"] for one in receiver.received] == ["test"]

    seen = sampler.look(sampler.read_asked(found["hypercare_pages"], found["hypercare_sampler_checks"], PROBES), PROBES)
    assert seen.failed == {}
    known = [(name, (*labels, ("page", look.page))) for look in seen.looks for name, labels in look.values]
    for check in found["hypercare_checklist"] + found["hypercare_objectives"] + found["hypercare_watch_checks"]:
        for name, labels in _asked_series(check["window"]) if "window" in check else ():
            assert any(Selector(name, labels).selects(key) for key in known), f"{check['id']} asks for {name} {labels}"

    # The live watch, a moment after the GO: what can be asked at once is fine, and nothing is said of a time that has not passed.
    checks = found["hypercare_watch_checks"] + found["hypercare_objectives"] + found["hypercare_sampler_checks"]
    table = escalation.read_escalations(found["hypercare_escalations"], [one["id"] for one in checks])
    chosen = read_checks([one for one in checks if one["id"] in [row.check for row in table]], PROBES)

    def levels() -> dict[str, Optional[str]]:
        now = time.time()
        looks = watching.ask(table, chosen, PROBES, Watch("run-1", "1.0.0", now - 5), now, 20)
        return {one.check: one.level for one in looks if not one.waiting}

    wait_until(lambda: levels() == {"AV-WEB": "ok", "AV-SSE": "ok", "ESC-8": "ok"}, 120, "a look at which all is fine")
    assert [one.critical.strategy for one in table if one.critical.action == "stop"] == ["stop_scheduler", "reduce_load"]

    def statuses(apps: list[App], *ids: str) -> dict[str, str]:
        """What is found of other processes, at the first look."""
        text = json.dumps(found["hypercare_checklist"] + found["cutover_checks"])
        for old, new in zip((*executors, web), apps):
            text = text.replace(old.url, new.url).replace(str(old.log), str(new.log))
        text = text.replace('"hold": "10s"', '"hold": "3s"')
        chosen = [{name: value for name, value in one.items() if name != "retry"} for one in json.loads(text) if one["id"] in ids]
        return {one["id"]: one["status"] for one in run_checks(read_checks(chosen, PROBES), PROBES, concurrency=3)}

    # The emergency stop, by the log.
    assert statuses([*executors, web], "RB-3", "HC-25") == {"RB-3": "fail", "HC-25": "pass"}
    for one in executors:
        one.reload(SCHEDULER_ENABLED="false")
    wait_until(lambda: statuses([*executors, web], "RB-3", "HC-25") == {"RB-3": "pass", "HC-25": "fail"}, 60, "silence")
    for one in (*executors, web):
        one.terminate()

    failing = started(spark, receiver, "1.1.0-errors", ALERT_INTERVAL_MS="20")
    wait_until(lambda: sum(one.output().count(" ERROR ") for one in failing) > 500, 120, "500 errors in the log")
    assert set(statuses(failing, "HC-06", "HC-25", "HC-43").values()) == {"fail"}
    for one in failing:
        one.terminate()
    # Nobody leads, no notification gets through, and the stream has an event where two are due.
    silent = started(spark, receiver, "1.1.0-no-leader", "1.1.0-notify-fails", STREAM_INTERVAL_MS="200")
    assert set(statuses(silent, "HC-12", "HC-14", "HC-35").values()) == {"fail"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, collection_path: Path) -> dict[str, Any]:
    """All that the inventory may ask: with a browser, containers, a Prometheus and a Grafana."""
    return rendered(
        tmp_path_factory.mktemp("whole"),
        collection_path,
        cutover_store="sqlite:///x.db",
        cutover_expected_release="",
        spark_prometheus_url="http://prometheus.test",
        monitoring_grafana_url="http://grafana.test",
        monitoring_targets={"~executor-.*": {"job": "page"}},
    )


def test_every_check_of_the_watch_is_in_the_table_of_its_inventory(whole: dict[str, Any]) -> None:
    found = whole
    readme = (ROOT / "inventories/spark_ta/README.md").read_text(encoding="utf-8")
    ids = [one["id"] for key in ("hypercare_checklist", "hypercare_objectives") for one in found[key]]
    spans = {f"ESC-{number}" for number in range(1, 6)}  # "ESC-1 to ESC-5"
    assert [one for one in ids if f"`{one}`" not in readme and one not in spans] == []

    # The exit names verdicts that the last checkpoint has.
    wanted = closing.read_criteria(found["hypercare_exit_criteria"])
    last = {one["id"] for one in found["hypercare_checklist"] if "T+48h" in one["tags"]} | {"HYPERCARE-LOOKS", closing.INCIDENTS}
    last |= {one["id"] for one in found["hypercare_objectives"]}
    assert {id for one in wanted for id in one.checks} <= last


OF_THE_PLATFORM = ("GRAF-1", "GRAF-2", "GRAF-3")
MADE_TO_FAIL = {"spark_ta": set(OF_THE_PLATFORM)}
SHOWN = ("alerts_active", "streams_connected", "leader_elected_total", "notifications_sent_total")


def test_what_watches_the_platform_is_asked_where_it_is_named(
    whole: dict[str, Any], prometheus: Callable[..., Prometheus], tmp_path: Path
) -> None:
    assert [one["id"] for one in whole["hypercare_checklist"] if "T+0" in one["tags"]][-3:] == [*OF_THE_PLATFORM]
    rules = tmp_path / "rules.yml"
    rule = {"record": "golive:measure", "expr": "sum(alerts_active)"}
    rules.write_text(json.dumps({"groups": [{"name": "golive:spark_ta", "rules": [rule]}]}), encoding="utf-8")
    page = "".join(f'{name}{{executor="{number}"}} 1\n' for name in SHOWN for number in (1, 2))
    server = prometheus(page, config=f"rule_files: ['{rules}']\n")
    key = "glsa-of-a-test"
    with GrafanaStandIn(key) as grafana:

        def statuses(environment: str = "spark_ta") -> dict[str, str]:
            text = json.dumps([one for one in whole["hypercare_checklist"] if one["id"].startswith("GRAF-")])
            text = text.replace("http://prometheus.test", server.url).replace("http://grafana.test", grafana.url)
            text = text.replace("golive:spark_ta", f"golive:{environment}")
            asked = [{name: value for name, value in one.items() if name != "retry"} for one in json.loads(text)]
            found = run_checks(read_checks(asked, PROBES, {"grafana_api_key": key}), PROBES)
            return {one["id"]: one["status"] for one in found}

        grafana.dashboards["spark-ta-module"] = {"refresh": "10s", "time": {"from": "now-1h"}, "panels": [{}]}
        well = dict.fromkeys(OF_THE_PLATFORM, "pass")
        wait_until(lambda: statuses() == well, 60, "the first scrape and the first evaluation")
        # One executor is not scraped, the alerts are those of another environment, and nobody has imported the dashboard.
        server.page.text = page.replace('alerts_active{executor="2"} 1\n', "")
        del grafana.dashboards["spark-ta-module"]
        bad = dict.fromkeys(OF_THE_PLATFORM, "fail")
        wait_until(lambda: statuses("other") == bad, 60, "a scrape without it")
