# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The process that drives a browser for the probe `page`: one page, one script of steps, one record of what was seen.

It is a process of its own, because a browser cannot be interrupted from a thread, and because all that belongs to it must be
found and ended: every process of a look carries its mark. The job comes as one line of JSON on standard input, never on the
command line; when standard input ends, whoever asked is gone, and everything ends. Answers are lines of JSON on standard
output: ``{"at": …}`` says what is being done, ``{"seen": …}`` or ``{"error": …}`` is the last one.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus, urljoin, urlsplit

MARK = "GOLIVE_PAGE"
"""The variable whose value all processes of one look have in their environment, and in the name of their directory."""

ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--js-flags=--max-old-space-size=512",
)
FLOOD = 5000
"""Messages of the console after which it is not listened to any more: each takes up to a millisecond, whatever it says."""
KEPT = 5
"""How many errors of a kind are kept in words; all are counted."""
LONGEST = 300
"""Characters of a message that are kept."""
LONGEST_TEXT = 2000
"""Characters of an element's text that are kept."""
LARGEST_PICTURE = 1_000_000
"""Bytes of a screenshot; a larger one is taken again in lower quality, and left out in the end."""
QUALITIES = (75, 45, 20)
CLOSING = 0.8
"""Seconds of a look that are kept for what comes after the script: reading the page, the picture."""
CLEANING = 0.5
"""Seconds that are kept for each step that cleans up, so that a script which is cut off leaves nothing behind."""
ABORTED = "net::ERR_ABORTED"

# Runs in the page before its own scripts. The time is that of the page's own clock, whose zero is the start of the navigation.
# A frame callback runs right before its frame is painted, so the time is right within one frame, and costs no round trip.
WATCH_RENDER = """(() => {
  if (window !== window.top) return;
  const selector = %s, state = { at: null };
  Object.defineProperty(window, '__goliveRender', { value: state });
  const shown = (element) => element.getClientRects().length > 0 && getComputedStyle(element).visibility === 'visible';
  const look = () => {
    if ([...document.querySelectorAll(selector)].some(shown)) state.at = performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})();"""
WATCH_PAINT = """(() => {
  if (window !== window.top) return;
  const state = { at: null };
  Object.defineProperty(window, '__goliveRender', { value: state });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (entry.name === 'first-contentful-paint') state.at = entry.startTime;
  }).observe({ type: 'paint', buffered: true });
})();"""
TIMINGS = """() => {
  const [all] = performance.getEntriesByType('navigation');
  const paint = performance.getEntriesByName('first-contentful-paint')[0];
  const when = (value) => value > 0 ? value / 1000 : null;
  return {
    render_time: window.__goliveRender ? when(window.__goliveRender.at) : null,
    first_byte: all ? when(all.responseStart) : null,
    dom_ready: all ? when(all.domContentLoadedEventEnd) : null,
    load_time: all ? when(all.loadEventEnd) : null,
    first_paint: paint ? when(paint.startTime) : null,
  };
}"""
ELEMENTS = """(elements) => {
  const shown = (element) => element.getClientRects().length > 0 && getComputedStyle(element).visibility === 'visible';
  const first = elements.find(shown) || elements[0];
  const own = first && /^(INPUT|TEXTAREA|SELECT|OUTPUT)$/.test(first.tagName);
  return {
    count: elements.length,
    visible: elements.filter(shown).length,
    text: first ? (own ? first.value : (shown(first) ? first.innerText : first.textContent) || '').slice(0, 20000) : null,
    attributes: first ? Object.fromEntries([...first.attributes].slice(0, 50).map((a) => [a.name, a.value.slice(0, 2000)])) : {},
  };
}"""
PRESSED = """(element) => {
  if (element.tagName === 'INPUT' && /^(checkbox|radio)$/.test(element.type)) return element.checked;
  const said = element.getAttribute('aria-pressed') ?? element.getAttribute('aria-checked');
  return said === null ? null : said === 'true';
}"""
# What a secret was typed into is hidden by its selector; this finds where the page shows it besides.
MARK_SECRETS = """(secrets) => {
  const holds = (text) => text && secrets.some((one) => text.includes(one));
  for (const element of document.querySelectorAll('input, textarea, select'))
    if (holds(element.value)) element.setAttribute('data-golive-hidden', '');
  const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
  while (walker.nextNode())
    if (holds(walker.currentNode.data)) walker.currentNode.parentElement.setAttribute('data-golive-hidden', '');
}"""


# -- processes ---------------------------------------------------------------------------------------------------------


def marked(mark: str) -> list[int]:
    """The processes that carry a mark, without this one. A browser rewrites what it shows of itself, so both places count."""
    found = []
    needle = mark.encode()
    if os.path.isdir("/proc/self"):
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            for place in ("environ", "cmdline"):
                with contextlib.suppress(OSError), open(f"/proc/{entry}/{place}", "rb") as stream:
                    if needle in stream.read():
                        found.append(int(entry))
                        break
        return found
    from ansible_collections.golive.cutover.plugins.module_utils import commands

    listed = commands.run(["ps", "-A", "-E", "-o", "pid=,command="], timeout=10).output.encode()
    for line in listed.splitlines():
        number = line.split(None, 1)[0] if line.strip() else b""
        if needle in line and number.isdigit() and int(number) != os.getpid():
            found.append(int(number))
    return found


def end_all(mark: str, rounds: int = 50) -> None:
    """Kill every process that carries a mark, and those that they start meanwhile."""
    for _round in range(rounds):
        found = [pid for pid in marked(mark) if not _is_zombie(pid)]
        if not found:
            return
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def adopt() -> None:
    """Become the parent of every process below this one that loses its own, so that the dead can be buried: in a container
    nobody else may do it. Linux only; elsewhere the first process of the system does it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


_finishing = threading.Lock()


def finish(code: int) -> None:
    """End this process with all that it has started. Whoever comes second waits for the end."""
    _finishing.acquire()
    end_all(os.environ[MARK])
    ends = time.monotonic() + 0.1
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < ends:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:  # killed, but not dead yet
                time.sleep(0.002)
    room = os.environ.get("TMPDIR", "")
    if os.path.basename(room) == os.environ[MARK]:
        shutil.rmtree(room, ignore_errors=True)
    os._exit(code)


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
        return stream.read().rpartition(")")[2].split()[:1] == ["Z"]
    return False


# -- words -------------------------------------------------------------------------------------------------------------


Cleaner = Callable[..., str]
"""``clean(value, longest, addresses)``"""


_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*://)([^\s\"'<>`]*)")
_PORTS = {"http": 80, "https": 443}


def _cut(found: re.Match[str]) -> str:
    rest = found.group(2)
    kept = re.split(r"[?#]", rest, maxsplit=1)[0]
    # What closes a sentence is no part of the address.
    end = rest[len(rest.rstrip(".,:;)")) :] if len(kept) < len(rest) else ""
    host, slash, path = kept.partition("/")
    return found.group(1) + host.rpartition("@")[2] + slash + path + end


def without_queries(text: str) -> str:
    """A text whose addresses have lost query, fragment and user: what a page puts there may be a secret that nobody knows of."""
    return _URL.sub(_cut, text)


def cleaner(secrets: Sequence[str]) -> Cleaner:
    """A function that makes one short line of a text, without the secrets. They go before it is cut, so that no half is left.

    With ``addresses`` the addresses in it are cut too; without, it is what somebody asked to see of the page.
    """
    spellings = {one for secret in secrets for one in (secret, quote(secret, safe=""), quote(secret), quote_plus(secret))}
    spellings |= {json.dumps(secret)[1:-1] for secret in secrets}
    longest_first = sorted((one for one in spellings if one), key=len, reverse=True)

    def clean(value: Any, longest: int = LONGEST, addresses: bool = False) -> str:
        text = str(value)
        for one in longest_first:
            text = text.replace(one, "***")
        text = " ".join(text.split())
        if addresses:
            text = without_queries(text)
        return text if len(text) <= longest else text[: longest - 1] + "…"

    return clean


def first_line(error: BaseException) -> str:
    """The message of an error of Playwright: what it was doing to whom is known, and the log below it is for its developers."""
    line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return re.sub(r"^(Error: )?(Page|Locator|BrowserType|BrowserContext|Browser|Frame|Keyboard)\.\w+: ", "", line.strip())


def _ended(error: BaseException) -> bool:
    """Whether Playwright says so of the browser or the page. A server that closes a connection is another matter."""
    return re.search(r"has been closed|Target closed|Connection closed while", first_line(error)) is not None


def number_in(text: str | None) -> float | None:
    """The first number in a text, such as 42 in ``42 ms`` and 62000.5 in ``62,000.50``."""
    found = re.search(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d+(?:\.\d+)?", text or "")
    return float(found.group().replace(",", "")) if found else None


# -- one page ----------------------------------------------------------------------------------------------------------


class StepFailed(Exception):
    """A step did not do what it should; the page is as it is."""


class TimeOver(Exception):
    """The time of the look was over in the middle of something."""


class Tally:
    """Counts what happens, and keeps the first few in words."""

    def __init__(self, clean: Cleaner) -> None:
        self.count = 0
        self.first: list[str] = []
        self._clean = clean

    def add(self, text: Any) -> None:
        self.count += 1
        if len(self.first) < KEPT:
            self.first.append(self._clean(text, addresses=True))

    def record(self) -> dict[str, Any]:
        return {"count": self.count, "first": self.first}


class Visit:
    """One page being looked at."""

    def __init__(self, job: Mapping[str, Any], say: Callable[[str], None], deadline: float) -> None:
        self.job = job
        self.say = say
        self.deadline = deadline
        self.clean: Cleaner = cleaner(job["secrets"])
        self.hosts = set(job["allow_hosts"])
        self.page: Any = None
        self.timed_out: type[Exception] = Exception
        self.tallies = {
            name: Tally(self.clean)
            for name in ("js_errors", "console_errors", "failed_requests", "blocked_requests", "requests", "websockets", "dialogs")
        }
        self.tallies |= {name: Tally(self.clean) for name in ("aborted", "downloads", "popups")}
        self.went_to = ""
        self.crashed = False
        self.messages = 0
        self.deaf = False
        self.filled: list[str] = []

    # -- time

    def left(self, reserve: float = CLOSING) -> float:
        return self.deadline - time.monotonic() - reserve

    @contextlib.contextmanager
    def within(self, seconds: float, what: str, reserve: float = CLOSING) -> Iterator[float]:
        """Milliseconds for one action. Who is cut off by the end of the look, not by its own limit, was not measured."""
        left = self.left(reserve)
        if left <= 0:
            raise TimeOver(what)
        try:
            yield min(seconds, left) * 1000
        except self.timed_out as error:
            if left < seconds:
                raise TimeOver(what) from error
            raise

    # -- what happens

    def allowed(self, url: str) -> bool:
        parts = urlsplit(url)
        return parts.scheme not in ("http", "https", "ws", "wss") or parts.hostname in self.hosts

    def listen(self, context: Any, page: Any) -> None:
        page.on("pageerror", lambda error: self.tallies["js_errors"].add(error.message or error.name or error))
        page.on("console", self._console)
        page.on("request", self._request)
        page.on("requestfailed", self._request_failed)
        page.on("response", self._response)
        page.on("websocket", self._websocket)
        page.on("dialog", self._dialog)
        page.on("download", lambda download: self.tallies["downloads"].add(self._address(download.url)))
        page.on("crash", self._crash)
        context.on("page", self._popup)

    def _address(self, url: str) -> str:
        """An address as it may be told. Of one that is itself the content (``data:``, ``blob:``) only the kind is."""
        scheme, _colon, rest = url.partition(":")
        if not rest.startswith("//") and scheme != "about":
            return f"{scheme}:…"
        return self.clean(url, len(url) + 1, addresses=True)

    def _console(self, message: Any) -> None:
        # What could not be loaded is counted as a request.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.tallies["console_errors"].add(message.text)
        self.messages += 1
        if self.messages >= FLOOD:
            self.deaf = True
            self.page.remove_listener("console", self._console)

    def _is_main(self, request: Any) -> bool:
        with contextlib.suppress(Exception):
            return bool(request.is_navigation_request() and request.frame == self.page.main_frame)
        return False

    def _request(self, request: Any) -> None:
        self.tallies["requests"].count += 1
        if self._is_main(request):
            self.went_to = request.url

    def _request_failed(self, request: Any) -> None:
        why = request.failure or "failed"
        what = f"{request.method} {self._address(request.url)}: {why}"
        if not self.allowed(request.url):
            self.tallies["blocked_requests"].add(f"{request.method} {self._address(request.url)}")
        elif why == ABORTED:
            self.tallies["aborted"].add(what)
        elif not self._is_main(request):
            self.tallies["failed_requests"].add(what)

    def _response(self, response: Any) -> None:
        if response.status >= 400 and not self._is_main(response.request):
            self.tallies["failed_requests"].add(f"{response.request.method} {self._address(response.url)}: {response.status}")

    def _websocket(self, socket: Any) -> None:
        self.tallies["websockets"].add(self._address(socket.url))

        def failed(why: Any) -> None:
            kind = "failed_requests" if self.allowed(socket.url) else "blocked_requests"
            self.tallies[kind].add(f"WebSocket {self._address(socket.url)}: {why}")

        socket.on("socketerror", failed)

    def _dialog(self, dialog: Any) -> None:
        self.tallies["dialogs"].add(f"{dialog.type}: {dialog.message}")
        with contextlib.suppress(Exception):
            dialog.accept() if self.job["dialogs"] == "accept" else dialog.dismiss()

    def _popup(self, page: Any) -> None:
        if page is self.page or self.page is None:
            return
        self.tallies["popups"].add(self._address(page.url))
        with contextlib.suppress(Exception):
            page.close(run_before_unload=False)

    def _crash(self, _page: Any) -> None:
        self.crashed = True

    # -- the look

    def context(self, browser: Any) -> Any:
        job = self.job
        credentials = job["credentials"]
        return browser.new_context(
            viewport=job["viewport"],
            locale=job["locale"],
            ignore_https_errors=not job["verify"],
            http_credentials={**credentials, "origin": origin_of(job["url"])} if credentials else None,
            accept_downloads=False,
        )

    def new_page(self, context: Any) -> Any:
        """A page whose requests to the origin of the url carry the headers.

        Not by what Playwright has for it: headers of a context go to every host, those of a route to where it redirects as well.
        """
        page = context.new_page()
        if self.job["headers"]:
            session = context.new_cdp_session(page)
            session.on("Fetch.requestPaused", lambda event: self._go_on(session, event))
            session.send("Fetch.enable", {"patterns": [{"urlPattern": origin_of(self.job["url"]) + "/*"}]})
        return page

    def _go_on(self, session: Any, event: Mapping[str, Any]) -> None:
        """Let a request go on, with the headers where they belong. One that cannot be given them fails."""
        request = event["request"]
        more: dict[str, Any] = {}
        if origin_of(request["url"]) == origin_of(self.job["url"]):
            added = {name.lower() for name in self.job["headers"]}
            headers = {name: value for name, value in request["headers"].items() if name.lower() not in added}
            headers |= self.job["headers"]
            more["headers"] = [{"name": name, "value": value} for name, value in headers.items()]
        try:
            session.send("Fetch.continueRequest", {"requestId": event["requestId"], **more})
        except Exception:  # the request may be gone, or a header may be one that only the browser sets
            with contextlib.suppress(Exception):
                session.send("Fetch.failRequest", {"requestId": event["requestId"], "errorReason": "Aborted"})

    def warm_up(self, browser: Any) -> None:
        """Open the page once in a profile of its own, so that what is measured is the page and not the start of the browser."""
        self.say("opening the page for the first time, which is not measured")
        context = self.context(browser)
        with contextlib.suppress(Exception):
            page = self.new_page(context)
            page.on("dialog", lambda dialog: dialog.dismiss())
            page.goto(self.job["url"], wait_until="load", timeout=max(min(self.left() / 3, 5.0), 0.1) * 1000)
        with contextlib.suppress(Exception):
            context.close()

    def run(self, browser: Any) -> dict[str, Any]:
        if self.job["warm_up"]:
            self.warm_up(browser)
        self.say("opening the page")
        context = self.context(browser)
        selector = self.job["ready"]
        context.add_init_script(WATCH_RENDER % json.dumps(selector) if selector else WATCH_PAINT)
        self.page = page = self.new_page(context)
        self.listen(context, page)
        response = self._open()
        seen: dict[str, Any] = {"browser": browser.version, "status": response.status, "missing": {}}
        self._await_ready(seen)
        self._script(seen)
        self._watch(seen)
        self._stay_here()
        if self.crashed:
            raise StepFailed("the page crashed the browser's process for it")
        self.say("reading the page")
        seen["timings"] = page.evaluate(TIMINGS)
        seen["timings"]["render_time"] = seen.pop("render_time")
        seen["selectors"] = {name: self._elements(one) for name, one in self.job["selectors"].items()}
        seen["title"] = self.clean(page.title())
        seen["address"] = self._address(page.url)
        seen["happened"] = {name: tally.record() for name, tally in self.tallies.items()}
        seen["console_messages"] = self.messages if self.deaf else None
        seen["screenshot"], seen["no_screenshot"] = self._picture()
        return seen

    def _watch(self, seen: dict[str, Any]) -> None:
        """Wait for what may still happen, as long as was asked, or as long as there is time."""
        time_left = max(self.left(), 0.0)
        seen["watched"], seen["cut"] = 0.0, time_left < self.job["watch"]
        if time_left > 0:
            self.say("watching the page")
            begun = time.monotonic()
            self.page.wait_for_timeout(min(self.job["watch"], time_left) * 1000)
            seen["watched"] = time.monotonic() - begun

    def _open(self) -> Any:
        url = self.job["url"]
        try:
            with self.within(float("inf"), "opening the page") as timeout:
                response = self.page.goto(url, wait_until="commit", timeout=timeout)
        except TimeOver as error:
            raise StepFailed(f"the page did not answer within {self.job['seconds'] - CLOSING:.0f} s") from error
        except Exception as error:
            if _ended(error):
                raise
            if self.tallies["downloads"].count or "Download is starting" in str(error):
                raise StepFailed("the address is not a page but a download") from error
            if not self.allowed(self.went_to):
                raise StepFailed(self._elsewhere()) from error
            if "ERR_INVALID_AUTH_CREDENTIALS" in str(error):
                raise StepFailed("the page asks for a user name and a password, or refuses those that it got") from error
            raise StepFailed(f"the page could not be opened: {first_line(error)}") from error
        if response is None:
            raise StepFailed("the address gave no answer that could be looked at")
        self._stay_here()
        return response

    def _elsewhere(self) -> str:
        return f"the page went to {urlsplit(self.went_to).hostname}, which allow_hosts does not name"

    def _stay_here(self) -> None:
        if self.went_to and not self.allowed(self.went_to):
            raise StepFailed(self._elsewhere())

    def _await_ready(self, seen: dict[str, Any]) -> None:
        self.say("waiting until the page is rendered")
        what = f"{self.job['ready']!r} was not shown" if self.job["ready"] else "nothing was painted"
        seen["render_time"] = None
        try:
            with self.within(self.job["within"], "waiting until the page is rendered") as timeout:
                handle = self.page.wait_for_function(
                    "() => window.__goliveRender && window.__goliveRender.at", timeout=timeout, polling="raf"
                )
                seen["render_time"] = handle.json_value() / 1000
                seen["ready"] = True
        except TimeOver:
            seen["missing"]["ready"] = seen["missing"]["render_time"] = f"{what} before the time of the check was over"
        except self.timed_out:
            seen["ready"] = False
            seen["missing"]["render_time"] = f"{what} within {self.job['within']:g} s"

    def _elements(self, selector: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self.page.locator(selector).evaluate_all(ELEMENTS)
        except Exception as error:
            return {"error": self.clean(first_line(error), addresses=True)}
        if found["text"] is not None:
            found["number"] = number_in(found["text"])
            found["text"] = self.clean(found["text"], LONGEST_TEXT)
        found["attributes"] = {name: self.clean(value) for name, value in found["attributes"].items()}
        return found

    def _picture(self) -> tuple[str | None, str | None]:
        """The page as it looks, as a JPEG in base64; or why there is none. What is secret is painted over."""
        if not self.job["screenshot"]:
            return None, None
        self.say("taking a picture")
        typed = self.job["typed_secrets"]
        try:
            if typed:
                self.page.evaluate(MARK_SECRETS, typed)
            hidden = [self.page.locator(one) for one in [*self.filled, "[data-golive-hidden]"]]
            for quality in QUALITIES:
                picture = self.page.screenshot(
                    type="jpeg",
                    quality=quality,
                    full_page=self.job["full_page"] and quality == QUALITIES[0],
                    scale="css",
                    animations="disabled",
                    mask=hidden,
                    mask_color="#444444",
                    timeout=max(self.left(0.15), 0.05) * 1000,
                )
                if len(picture) <= LARGEST_PICTURE:
                    return base64.b64encode(picture).decode("ascii"), None
        except Exception as error:
            return None, self.clean(f"no picture could be taken: {first_line(error)}", addresses=True)
        return None, f"the picture is larger than {LARGEST_PICTURE} bytes"

    # -- the script

    def _script(self, seen: dict[str, Any]) -> None:
        times: dict[str, float] = {}
        seen["times"], seen["script"], seen["done"] = times, "completed", 0
        cleaning = min(CLEANING * sum(step["cleanup"] for step in self.job["steps"]), self.left() / 2)
        for step in self.job["steps"]:
            broken = seen["script"] != "completed"
            if broken and not step["cleanup"]:
                continue
            what = f"step {step['name']}"
            self.say(what)
            begun = time.monotonic()
            try:
                with self.within(step["within"], what, CLOSING + (0.0 if step["cleanup"] else cleaning)) as timeout:
                    getattr(self, f"do_{step['do']}")(step, timeout)
                self._stay_here()
            except TimeOver:
                seen["script"] = None if not broken else seen["script"]
                seen["missing"].setdefault("script", f"the time of the check was over in {what}")
                continue
            except Exception as error:
                if self.crashed:
                    raise StepFailed(f"the page crashed in {what}") from error
                if not isinstance(error, StepFailed) and _ended(error):
                    raise
                why = str(error) if isinstance(error, StepFailed) else self._explain(step, error)
                if not broken:
                    seen["script"] = self.clean(f"{what}: {why}", addresses=True)
                continue
            times[step["name"]] = time.monotonic() - begun
            seen["done"] += 1

    def _explain(self, step: Mapping[str, Any], error: Exception) -> str:
        """Why an action did not come about, in words for who wrote the step."""
        selector = step.get("selector")
        if not isinstance(error, self.timed_out):
            return first_line(error)
        if selector is None:
            return f"not done within {step['within']:g} s"
        found = self._elements(selector)
        if "error" in found:
            state = str(found["error"])
        elif not found["count"]:
            state = "there is no such element"
        elif not found["visible"]:
            state = "the element is not shown"
        elif "strict mode" in str(error):
            state = f"{found['count']} elements match"
        else:
            state = "the element is shown" if step["do"] == "wait_for" else "the element is covered, moves or is disabled"
        return f"{selector}: {state}, within {step['within']:g} s"

    def _one(self, step: Mapping[str, Any]) -> Any:
        """The first element that is shown, or the first."""
        return self.page.locator(step["selector"]).first

    def do_go(self, step: Mapping[str, Any], timeout: float) -> None:
        where = urljoin(self.page.url, step["where"])
        if not self.allowed(where):
            raise StepFailed(f"{urlsplit(where).hostname} is not named by allow_hosts")
        try:
            answer = self.page.goto(where, wait_until="load", timeout=timeout)
        except Exception as error:
            if isinstance(error, self.timed_out):
                raise
            self._stay_here()
            raise StepFailed(first_line(error)) from error
        if answer is not None and answer.status >= 400:
            raise StepFailed(f"the answer has status {answer.status}")

    def do_click(self, step: Mapping[str, Any], timeout: float) -> None:
        self._one(step).click(timeout=timeout)

    def do_fill(self, step: Mapping[str, Any], timeout: float) -> None:
        if step["secret"]:
            self.filled.append(step["selector"])
        self._one(step).fill(step["value"], timeout=timeout)

    def do_select(self, step: Mapping[str, Any], timeout: float) -> None:
        self._one(step).select_option(step["option"], timeout=timeout)

    def do_press(self, step: Mapping[str, Any], timeout: float) -> None:
        if step["selector"] is None:
            self.page.keyboard.press(step["key"])
        else:
            self._one(step).press(step["key"], timeout=timeout)

    def do_toggle(self, step: Mapping[str, Any], timeout: float) -> None:
        ends = time.monotonic() + timeout / 1000
        element = self._one(step)
        before = element.evaluate(PRESSED, timeout=timeout)
        if before is None:
            raise StepFailed(f"{step['selector']} is neither a checkbox nor has it aria-pressed or aria-checked")
        wanted = (not before) if step["to"] is None else step["to"]
        if before != wanted:
            element.click(timeout=max(ends - time.monotonic(), 0.001) * 1000)
        self._until(ends, lambda: element.evaluate(PRESSED, timeout=1000) == wanted, step, f"is not {'on' if wanted else 'off'}")

    def do_wait_for(self, step: Mapping[str, Any], timeout: float) -> None:
        self._one(step).wait_for(state=step["state"], timeout=timeout)

    def do_wait_text(self, step: Mapping[str, Any], timeout: float) -> None:
        wanted = step["text"]
        self._text(step, timeout, lambda text: wanted in text, f"does not contain {wanted!r}")

    def do_expect_text(self, step: Mapping[str, Any], timeout: float) -> None:
        how, wanted = step["how"], step["text"]
        tests: dict[str, Callable[[str], bool]] = {
            "equals": lambda text: text == wanted,
            "contains": lambda text: wanted in text,
            "matches": lambda text: re.search(wanted, text) is not None,
        }
        self._text(step, timeout, tests[how], f"{how} not {wanted!r}")

    def _text(self, step: Mapping[str, Any], timeout: float, holds: Callable[[str], bool], complaint: str) -> None:
        latest: list[str | None] = [None]

        def look() -> bool:
            latest[0] = self.page.locator(step["selector"]).evaluate_all(ELEMENTS)["text"]
            return latest[0] is not None and holds(" ".join(latest[0].split()))

        try:
            self._until(time.monotonic() + timeout / 1000, look, step, complaint)
        except StepFailed as error:
            text = latest[0]
            has = "there is no such element" if text is None else f"it has {self.clean(text, 80)!r}"
            raise StepFailed(f"{error}; {has}") from None

    def _until(self, ends: float, holds: Callable[[], bool], step: Mapping[str, Any], complaint: str) -> None:
        while not holds():
            if time.monotonic() + 0.05 >= ends:
                if self.left(CLOSING) <= 0.1:
                    raise TimeOver(step["name"])
                raise StepFailed(f"{step['selector']} {complaint} within {step['within']:g} s")
            self.page.wait_for_timeout(50)


def origin_of(url: str) -> str:
    """Scheme, host and port as a browser writes them: no port that is the usual one, and nobody's name."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, _PORTS.get(parts.scheme)) else "")


def resolver_rules(hosts: Sequence[str]) -> str:
    """No other name is found, so no redirect and no script reaches another host."""
    return ", ".join(["MAP * ~NOTFOUND", *(f"EXCLUDE {host}" for host in hosts)])


# -- the process -------------------------------------------------------------------------------------------------------


_GONE = "the browser ended while it was looked at"
_speaking = threading.Lock()


def _answer(record: Mapping[str, Any]) -> None:
    """One line, and nothing after the last."""
    with _speaking:
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()
        if "at" not in record:
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _end_with_browser() -> None:
    """A browser that dies while a page is being made leaves its driver waiting for ever."""
    pids = [pid for pid in marked(os.environ[MARK]) if _is_browser(pid)]
    while pids and not any(_is_gone(pid) for pid in pids):
        time.sleep(0.2)
    if pids:
        time.sleep(0.5)  # mostly the driver notices by itself
        _answer({"error": _GONE})
        finish(0)


def _is_browser(pid: int) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as stream:
        words = stream.read()
        return b"--remote-debugging-pipe" in words and b"--type=" not in words
    return False


def _is_gone(pid: int) -> bool:
    return _is_zombie(pid) or not os.path.exists(f"/proc/{pid}")


def _end_with_parent() -> None:
    """Whoever asked holds our standard input open for as long as they live."""
    with contextlib.suppress(OSError, ValueError):
        while os.read(0, 65536):
            pass
    finish(1)


def _drive(job: Mapping[str, Any], deadline: float) -> dict[str, Any]:
    from playwright.sync_api import Error, TimeoutError, sync_playwright

    clean = cleaner(job["secrets"])
    visit = Visit(job, lambda what: _answer({"at": clean(what)}), deadline)
    visit.timed_out = TimeoutError
    visit.say("starting the browser")
    playwright = sync_playwright().start()
    try:
        browser = playwright.chromium.launch(
            executable_path=job["browser"],
            args=[*ARGUMENTS, f"--host-resolver-rules={resolver_rules(job['allow_hosts'])}"],
            chromium_sandbox=job["sandbox"],
            timeout=max(visit.left(), 0.1) * 1000,
            handle_sigint=False,
            handle_sigterm=False,
            handle_sighup=False,
        )
        threading.Thread(target=_end_with_browser, daemon=True).start()
    except Error as error:
        said = re.findall(r"\[err\] (.*)", str(error))
        why = clean(said[-1] if said else first_line(error), addresses=True)
        return {"error": f"the browser {job['browser']} could not be started: {why}"}
    try:
        return {"seen": visit.run(browser)}
    except StepFailed as error:
        return {"error": clean(error, addresses=True)}
    except Error as error:
        return {"error": _GONE if _ended(error) else clean(first_line(error), addresses=True)}


def main() -> None:
    """Do the job of standard input. Ends the process, with all that it has started."""
    adopt()
    job = json.loads(_first_line_of_input())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    deadline = time.monotonic() + job["seconds"]
    code = 0
    try:
        _answer(_drive(job, deadline))
    except BaseException as error:
        code = 1
        with contextlib.suppress(OSError, ValueError):
            _answer({"error": cleaner(job["secrets"])(f"{type(error).__name__}: {first_line(error)}", addresses=True)})
    # A browser with a profile that nobody keeps has nothing to write down, so it need not be asked to close.
    finish(code)


def _first_line_of_input() -> bytes:
    """One line, and not a byte more: the rest of standard input only says that somebody is there."""
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = os.read(0, 65536)
        if not piece:
            break
        line += piece
    return bytes(line)


def command(search: Sequence[str]) -> list[str]:
    """The command line of this process; ``search`` is where Python finds modules, which may be inside the archive of a task."""
    code = f"import sys; sys.path[:] = {list(search)!r}; from {__name__} import main; main()"
    return [sys.executable, "-c", code]
