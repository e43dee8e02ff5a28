# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checklist of the inventory spark_ta on the running reference application: what can be asked at once passes, and the sampler
finds every series that the rest is asked of. No page in a browser and no nginx here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import closing, escalation
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.hypercare import Watch
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.hypercare import sampler, watching
from ansible_collections.golive.cutover.plugins.module_utils.probes._page import Selector
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from tests.conftest import wait_until
from tests.integration.demo.conftest import Spark, spark

__all__ = ["spark"]
ROOT = Path(__file__).resolve().parents[3]


def rendered(work: Path, collection_path: Path, **variables: Any) -> dict[str, Any]:
    """The variables of the watch, as a task of this inventory sees them."""
    parts = "checklist objectives pages sampler_checks watch_checks escalations exit_criteria"
    names = [f"hypercare_{part}" for part in parts.split()]
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


def test_the_checklist_on_the_reference_application(spark: Spark, tmp_path: Path, collection_path: Path) -> None:
    executors = [spark.start("executor"), spark.start("executor")]
    web = spark.start("web")
    found = rendered(
        tmp_path,
        collection_path,
        cutover_store=f"sqlite://{tmp_path}/golive.db",
        cutover_expected_release="1.0.0",
        cutover_base_url=web.url,
        spark_executors=[{"name": f"executor-{number}", "url": one.url} for number, one in enumerate(executors, 1)],
        spark_redis_port=spark.redis.port,
    )
    at_once = [one for one in found["hypercare_checklist"] if "window" not in one and "page" not in one]
    verdicts = {one["id"]: one for one in run_checks(read_checks(at_once, PROBES), PROBES, concurrency=3)}
    # This Redis writes no append-only file, and nobody is told of alerts.
    bad = {id: one["reason"] for id, one in verdicts.items() if one["status"] not in ("pass", "warn")}
    assert set(bad) <= {"HC-13", "HC-50"}, bad

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


def test_every_check_of_the_watch_is_in_the_table_of_its_inventory(tmp_path: Path, collection_path: Path) -> None:
    found = rendered(tmp_path, collection_path, cutover_store="sqlite:///x.db", cutover_expected_release="")
    readme = (ROOT / "inventories/spark_ta/README.md").read_text(encoding="utf-8")
    ids = [one["id"] for key in ("hypercare_checklist", "hypercare_objectives") for one in found[key]]
    spans = {f"ESC-{number}" for number in range(1, 6)}  # "ESC-1 to ESC-5"
    assert [one for one in ids if f"`{one}`" not in readme and one not in spans] == []

    # The exit names verdicts that the last checkpoint has.
    wanted = closing.read_criteria(found["hypercare_exit_criteria"])
    last = {one["id"] for one in found["hypercare_checklist"] if "T+48h" in one["tags"]} | {"HYPERCARE-LOOKS", closing.INCIDENTS}
    last |= {one["id"] for one in found["hypercare_objectives"]}
    assert {id for one in wanted for id in one.checks} <= last
