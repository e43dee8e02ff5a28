# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of websocket_migration that asks a running system, on the reference application: it passes, and it fails when what it
is about is wrong. What goes wrong is said by the real processes, or changed in what they say."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from ansible_collections.golive.cutover.plugins.module_utils.store import canaries
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from tests.conftest import CACHE, ROOT, _tool
from tests.integration.demo.conftest import Spark, spark
from tests.integration.inventories.asking import Checks, ill, unfound
from tests.integration.inventories.tampering import Fault, Tampered, body, document, growing, metric, says, sets, some
from tests.inventories import by_id, rendered

__all__ = ["spark"]
INVENTORY = "websocket_migration"
LISTS = ("cutover_checks", "hypercare_checklist", "hypercare_sampler_checks", "canary_check", "secrets_required", "secrets_values")
TOKEN = "3f1c07d2a95e4b68"


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A fault of a part, and what is found: ids, and words of their reasons."""

    part: str
    fault: Fault
    found: Mapping[str, str]


def many(name: str, **labels: str) -> str:
    """The pattern of a series."""
    return name + "".join(rf'\{{{key}="{value}"\}}' for key, value in labels.items())


HEALTH = "GET /api/public/health"
WRONG = [
    Wrong("web", Fault(HEALTH, sets(release="0.9.0")), {"SM-1": "release is 0.9.0", "HC-4": "release is 0.9.0"}),
    Wrong("web", Fault(HEALTH, says(503)), {"AV-WEB": "status is 503", "SM-1": "status is 503"}),
    Wrong("web", Fault(HEALTH, some(1, 50, says(500))), {"OBS-1": "error_ratio is 2 %"}),
    Wrong("executor", Fault("GET /health", sets(status="degraded")), {"SM-2": "health is degraded"}),
    Wrong("executor", Fault("GET /health", says(503)), {"AV-EXECUTOR": "status is 503"}),
    Wrong("executor", Fault("GET /health", some(1, 50, says(500))), {"OBS-2": "error_ratio is 2 %"}),
    Wrong("web", Fault("GET /api/public/btcturk/ticker", sets(bid=0)), {"SM-3": "quoted is false"}),
    Wrong("web", Fault("GET /static/build.js", body('"websocket": true', '"websocket": false')), {"SM-4": "body"}),
    Wrong("web", Fault("GET /btcturk", says(502)), {"AV-UI": "status is 502"}),
    Wrong("web", Fault("GET /btcturk", some(1, 20, says(502))), {"UI-1": "error_ratio is 5 %"}),
    Wrong("web", Fault("GET /api/canary", sets(status="FAIL")), {"AV-CANARY": "result is FAIL", "CANARY": "result is FAIL"}),
    Wrong(
        "web",
        Fault("GET /api/canary", document(lambda found: found["latency_ms"].update(max=1200))),
        {"CANARY": "critical when >= 1000"},
    ),
    Wrong("web", Fault("GET /metrics", growing(many("websockets_closed_total", by="server"), 1)), {"OBS-4": "dropped is"}),
    Wrong("web", Fault("GET /metrics", growing("websockets_reconnects_total", 1)), {"OBS-4": "critical when > 10/min"}),
    Wrong(
        "web", Fault("GET /metrics", metric(many("http_requests_total", status="5xx"), lambda _: 9)), {"OBS-5": "critical when > 5"}
    ),
    Wrong("web", Fault("GET /metrics", metric("websockets_connected", lambda _: 1)), {"RB-3": "value is 1"}),
]
DROPPED = {"WS-1": "messages is 0", "OBS-3": "messages is 0", "AV-WS": "unexpected_closes is 1"}
NOT_THERE = {"NGX-1": "count.map is 0", "NGX-2": "count.upgrade is 0"}
OTHERWISE = {"NGX-1": "count.upgrade is 0", "NGX-2": "count.timeouts is 0"}
LEFT_TO_FILL_IN = {"ENV-1": "placeholders is 1"}
READABLE = {"ENV-1": "mode is 0644"}
REFUSED = {"CN-1": "newest is fail", "CN-2": "pass_rate is"}

#: In a browser. The pill is green at first, and yellow when the answer to its question has come late.
DEGRADED = {"WS-2": "text.pill is WS!", "HC-1": "text.pill is WS!", "HC-2": "latency is"}
CLOSED = {"RB-1": "step pill", "WS-2": "step open"}
ON = {"RB-2": "step pill"}
#: Those of the watch. The others pass in the cutover, and WS-3 fails in it, in tests/e2e/test_websocket_migration.py.
GOOD = ("HC-1", "HC-2")

MADE_TO_FAIL = {
    INVENTORY: {id for wrong in WRONG for id in wrong.found}.union(
        DROPPED, NOT_THERE, OTHERWISE, LEFT_TO_FILL_IN, READABLE, REFUSED, DEGRADED, CLOSED, ON
    )
}


def template(name: str, **given: object) -> str:
    """What the role nginx_streaming writes for this inventory."""
    role = ROOT / "roles/nginx_streaming"
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text(encoding="utf-8"))
    text = (role / f"templates/{name}.j2").read_text(encoding="utf-8")
    headers = {"nginx_streaming_proxy_headers": defaults["nginx_streaming_proxy_headers"]}
    others = {"nginx_streaming_upstreams": [], "ansible_managed": "managed"}
    return str(rendered(INVENTORY, "written", written=text, **headers, **others, **given)["written"])


class Platform:
    """The web front and the executor, with what a cutover leaves on their host."""

    def __init__(self, home: Path, web: str, executor: str, socket: str, browser: str = "") -> None:
        self.home = home
        self.found = rendered(
            INVENTORY,
            *LISTS,
            cutover_store=f"sqlite://{home}/golive.db",
            cutover_home=str(home),
            cutover_base_url=web,
            cutover_expected_release="1.0.0",
            demo_home=str(home),
            spark_websocket_url=f"{socket.replace('http', 'ws')}/ws?symbol=BTCTRY",
            spark_executor_url=executor,
            spark_browser=browser or "/none",
        )
        quick = re.sub(
            r'"hold": "[234]s"', '"hold": "1200ms"', json.dumps(self.found).replace('"watch": "10s"', '"watch": "2500ms"')
        )
        found = json.loads(quick)
        self.all: Checks = by_id(*(found[name] for name in LISTS[:3]), [found["canary_check"]])
        self.all["OBS-4"]["metrics"].update(over="2s", every="400ms")
        self.checks = {id: one for id, one in self.all.items() if not {"window", "log"} & set(one)}

    def place(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)

    def configured(self) -> None:
        self.place("nginx/conf.d/websocket.conf", template("http.conf"))
        self.place("nginx/server.d/websocket.conf", template("server.conf"))
        self.environment()

    def environment(self, mode: int = 0o600, **values: str) -> None:
        lines = {**self.found["secrets_values"], **values}.items()
        self.place("releases/1.0.0/.env", "".join(f"{name}={value}\n" for name, value in lines), mode)

    def canary(self, *runs: str) -> None:
        with open_store(f"sqlite://{self.home}/golive.db", INVENTORY) as store:
            for number, one in enumerate(runs):
                canaries.add(store, "canary", f"{one}-{number}", "1.0.0", {"status": one, "reason": "because", "duration": 0.1})


def test_what_is_wrong_is_found_by_the_check_that_is_about_it(spark: Spark, tmp_path: Path) -> None:
    settings = {"SPARK_API_TOKEN": TOKEN}
    web, executor = spark.start("web", **settings), spark.start("executor", **settings)
    with contextlib.ExitStack() as stack:
        parts = {name: stack.enter_context(Tampered(one.url)) for name, one in (("web", web), ("executor", executor))}
        platform = Platform(tmp_path, parts["web"].url, parts["executor"].url, web.url)
        platform.configured()
        platform.canary("pass")
        asked = {id for id, one in platform.checks.items() if "page" not in one}
        assert asked <= MADE_TO_FAIL[INVENTORY], "each is made to fail below"
        # A socket of one check may be open while another asks whether none is.
        assert ill(platform.checks, asked - {"RB-3"}, spark_api_token=TOKEN) == {}
        assert ill(platform.checks, ["RB-3"]) == {}

        missed = []
        for wrong in WRONG:
            with parts[wrong.part].wrong(wrong.fault):
                found = unfound(platform.checks, wrong.found, spark_api_token=TOKEN)
                missed += [f"{wrong.fault.where}: {id} {why}" for id, why in found.items()]
        assert not missed, "\n".join(missed)

    # What the roles have left on the host, or would have with other settings.
    for name in ("conf.d", "server.d"):
        platform.place(f"nginx/{name}/websocket.conf", "location /ws {\n    proxy_pass http://spark_web;\n}\n")
    assert unfound(platform.checks, NOT_THERE) == {}
    slow = [{"path": "/ws", "kind": "websocket", "upstream": "http://spark_web", "read_timeout": "300s"}]
    platform.place("nginx/conf.d/websocket.conf", template("http.conf").replace("default upgrade", "default close"))
    platform.place("nginx/server.d/websocket.conf", template("server.conf", nginx_streaming_locations=slow))
    assert unfound(platform.checks, OTHERWISE) == {}
    platform.environment(SPARK_API_TOKEN="your_token_here")
    assert unfound(platform.checks, LEFT_TO_FILL_IN) == {}
    platform.environment(0o644)
    assert unfound(platform.checks, READABLE) == {}
    platform.canary("fail")
    assert unfound(platform.checks, REFUSED) == {}
    dropping = Platform(tmp_path, web.url, executor.url, spark.start("web", "1.1.0-ws-dropped").url)
    assert unfound(dropping.checks, DROPPED) == {}


def impatient(checks: Checks) -> Checks:
    """Does not wait as long for what will not come."""
    quick: Checks = json.loads(json.dumps(checks).replace('"within": "10s"', '"within": "3s"'))
    return quick


@pytest.mark.xdist_group("browser")
def test_what_a_person_would_see_is_seen_in_the_browser(spark: Spark, tmp_path: Path) -> None:
    _tool("debs.py", "chromium")

    def looked(release: str, **settings: str) -> Checks:
        web = spark.start("web", release, **settings).url
        return Platform(tmp_path, web, web, web, str(CACHE / "bin/chromium")).checks

    good = looked("1.0.0")
    assert ill(good, GOOD) == {}
    assert unfound(impatient(good), ON) == {}
    assert unfound(looked("1.1.0-ws-slow", SPARK_FAULT_WS_SLOW_SEC="1.5"), DEGRADED) == {}
    assert unfound(impatient(looked("1.1.0-ws-dropped")), CLOSED) == {}
