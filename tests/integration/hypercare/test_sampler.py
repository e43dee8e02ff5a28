# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sampler: one look, as a task, and as a program of its own, and what it costs."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import Clock
from ansible_collections.golive.cutover.plugins.module_utils.hypercare import bundle, program, sampler
from ansible_collections.golive.cutover.plugins.module_utils.hypercare.judge import SAMPLER_CLOCK, SAMPLER_PAGE
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from ansible_collections.golive.cutover.plugins.module_utils.store import samples
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from tests.conftest import wait_until


class Pages:
    """A server of metrics pages that counts how often it was asked."""

    def __init__(self) -> None:
        self.text = ""
        self.status = 200
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                body = outer.text.replace("@N@", str(outer.asked)).encode()
                self.send_response(outer.status)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/metrics"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def pages() -> Iterator[Pages]:
    served = Pages()
    served.text = 'errors_total{code="500"} @N@\nerrors_total{code="502"} 1\nactive 7\n'
    yield served
    served.server.shutdown()
    served.server.server_close()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/golive.db"


def kept(address: str, environment: str = "spark") -> samples.Window:
    with open_store(address, environment) as store:
        return samples.read(store, lambda _key: True, time.time() - 3600, time.time() + 1)


def test_one_look_keeps_every_series_and_what_checks_measured(pages: Pages, address: str) -> None:
    checks = [{"id": "AV-1", "http": {"url": pages.url}, "expect": {"status": "== 200"}}]
    checks.append({"id": "AV-2", "tcp": {"port": 1}, "expect": {"open": "== true"}})
    asked = sampler.read_asked([{"name": "web", "url": pages.url}], checks, PROBES)
    seen = sampler.look(asked, PROBES)
    with open_store(address, "spark") as store:
        assert sampler.write(store, seen).looks == 3
    window = kept(address)
    values = {(key[0], *(one[1] for one in key[1])): points[-1].value for key, points in window.series.items()}
    assert values["errors_total", "500", "web"] in (1.0, 2.0)
    assert values["active", "web"] == 7
    assert values["golive_check_passed", "AV-1", "golive_checks"] == 1
    assert values["golive_check_passed", "AV-2", "golive_checks"] == 0, "what could not be measured did not pass"
    assert values["golive_check_measure", "AV-1", "status", "golive_checks"] == 200
    assert values["golive_sampler_page_read", "web", SAMPLER_PAGE] == 1
    assert values[SAMPLER_CLOCK, SAMPLER_PAGE] == pytest.approx(sampler.steady_clock(), abs=30)


def test_a_page_that_cannot_be_read_has_no_look_and_the_sampler_goes_on(pages: Pages, address: str) -> None:
    good, bad = {"name": "good", "url": pages.url}, {"name": "bad", "url": "http://127.0.0.1:1/metrics"}
    seen = sampler.look(sampler.read_asked([good, bad], [], PROBES), PROBES)
    assert [one.page for one in seen.looks] == ["good", SAMPLER_PAGE]
    assert "refused" in seen.failed["bad"]
    pages.text = "a 1\na 2\n"
    assert "twice" in sampler.look(sampler.read_asked([good], [], PROBES), PROBES).failed["good"]
    pages.status = 500
    assert "500" in sampler.look(sampler.read_asked([good], [], PROBES), PROBES).failed["good"]


def test_only_named_series_are_kept(pages: Pages) -> None:
    page = {"name": "web", "url": pages.url, "series": ["active", "~err.*"]}
    seen = sampler.look(sampler.read_asked([page], [], PROBES), PROBES)
    assert len(seen.looks[0].values) == 3
    seen = sampler.look(sampler.read_asked([{**page, "series": ["active"]}], [], PROBES), PROBES)
    assert list(seen.looks[0].values) == [("active", ())]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "neither a page nor a check"),
        ({"pages": [{"name": "a"}]}, r"pages\[a\].url"),
        ({"pages": [{"url": "http://a/"}, {"url": "http://a/"}]}, "stands twice"),
        ({"pages": [{"url": "http://a/", "series": ["~("]}]}, "regular expression"),
        ({"pages": [{"url": "http://a/", "name": SAMPLER_PAGE}]}, "writes itself"),
        ({"pages": [{"url": "http://a/"}], "every": "30"}, "every"),
        ({"pages": [{"url": "http://a/"}], "keep": "1s"}, "15 minutes"),
        ({"pages": [{"url": "http://a/"}], "store": "file:///x"}, "store"),
        ({"pages": [{"url": "http://a/"}], "environment": "a b"}, "environment"),
        ({"checks": [{"id": "x"}]}, "exactly one probe"),
        ({"pages": [{"url": "http://a/", "bearer": {"secret": "token"}}]}, "no secret named"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        program.read_settings({"store": "sqlite:///tmp/x.db", "environment": "spark", **settings})


def test_the_program_is_the_same_file_each_time_and_holds_what_it_imports(tmp_path: Path) -> None:
    found = bundle.build()
    assert found == bundle.build()
    assert f"{bundle.PACKAGE}.probes._net" in bundle.sources()
    assert not any("ansible_glue" in name for name in bundle.sources()), "it needs no Ansible"
    target = tmp_path / "sampler.pyz"
    target.write_bytes(found)
    # Nothing of the repository is on its path.
    done = subprocess.run(
        [sys.executable, str(target), "--help"], capture_output=True, text=True, check=False, cwd=tmp_path, env={"PATH": ""}
    )
    assert done.returncode == 0, done.stderr


class Place:
    """The program on a host, with its settings."""

    def __init__(self, directory: Path, address: str) -> None:
        self.target = directory / "sampler.pyz"
        self.target.write_bytes(bundle.build())
        self.settings = directory / "spark.json"
        self.address = address
        self.log = directory / "log"

    def say(self, **settings: Any) -> None:
        text = json.dumps({"store": self.address, "environment": "spark", "every": "1s", **settings})
        part = self.settings.with_suffix(".new")
        part.write_text(text, encoding="utf-8")
        os.replace(part, self.settings)

    def command(self, *more: str) -> list[str]:
        return [sys.executable, str(self.target), str(self.settings), *more]

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(self.command(), stderr=log, cwd=self.settings.parent)


@pytest.fixture
def place(tmp_path: Path, address: str) -> Place:
    return Place(tmp_path, address)


def test_the_program_looks_by_itself_alone_and_begins_anew_when_its_settings_change(pages: Pages, place: Place) -> None:
    place.say(pages=[{"name": "web", "url": pages.url}])
    running = place.start()
    try:
        wait_until(lambda: len(kept(place.address).looks.get("web", [])) >= 2, 30)
        second = subprocess.run(place.command(), timeout=30, check=False)
        assert second.returncode == 0, "the second one leaves the work to the first"
        pages.status = 500
        wait_until(lambda: "status 500" in place.log.read_text(), 30)
        pages.status = 200
        wait_until(lambda: "web: can be read again" in place.log.read_text(), 30)
        assert place.log.read_text().count("status 500") == 1, "it says a thing once"
        place.say(pages=[{"name": "other", "url": pages.url}])
        wait_until(lambda: "other" in kept(place.address).looks, 30)
        assert running.poll() is None, "it is the same process"
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0


def test_one_look_of_the_program_says_what_it_could_not_read(pages: Pages, place: Place) -> None:
    place.say(pages=[{"name": "web", "url": pages.url}])
    assert subprocess.run(place.command("--once"), timeout=60, check=False).returncode == 0
    place.say(pages=[{"name": "web", "url": "http://127.0.0.1:1/"}])
    done = subprocess.run(place.command("--once"), timeout=60, check=False, capture_output=True, text=True)
    assert (done.returncode, "web: " in done.stderr) == (1, True)
    place.settings.write_text("{}", encoding="utf-8")
    done = subprocess.run(place.command("--once"), timeout=60, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "store" in done.stderr


def test_200_series_cost_less_than_a_hundredth_of_a_core_and_50_mb(pages: Pages, place: Place) -> None:
    pages.text = "".join(f'requests_total{{path="/{number}"}} @N@{number}\n' for number in range(200))
    place.say(pages=[{"name": "web", "url": pages.url}])
    running = place.start()
    try:
        wait_until(lambda: pages.asked >= 3, 60)

        def spent() -> float:
            fields = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        asked, before = pages.asked, spent()
        wait_until(lambda: pages.asked >= asked + 8, 60)
        each = (spent() - before) / (pages.asked - asked)
        most = next(line for line in Path(f"/proc/{running.pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
        assert each / 30 < 0.01, f"{each:.3f} s of processor time for a look every 30 s"
        assert int(most.split()[1]) < 50_000, most
    finally:
        running.terminate()
        running.wait(30)


@pytest.mark.slow
@pytest.mark.xdist_group("sampler")
def test_it_does_not_grow_in_48_hours(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """5,760 looks at 200 series, one behind the other in this process: what a look leaves behind would be there 5,760 times. Every
    40th reads the page over HTTP; the rest are handed what it would say. On a disk in memory, or each look would wait for it."""
    pages.text = "".join(f'requests_total{{path="/{number}"}} @N@{number}\n' for number in range(200))
    looks, begun, read_page, collect = 5760, 1_763_700_000.0, sampler.read_page, gc.collect
    number, stop, resident, objects = 0, threading.Event(), [], []

    def now() -> float:
        return begun + number * 30.0

    def page_of(page: sampler.Page, context: Any) -> dict[samples.Key, float]:
        if number % 40 == 0:
            return read_page(page, context)
        return {("requests_total", (("path", f"/{one}"),)): float(number * 100 + one) for one in range(200)}

    def opened(address: str, environment: str) -> Any:
        store = open_store(address, environment)
        store._clock = now  # type: ignore[attr-defined]
        return store

    def after_a_look(*_generation: int) -> int:
        """The sampler collects after every look; here at each eighth of the time, when it is also weighed."""
        nonlocal number
        number += 1
        if number % (looks // 8) == 0:
            collect()
            resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
            objects.append(len(gc.get_objects()))
        if number == looks:
            stop.set()
        return 0

    monkeypatch.setattr(sampler, "read_page", page_of)
    monkeypatch.setattr(sampler, "Clock", lambda: Clock(now=now))
    monkeypatch.setattr("ansible_collections.golive.cutover.plugins.module_utils.store.registry.open_store", opened)
    monkeypatch.setattr("ansible_collections.golive.cutover.plugins.module_utils.hypercare.program.gc.collect", after_a_look)
    monkeypatch.setattr(stop, "wait", lambda _seconds: stop.is_set())
    said: list[str] = []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        raw: dict[str, Any] = {
            "store": f"sqlite://{place}/golive.db",
            "environment": "shop",
            "pages": [{"name": "web", "url": pages.url}],
        }
        assert program.run(program.read_settings(raw), stop, lambda: False, said.append) == "stopped"
        size = Path(place, "golive.db").stat().st_size
        with opened(raw["store"], "shop") as store:
            seventh = ("path", "/7")
            kept = samples.read(store, lambda key: seventh in key[1], begun - 60, begun + 49 * 3600, page="web")
    (points,) = kept.series.values()
    assert (said, number, len(points), pages.asked) == ([], looks, looks, looks / 40)
    # From six hours on: by then everything is loaded, and every cache is full.
    grown = max(resident[1:]) - resident[0], max(objects[1:]) - objects[0]
    assert grown[0] < 6_000_000, [f"{one / 1e6:.1f} MB" for one in resident]
    assert grown[1] < 2_000, objects
    assert size < 15_000_000, f"{size / 1e6:.1f} MB in the store"


def test_the_modules_put_it_there_and_look(pages: Pages, tmp_path: Path, address: str, run_module: Callable[..., Any]) -> None:
    page = {"name": "web", "url": pages.url}
    arguments = {"directory": str(tmp_path / "sampler"), "environment": "spark", "store": address, "pages": [page]}
    assert run_module("sampler", arguments, check=True)["changed"]
    assert not (tmp_path / "sampler").exists()
    there = run_module("sampler", arguments)
    assert there["changed"], there
    assert Path(there["settings"]).stat().st_mode & 0o777 == 0o600
    assert Path(there["program"]).read_bytes() == bundle.build(), "on a host it is the same program"
    assert not run_module("sampler", arguments)["changed"]
    done = subprocess.run([sys.executable, there["program"], there["settings"], "--once"], check=False, timeout=60)
    assert done.returncode == 0
    seen = run_module("sample", {"store": address, "environment": "spark", "pages": [page]})
    assert (seen["looks"], seen["refused"], seen["series"]["web"]) == (2, 0, 3)
    assert run_module("sample", {"store": address, "environment": "spark", "pages": [{"url": "http://127.0.0.1:1/"}]})["failed"]
    assert run_module("sampler", {**arguments, "state": "absent"})["changed"]
    assert list((tmp_path / "sampler").iterdir()) == []
