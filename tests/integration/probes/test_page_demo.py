# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual checks of the runbooks, done by the probe page on the reference application, and what only it can see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Observation
from ansible_collections.golive.cutover.plugins.module_utils.probes.page import PageProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from tests.conftest import CACHE, ROOT, _tool
from tests.integration.demo.conftest import App, Spark, spark
from tests.integration.probes.looking import look

__all__ = ["spark"]

PROBE = PageProbe()
pytestmark = pytest.mark.xdist_group("browser")
#: Made to fail below.
PAGE_OF_THE_WATCH = "HC-52"
MADE_TO_FAIL = {"spark_ta": {PAGE_OF_THE_WATCH}}
WS = {"ready": "#spread", "selectors": {"pill": "#pill", "updates": "#spread"}}


@pytest.fixture
def visit() -> Iterator[Callable[..., Observation]]:
    _tool("debs.py", "chromium")

    def visited(app: App, path: str, **options: Any) -> Observation:
        return look(PROBE, 60.0, **{"url": app.url + path, "browser": str(CACHE / "bin/chromium"), "within": "15s", **options})

    yield visited


def clean(seen: Observation) -> None:
    assert seen.measures.get("script", "completed") == "completed", seen
    assert [seen.measures[name] for name in ("status", "ready", "js_errors", "console_errors", "failed_requests")] == [
        200,
        True,
        0,
        0,
        0,
    ], seen


CHART = {
    "ready": "#chart[data-candles]",
    "steps": [
        {"toggle": "#live", "to": True},
        {"wait_text": "⚡ Streaming", "in": "#badge", "name": "badge"},
        {"wait_for": "#chart[data-ticks]"},
        {"toggle": "#bollinger", "to": True},
        {"wait_for": '#chart[data-overlays~="bollinger"]'},
        {"toggle": "#fibonacci", "to": True},
        {"wait_for": '#chart[data-overlays~="fibonacci"]'},
    ],
    "selectors": {"badge": "#badge", "symbol": "#symbol", "timeframe": "#timeframe"},
}


def test_the_chart_goes_live_and_has_its_indicators(spark: Spark, visit: Callable[..., Observation]) -> None:
    seen = visit(spark.start("web"), "/technical-analysis", **CHART)
    clean(seen)
    m = seen.measures
    assert (m["text.badge"], m["visible.badge"], m["text.symbol"], m["text.timeframe"]) == ("⚡ Streaming", 1, "BTCUSDT", "1h")
    assert 0 < float(m["render_time"]) < 15
    assert seen.artefacts


def test_an_alert_is_made_switched_and_deleted(spark: Spark, visit: Callable[..., Observation]) -> None:
    row = "#alerts tr:has-text('made by a check')"
    seen = visit(
        spark.start("web"),
        "/alerts",
        ready="#alerts[data-loaded]",
        steps=[
            {"click": "#create", "name": "create"},
            {"select": "#form [name=symbol]", "option": "ETHUSDT"},
            {"fill": "#form [name=threshold]", "with": 1},
            {"fill": "#form [name=note]", "with": "made by a check"},
            {"click": "text=Save"},
            {"wait_for": row, "name": "listed"},
            {"click": f"{row} >> text=Disable"},
            {"expect_text": f"{row} >> .state", "equals": "Disabled"},
            {"click": f"{row} >> text=Enable"},
            {"expect_text": f"{row} >> .state", "equals": "Enabled"},
            {"click": f"{row} >> text=History"},
            {"wait_text": "not triggered yet", "in": "#events"},
            {"click": "#close-history"},
            {"click": f"{row} >> text=Delete", "cleanup": True},
            {"wait_for": row, "state": "detached", "name": "gone"},
        ],
        selectors={"rows": "#alerts tbody tr", "count": "#count"},
    )
    clean(seen)
    assert (seen.measures["count.rows"], seen.measures["number.count"]) == (0, 0)


def test_the_pill_says_what_became_of_the_websocket(spark: Spark, visit: Callable[..., Observation]) -> None:
    open_ = {"wait_for": '#pill[data-state="OPEN"][data-latency]', "name": "open"}
    seen = visit(spark.start("web"), "/btcturk", steps=[open_, {"wait_for": "#spread:not([data-updates='0'])"}], **WS)
    clean(seen)
    pill = seen.document["pill"]["attributes"]
    assert (seen.measures["text.pill"], seen.measures["websockets"], pill["data-reconnects"]) == ("WS", 1, "0")
    assert 0 < float(pill["data-latency"]) < 1000
    assert int(pill["data-event-p95"]) < 1000
    assert "latency" in pill["title"]


def test_with_the_flag_off_there_is_no_websocket(spark: Spark, visit: Callable[..., Observation]) -> None:
    web = spark.start("web", WS_ENABLED="false")
    seen = visit(web, "/btcturk", steps=[{"wait_text": "Canl\u0131", "in": "#pill"}], **WS)
    clean(seen)
    assert (seen.measures["websockets"], seen.document["updates"]["attributes"]["data-updates"] != "0") == (0, True)


def test_a_websocket_that_is_dropped_is_seen_on_the_pill(spark: Spark, visit: Callable[..., Observation]) -> None:
    web = spark.start("web", "1.1.0-ws-dropped")
    seen = visit(web, "/btcturk", steps=[{"wait_for": '#pill[data-state="OPEN"]', "within": "3s", "name": "open"}], **WS)
    assert str(seen.measures["script"]).startswith("step open: ")
    assert int(seen.document["pill"]["attributes"]["data-reconnects"]) >= 1
    assert seen.measures["text.pill"] in ("WS✗", "WS↻")
    assert web.metric("websockets_reconnects_total") >= 1


@pytest.mark.usefixtures("visit")
def test_the_page_check_of_the_watch_passes_a_good_release_and_fails_a_script_that_ends(spark: Spark) -> None:
    """HC-52 of inventories/spark_ta as it stands there, but for address and browser."""
    text = (ROOT / "inventories/spark_ta/group_vars/all/hypercare.yml").read_text(encoding="utf-8")
    [check] = yaml.safe_load(text)["spark_page_checklist"]
    assert check["id"] == PAGE_OF_THE_WATCH
    del check["critical"]  # a busy machine is slow
    found = []
    for release in ("1.0.0", "1.1.0-js-error"):
        address = f"{spark.start('web', release).url}/technical-analysis"
        check["page"] = {**check["page"], "url": address, "browser": str(CACHE / "bin/chromium"), "within": "15s"}
        found += run_checks(read_checks([check], PROBES), PROBES)
    assert found[0]["status"] in ("pass", "warn"), found
    assert (found[1]["status"], "js_errors is 1" in found[1]["reason"]) == ("fail", True), found


@pytest.mark.parametrize("path", ["/technical-analysis", "/alerts", "/btcturk"])
def test_an_error_in_a_script_is_seen_by_this_probe(spark: Spark, visit: Callable[..., Observation], path: str) -> None:
    seen = visit(spark.start("web", "1.1.0-js-error"), path)
    assert (seen.measures["status"], seen.measures["failed_requests"], seen.measures["js_errors"]) == (200, 0, 1)
    assert seen.proof["js_errors"] == ["Cannot set properties of null (setting 'value')"]
