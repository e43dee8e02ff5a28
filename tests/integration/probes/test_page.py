# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe page with a real Chromium: pages that are well, pages that are not, and what is left of the browser afterwards."""

from __future__ import annotations

import glob
import http.server
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import LibraryMissing, ProbeError
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Secret
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes import _browser, page
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation
from ansible_collections.golive.cutover.plugins.module_utils.probes.page import PageProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from tests.conftest import _tool, wait_until
from tests.integration.probes.looking import look, mistakes, read, refused

PROBE = PageProbe()
ROOT = Path(__file__).resolve().parents[3]
ENOUGH = 40.0
"""Seconds for a look on a machine that is busy with other tests."""

#: One browser at a time is enough for two cores.
pytestmark = pytest.mark.xdist_group("browser")

FORM = """<title>Form</title><h1 id="head">Latency 1,042.5 ms</h1>
<label>Name <input id="name"></label> <input id="word" type="text"> <input id="tick" type="checkbox">
<select id="colour"><option value="r">Red</option><option value="g">Green</option></select>
<button id="live" aria-pressed="false">Live</button> <span id="badge" hidden>Streaming</span> <p id="echo"></p>
<p class="row">one</p><p class="row">two</p><p class="row" hidden>three</p>
<script>
  const by = (id) => document.getElementById(id);
  by('live').onclick = () => {
    const on = by('live').getAttribute('aria-pressed') !== 'true';
    by('live').setAttribute('aria-pressed', on);
    setTimeout(() => { by('badge').hidden = !on; }, 120);
  };
  for (const id of ['name', 'word', 'colour', 'tick'])
    by(id).oninput = () => { by('echo').textContent = `${by('name').value} ${by('colour').value} ${by('tick').checked}`; };
  by('name').onkeydown = (event) => { if (event.key === 'Enter') by('echo').textContent = 'sent'; };
</script>"""
PAGES = {
    "/": "<title>Plain</title><body><h1>Hello</h1></body>",
    "/form": FORM,
    "/late": "<div id=x></div><script>setTimeout(() => { document.body.innerHTML += '<b id=there>here</b>' }, 700)</script>",
    "/errors": """<h1>Errors</h1><img src="/missing.png"><script>
        setTimeout(() => { throw new Error('first boom') }, 10); Promise.reject(new Error('second boom'));
        console.error('said so'); fetch('/refused-later').catch(() => {}); new WebSocket('ws://' + location.host + '/none');
      </script>""",
    "/endless": "<h1>Busy</h1><script>setTimeout(() => { for (;;); }, 50)</script>",
    "/dialogs": """<h1>Asks</h1><p id=said></p><script>setTimeout(() => {
        alert('hello'); document.getElementById('said').textContent = confirm('really?') ? 'yes' : 'no' }, 10)</script>""",
    "/flood": """<h1>Flood</h1><script>const long = 'x'.repeat(5000); let n = 0;
        setInterval(() => { for (let i = 0; i < 20; i += 1) console.error(long + n++) }, 20)</script>""",
    "/many": "<h1>Many</h1><script>const many = Number(location.search.slice(1));"
    "for (let i = 0; i < many; i += 1) console.log('line', i); console.error('last words')</script>",
    "/tokens": """<h1>Tokens</h1><img src='http://ada:eyJuser@localhost:1/x.png'><script>
        const token = 'eyJ' + btoa('minted here');
        new WebSocket('ws://' + location.host + '/none?access_token=' + token);
        fetch('/refused-later?token=' + token).catch(() => {}); fetch('http://localhost:1/x?token=' + token).catch(() => {});
        console.error('cannot reach "wss://h/stream?access_token=' + token + '".');
        setTimeout(() => { throw new Error('no answer from https://h/api#' + token) }, 10);
        window.open('/?token=' + token); history.pushState({}, '', '/tokens?token=' + token + '#' + token);
      </script>""",
    "/elsewhere": "<h1>Far</h1><a id=far href='http://localhost:@PORT@/'>far</a><img src='http://localhost:@PORT@/x.png'>",
    "/echo": "<h1>Echo</h1><input id=secret><p id=out></p><script>document.getElementById('secret').oninput = (event) => {"
    "document.getElementById('out').textContent = event.target.value; console.error('typed ' + event.target.value);"
    "fetch('/none?word=' + encodeURIComponent(event.target.value)); document.title = event.target.value;"
    "setTimeout(() => { throw new Error('with ' + event.target.value) }) }</script>",
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves PAGES, and misbehaves at some addresses."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[tuple[str, dict[str, str]]]] = []

    @property
    def port(self) -> int:
        return int(self.connection.getsockname()[1])

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.seen.append((self.path, dict(self.headers.items())))
        if path == "/redirect":
            self._answer(302, b"", {"Location": f"http://localhost:{self.port}/"})
        elif path == "/download":
            self._answer(200, b"PK" * 500, {"Content-Type": "application/zip", "Content-Disposition": "attachment; filename=a.zip"})
        elif path == "/never":
            time.sleep(30)
        elif path == "/private":
            if self.headers.get("Authorization") is None:
                self._answer(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
            else:
                self._answer(200, b"<h1>Inside</h1>")
        elif path in PAGES:
            self._answer(200, PAGES[path].replace("@PORT@", str(self.port)).encode())
        else:
            self._answer(404, b"<h1>No such page</h1>")

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/html; charset=utf-8", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def chromium() -> str:
    _tool("debs.py", "chromium")
    return str(ROOT / ".cache/bin/chromium")


def rooms() -> set[str]:
    return set(glob.glob(os.path.join(tempfile.gettempdir(), "golive-page-*")))


@pytest.fixture
def visit(chromium: str, site: str) -> Iterator[Callable[..., Observation]]:
    """Look at a path of the site, quickly; afterwards nothing of any browser is left."""
    before = rooms()

    def visited(path: str, timeout: float = ENOUGH, **options: Any) -> Observation:
        return look(PROBE, timeout, **{"url": site + path, "browser": chromium, "warm_up": False, "watch": "200ms", **options})

    yield visited
    wait_until(lambda: not _browser.marked("golive-page-"), 5, "the end of every browser process")
    assert rooms() <= before


# -- what is measured --------------------------------------------------------------------------------------------------


def test_a_page_that_is_well(visit: Callable[..., Observation]) -> None:
    seen = visit("/", warm_up=True, selectors={"head": "h1", "none": "#none"})
    m = seen.measures
    assert (m["status"], m["ready"], m["title"], m["count.head"], m["visible.head"]) == (200, True, "Plain", 1, 1)
    assert [m[name] for name in ("js_errors", "console_errors", "failed_requests", "blocked_requests", "dialogs")] == [0] * 5
    assert 0 < float(m["first_byte"]) <= float(m["render_time"]) < 20
    assert (m["text.head"], m["count.none"]) == ("Hello", 0)
    assert seen.missing["text.none"] == "there is no such element"
    assert seen.missing["number.head"] == "there is no number in 'Hello'"
    picture = seen.artefacts[0]
    assert (picture.name, picture.media_type) == ("page.jpg", "image/jpeg")
    assert picture.content.startswith(b"\xff\xd8\xff")
    assert len(picture.content) < 200_000
    assert seen.proof["screenshot"] == "page.jpg"


def test_the_render_time_is_that_of_the_selector(visit: Callable[..., Observation]) -> None:
    seen = visit("/late", ready="#there", within="20s")
    assert 0.7 <= float(seen.measures["render_time"]) < 10
    assert float(seen.measures["first_byte"]) < 0.7


def test_a_selector_that_is_never_shown_is_a_fact_and_no_time(visit: Callable[..., Observation]) -> None:
    seen = visit("/", ready="#nothing", within="300ms", screenshot=False)
    assert seen.measures["ready"] is False
    assert seen.missing["render_time"] == "'#nothing' was not shown within 0.3 s"
    assert not seen.artefacts


def test_errors_and_failed_requests_are_counted_with_the_first_of_each(visit: Callable[..., Observation]) -> None:
    seen = visit("/errors", watch="1s")
    m = seen.measures
    assert (m["js_errors"], m["websockets"]) == (2, 1)
    assert {"first boom", "second boom"} == set(seen.proof["js_errors"])
    assert "said so" in seen.proof["console_errors"]
    said = " ".join(seen.proof["failed_requests"])
    assert "/missing.png: 404" in said
    assert "/refused-later: 404" in said
    assert "WebSocket ws://" in said


def test_a_status_is_an_answer(visit: Callable[..., Observation]) -> None:
    seen = visit("/nothing-here")
    assert (seen.measures["status"], seen.measures["failed_requests"]) == (404, 0)


def test_credentials_and_headers(visit: Callable[..., Observation], canary: str) -> None:
    with pytest.raises(ProbeError, match="asks for a user name and a password"):
        visit("/private")
    Handler.seen.clear()
    seen = visit("/private", username="ada", password=Secret(canary), headers={"X-Token": Secret(canary)})
    assert seen.measures["status"] == 200
    assert any(headers.get("X-Token") == canary for _path, headers in Handler.seen)
    assert canary not in repr(seen)


@pytest.mark.parametrize("path", ["/elsewhere", "/redirect", "/errors"])
def test_headers_go_to_the_origin_of_the_url_alone(visit: Callable[..., Observation], site: str, canary: str, path: str) -> None:
    Handler.seen.clear()
    visit(path, headers={"X-Token": Secret(canary)}, allow_hosts="localhost", warm_up=True, watch="1s")
    own = [(path, headers) for path, headers in Handler.seen if f"http://{headers['Host']}" == site]
    others = [headers for _path, headers in Handler.seen if headers["Host"].startswith("localhost:")]
    without = {path for path, headers in own if headers.get("X-Token") != canary}
    assert without <= {"/none", "/favicon.ico"}  # a WebSocket, and what the browser asks for by itself
    assert not [headers for headers in others if "X-Token" in headers]
    assert own
    assert others or path == "/errors"


def test_a_header_that_cannot_be_sent_is_no_answer_without_it(visit: Callable[..., Observation], site: str) -> None:
    Handler.seen.clear()
    with pytest.raises(ProbeError, match="the page could not be opened"):
        visit("/", headers={"X-Token": "a\nb"})
    assert not Handler.seen


def test_what_a_page_puts_into_its_addresses_is_not_told(visit: Callable[..., Observation]) -> None:
    seen = visit("/tokens", watch="2s")
    told = repr((seen.proof, seen.missing, seen.measures))
    assert "eyJ" not in told
    assert "token=" not in told
    assert 'cannot reach "wss://h/stream".' in seen.proof["console_errors"]
    assert seen.proof["js_errors"] == ["no answer from https://h/api"]
    assert seen.proof["websockets"][0].endswith("/none")
    assert seen.proof["address"].endswith("/tokens")
    assert any(said.endswith("/refused-later: 404") for said in seen.proof["failed_requests"])
    assert "GET http://localhost:1/x" in seen.proof["blocked_requests"]


# -- the script --------------------------------------------------------------------------------------------------------


def test_every_step_of_the_grammar(visit: Callable[..., Observation]) -> None:
    steps: list[dict[str, Any]] = [
        {"go": "/form", "name": "open"},
        {"fill": "#name", "with": "Ada"},
        {"select": "#colour", "option": "Green"},
        {"toggle": "#tick", "to": True, "name": "tick"},
        {"toggle": "#tick", "to": True, "name": "tick_again"},
        {"expect_text": "#echo", "equals": "Ada g true"},
        {"expect_text": "#echo", "matches": "^Ada"},
        {"toggle": "#live", "name": "live"},
        {"wait_for": "#badge", "name": "badge"},
        {"wait_text": "Streaming", "in": "#badge"},
        {"click": "#live"},
        {"wait_for": "#badge", "state": "hidden"},
        {"press": "Enter", "at": "#name"},
        {"expect_text": "#echo", "contains": "sent"},
        {"press": "Tab"},
    ]
    seen = visit("/", steps=steps, selectors={"rows": ".row", "echo": "#echo", "head": "#head", "name": "#name"})
    m = seen.measures
    assert (m["script"], m["steps"]) == ("completed", len(steps))
    assert float(m["time.badge"]) >= 0.05
    assert float(m["script_time"]) == pytest.approx(sum(float(v) for k, v in m.items() if k.startswith("time.")))
    assert (m["count.rows"], m["visible.rows"], m["text.rows"]) == (3, 2, "one")
    assert (m["text.echo"], m["number.head"], m["text.name"]) == ("sent", 1042.5, "Ada")
    assert seen.document["rows"]["attributes"] == {"class": "row"}


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ({"click": "#none"}, "step bad: #none: there is no such element, within 0.5 s"),
        ({"click": "#badge"}, "step bad: #badge: the element is not shown, within 0.5 s"),
        ({"wait_for": "#badge"}, "step bad: #badge: the element is not shown, within 0.5 s"),
        ({"toggle": "#head"}, "step bad: #head is neither a checkbox nor has it aria-pressed or aria-checked"),
        ({"go": "/nothing"}, "step bad: the answer has status 404"),
        ({"go": "http://localhost:1/"}, "step bad: localhost is not named by allow_hosts"),
        (
            {"expect_text": "#head", "equals": "Latency"},
            "step bad: #head equals not 'Latency' within 0.5 s; it has 'Latency 1,042.5 ms'",
        ),
        ({"wait_text": "Never", "in": "#none"}, "step bad: #none does not contain 'Never' within 0.5 s; there is no such element"),
    ],
)
def test_a_step_that_fails_ends_the_script_and_says_why(visit: Callable[..., Observation], step: dict[str, Any], why: str) -> None:
    last = {"fill": "#name", "with": "tidy", "cleanup": True, "name": "tidy"}
    steps = [{**step, "name": "bad", "within": "500ms"}, {"click": "#live", "name": "after"}, last]
    seen = visit("/form", steps=steps, selectors={"name": "#name"})
    assert seen.measures["script"] == why
    assert seen.measures["steps"] == (0 if "go" in step and step["go"] == "/nothing" else 1)
    assert why in seen.missing["time.bad"]
    assert why in seen.missing["time.after"]
    if "go" not in step:
        assert seen.measures["text.name"] == "tidy"


def test_a_script_without_enough_time_was_not_measured(visit: Callable[..., Observation]) -> None:
    steps = [{"wait_for": "#never", "within": "60s", "name": "slow"}, {"fill": "#name", "with": "tidy", "cleanup": True}]
    seen = visit("/form", timeout=10, steps=steps, selectors={"name": "#name"})
    assert seen.missing["script"] == "the time of the check was over in step slow"
    assert "script" not in seen.measures
    assert seen.measures["text.name"] == "tidy"  # what cleans up had its time


@pytest.mark.parametrize(("answer", "said"), [("dismiss", "no"), ("accept", "yes")])
def test_a_page_that_asks(visit: Callable[..., Observation], answer: str, said: str) -> None:
    seen = visit("/dialogs", dialogs=answer, steps=[{"expect_text": "#said", "matches": "yes|no"}], selectors={"said": "#said"})
    assert (seen.measures["dialogs"], seen.measures["text.said"]) == (2, said)
    assert seen.proof["dialogs"] == ["alert: hello", "confirm: really?"]


# -- where it may go ---------------------------------------------------------------------------------------------------


def test_another_host_is_not_reached(visit: Callable[..., Observation], chromium: str, site: str) -> None:
    def why(path: str) -> str:
        return refused(PROBE, ENOUGH, url=site + path, browser=chromium, warm_up=False)

    Handler.seen.clear()
    assert why("/redirect") == "the page went to localhost, which allow_hosts does not name"
    assert [path for path, _headers in Handler.seen] == ["/redirect"]
    seen = visit("/elsewhere")
    assert (seen.measures["blocked_requests"], seen.measures["failed_requests"]) == (1, 0)
    seen = visit("/redirect", allow_hosts="localhost")
    assert seen.proof["address"].startswith("http://localhost:")


# -- what does not come about ------------------------------------------------------------------------------------------


def test_what_is_no_page(visit: Callable[..., Observation], chromium: str, site: str, free_port: Callable[[], int]) -> None:
    def why(url: str, timeout: float = ENOUGH) -> str:
        return refused(PROBE, timeout, url=url, browser=chromium, warm_up=False, watch="100ms")

    assert why(site + "/download") == "the address is not a page but a download"
    assert "net::ERR_CONNECTION_REFUSED" in why(f"http://127.0.0.1:{free_port()}/")
    assert why(site + "/never", 8).startswith("the page did not answer within")


def test_an_endless_page_is_cut_off(visit: Callable[..., Observation], chromium: str, site: str) -> None:
    said = refused(PROBE, 10, url=site + "/endless", browser=chromium, warm_up=False, within="30s", ready="#never")
    assert "was cut off" in said or "was not shown" in said


def test_a_flood_of_messages_is_counted_and_not_kept(visit: Callable[..., Observation]) -> None:
    seen = visit("/flood", watch="1s")
    assert float(seen.measures["console_errors"]) > 20
    assert len(json.dumps(seen.proof)) < 4000


def test_errors_behind_many_messages_are_counted(visit: Callable[..., Observation]) -> None:
    seen = visit("/many?1500", watch="1s")
    assert (seen.measures["console_errors"], seen.proof["console_errors"]) == (1, ["last words"])


def test_errors_behind_a_flood_are_not_known_to_be_none(visit: Callable[..., Observation]) -> None:
    seen = visit(f"/many?{_browser.FLOOD + 100}", watch="2s")
    assert "console_errors" not in seen.measures
    assert seen.missing["console_errors"].startswith(f"the page wrote {_browser.FLOOD} messages to its console, and what")
    assert (seen.measures["js_errors"], seen.measures["status"]) == (0, 200)


def test_a_watch_that_is_cut_short_has_not_seen_that_nothing_happened(visit: Callable[..., Observation]) -> None:
    seen = visit("/", timeout=10, watch="60s")
    assert 0 < float(seen.proof["watched"]) < 10
    for name in ("js_errors", "console_errors", "failed_requests", "blocked_requests"):
        assert name not in seen.measures
        assert seen.missing[name].startswith("the time of the check was over: the page was watched for ")
    assert seen.measures["status"] == 200
    seen = visit("/errors", timeout=10, watch="60s")
    assert seen.measures["js_errors"] == 2  # what was seen was seen
    assert "blocked_requests" in seen.missing


@pytest.mark.parametrize(
    ("said", "ended"),
    [
        ("Page.goto: Target page, context or browser has been closed\nCall log:", True),
        ("Connection closed while reading from the driver", True),
        ("Page.goto: net::ERR_CONNECTION_CLOSED at http://127.0.0.1/", False),
        ("Page.click: Timeout 30000ms exceeded.\n - the dialog has been closed", False),
    ],
)
def test_a_browser_that_ended_is_no_server_that_closes(said: str, ended: bool) -> None:
    assert _browser._ended(Exception(said)) is ended


def test_a_browser_that_is_killed(visit: Callable[..., Observation], chromium: str, site: str) -> None:
    killed: list[int] = []

    def kill() -> None:
        ends = time.monotonic() + ENOUGH
        while time.monotonic() < ends and not killed:
            for pid in _browser.marked("golive-page-"):
                command = Path(f"/proc/{pid}/cmdline").read_bytes() if Path(f"/proc/{pid}").exists() else b""
                if b"--remote-debugging-pipe" in command and b"--type=" not in command:
                    time.sleep(1.0)
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
            time.sleep(0.05)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    begun = time.monotonic()
    said = refused(PROBE, ENOUGH, url=site + "/", browser=chromium, warm_up=False, ready="#never", within="30s")
    killer.join(5)
    assert killed
    assert said == "the browser ended while it was looked at"
    assert time.monotonic() - begun < 30


def test_who_asked_is_killed(visit: Callable[..., Observation], chromium: str, site: str) -> None:
    """Not even then is a browser left."""
    options = {"url": site + "/", "browser": chromium, "warm_up": False, "ready": "#never", "within": "60s"}
    script = (
        "import time\n"
        "from ansible_collections.golive.cutover.plugins.module_utils.core.options import read_options\n"
        "from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context\n"
        "from ansible_collections.golive.cutover.plugins.module_utils.probes.page import PageProbe\n"
        f"options = read_options({options!r}, PageProbe.options, 'page', [])\n"
        "PageProbe().look(options, Context(deadline=time.monotonic() + 60))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".cache/collections")}
    before = rooms()
    process = subprocess.Popen([sys.executable, "-c", script], env=environment)
    wait_until(lambda: len(_browser.marked("golive-page-")) >= 4, ENOUGH, "the browser")
    process.kill()
    process.wait()
    wait_until(lambda: not _browser.marked("golive-page-"), 10, "the end of every browser process")
    wait_until(lambda: rooms() <= before, 5, "the end of its directory")


def test_stop_ends_it(visit: Callable[..., Observation], chromium: str, site: str) -> None:
    options = read(PROBE, {"url": site + "/", "browser": chromium, "warm_up": False, "ready": "#never", "within": "30s"})
    context = Context(deadline=time.monotonic() + ENOUGH)
    threading.Timer(2.0, context.stop.set).start()
    begun = time.monotonic()
    with pytest.raises(ProbeError, match="was cut off"):
        PROBE.look(options, context)
    assert time.monotonic() - begun < 5


def test_a_look_that_waits_for_others_ends_in_time(monkeypatch: pytest.MonkeyPatch, chromium: str, site: str) -> None:
    taken = threading.BoundedSemaphore(1)
    taken.acquire()
    monkeypatch.setattr(page, "_PLACE", taken)
    assert "waited for other page checks" in refused(PROBE, 0.5, url=site, browser=chromium)


def test_without_a_browser_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, site: str) -> None:
    assert refused(PROBE, url=site, browser="/nowhere/chromium") == "there is no browser at /nowhere/chromium"
    monkeypatch.setattr(page, "_PLACES", ())
    monkeypatch.setenv("PATH", "/nowhere")
    said = refused(PROBE, url=site)
    assert said.startswith("no browser was found (looked for chromium, ")
    assert "install one, such as the package chromium" in said
    assert "could not be started" in refused(PROBE, 20, url=site, browser="/bin/false")


def test_without_the_library_it_says_so(monkeypatch: pytest.MonkeyPatch, site: str) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LibraryMissing, match="playwright"):
        look(PROBE, url=site)


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_a_secret_that_is_typed_is_nowhere(visit: Callable[..., Observation], chromium: str, site: str, canary: str) -> None:
    secret = f"{canary}/ü &x"
    raw = {
        "id": "UI-9",
        "page": {
            "url": site + "/echo",
            "browser": chromium,
            "warm_up": False,
            "steps": [
                {"fill": "#secret", "with": {"secret": "word"}},
                {"expect_text": "#out", "equals": "other", "within": "200ms"},
            ],
            "selectors": {"out": "#out", "field": "#secret"},
        },
        "expect": {"script": "== completed", "text.out": "== x", "text.field": "== x", "title": "== x", "js_errors": "== 0"},
        "timeout": f"{ENOUGH}s",
    }
    kept: list[Any] = []
    verdict = run_checks(read_checks([raw], PROBES, {"word": secret}), PROBES, kept=kept)[0]
    assert verdict["status"] == "fail", verdict
    assert "***" in verdict["reason"]
    assert verdict["proof"]["js_errors"] == ["with ***"]
    assert canary not in json.dumps(verdict, ensure_ascii=False)
    assert [one.name for one in kept] == ["page.jpg"]
    assert verdict["artefacts"] == [kept[0].record()]


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_every_mistake_is_named_at_once() -> None:
    said = mistakes(
        PROBE,
        {
            "url": "ftp://x/",
            "viewport": "big",
            "allow_hosts": ["a b"],
            "selectors": {"a-b": "#x", "ok": 7},
            "wait": "1s",
            "steps": [
                {"clik": "#x"},
                {"click": "#x", "fill": "#y"},
                {"fill": "#x"},
                {"click": 3, "within": "5"},
                {"expect_text": "#x", "equals": "a", "contains": "b"},
                {"expect_text": "#x", "matches": "("},
                {"wait_for": "#x", "state": "gone", "name": "a b"},
                "click",
            ],
        },
    )
    text = "\n".join(said)
    assert len(said) == 6
    for part in (
        "page.url: expected a URL",
        "page.viewport: expected WIDTHxHEIGHT",
        "page.allow_hosts: expected the name",
        "a-b: expected a name",
        "ok: expected a text",
        "page.wait: unknown key, did you mean 'watch'?",
        "step 1: expected exactly one of go, click, fill",
        "wait_for, wait_text, expect_text, got click and fill",
        "step 3: step.with: is missing",
        "step 4: step.click: expected a text, got 3; step.within:",
        "step 5: step: expected exactly one of equals, contains, matches, got equals and contains",
        "step 6: step.matches: '(' is not a regular expression",
        "step 7: step.state: expected one of visible",
        "step 8: expected a mapping",
    ):
        assert part in text, part


def test_names_of_steps_are_unique_and_credentials_belong_together() -> None:
    steps = [{"click": "#x", "name": "a"}, {"click": "#y", "name": "a"}]
    assert "stands twice" in mistakes(PROBE, {"url": "http://x/", "steps": steps})[0]
    assert mistakes(PROBE, {"url": "http://x/", "username": "a"}) == ["username and password belong together"]


def test_only_the_measures_of_the_options_are_known() -> None:
    options = read(PROBE, {"url": "http://x/", "selectors": {"a": "#a"}, "steps": [{"click": "#x", "name": "b"}, {"press": "Tab"}]})
    known = PROBE.measures_for(options)
    assert {"count.a", "text.a", "time.b", "time.step2", "script"} <= set(known)
    assert "script" not in PROBE.measures_for(read(PROBE, {"url": "http://x/"}))
