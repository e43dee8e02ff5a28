# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""A page in a real browser: whether it is rendered, how fast, without errors, and whether it does what a person would do with it.

The browser is driven by `_browser` in a process of its own, with a directory of its own. Whatever becomes of it, at the end of a
look every process that carries its mark is killed and the directory is gone.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import os
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import Any, ClassVar, Optional
from urllib.parse import urlsplit

from ansible_collections.golive.cutover.plugins.module_utils import commands
from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import LibraryMissing, ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option, Secret, reveal
from ansible_collections.golive.cutover.plugins.module_utils.core.patterns import compile_pattern
from ansible_collections.golive.cutover.plugins.module_utils.probes import _browser
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Artefact, Context, Observation, Probe

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "chrome",
    "chromium-headless-shell",
    "microsoft-edge-stable",
    "microsoft-edge",
)
_PLACES = ("/usr/local/bin", "/usr/bin", "/bin", "/snap/bin", "/opt/google/chrome", "/opt/homebrew/bin")
_PLACE = threading.BoundedSemaphore(max(1, os.cpu_count() or 1))
"""Browsers at the same time: more than there are processors would only make each page slower, and that is what is measured."""
START = 5.0
"""Seconds that a browser is given to start, on top of the timeout of a check."""
MARGIN = 0.7
"""Seconds before the deadline at which the browser's process should be done by itself."""
_ENDING = 0.35
"""Seconds before the deadline at which it is ended, so that its end is over in time too."""
_POLL = 0.1
_LAST_WORDS = 0.2
"""Seconds for the process to end what it has started, before that is done from here."""
_LARGEST_ANSWER = 8_000_000
_MAX_STEPS = 50
_KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "FONTCONFIG_FILE", "FONTCONFIG_PATH", "PLAYWRIGHT_NODEJS_PATH")
"""What the browser gets of the environment. It may hold secrets, and switches that write down what is typed."""

_NAME = re.compile(r"[A-Za-z_]\w*\Z")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\Z|[0-9A-Fa-f:.]+\Z")
_COUNTED = ("js_errors", "console_errors", "failed_requests", "blocked_requests", "requests", "websockets", "dialogs")
_ERRORS = ("js_errors", "console_errors", "failed_requests", "blocked_requests")
_TIMES = ("render_time", "first_byte", "first_paint", "dom_ready", "load_time")

_HANDED_ON = (
    *("url", "ready", "within", "watch", "selectors", "verify", "dialogs"),
    *("viewport", "locale", "warm_up", "screenshot", "full_page"),
)
"""Options that the browser's process takes as they are."""


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.match(value):
        raise ValueError(f"expected a name of letters, digits and underscores, got {value!r}")
    return value


def _host(value: Any) -> str:
    if not isinstance(value, str) or not _HOST.match(value):
        raise ValueError(f"expected the name or the address of a host, without a port, got {value!r}")
    return value.lower()


def _viewport(value: Any) -> dict[str, int]:
    found = re.match(r"(\d{2,4})x(\d{2,4})\Z", value) if isinstance(value, str) else None
    if found is None or not all(100 <= int(one) <= 4096 for one in found.groups()):
        raise ValueError(f"expected WIDTHxHEIGHT such as 1280x720, each from 100 to 4096, got {value!r}")
    return {"width": int(found.group(1)), "height": int(found.group(2))}


def _pattern(value: Any) -> str:
    return compile_pattern(opt.text(value)).pattern


def _typed(value: Any) -> str | Secret:
    """A text to type; an empty one clears the field."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return "" if value == "" else opt.secret_text(value)


COMMON: Mapping[str, Option] = {
    "name": Option(_name, "the name of the step, which its measure carries"),
    "within": Option(opt.duration, "how long the step may take"),
    "cleanup": Option(opt.flag, "do this step also when one before it failed", default=False),
}
ACTIONS: Mapping[str, Mapping[str, Option]] = {
    "go": {"go": Option(opt.text, "path or address to open", required=True)},
    "click": {"click": Option(opt.text, "what to click, a selector", required=True)},
    "fill": {
        "fill": Option(opt.text, "the field, a selector", required=True),
        "with": Option(_typed, "what to type; may be {secret: NAME}", required=True),
    },
    "select": {
        "select": Option(opt.text, "the list, a selector", required=True),
        "option": Option(opt.text, "value or label of the option to choose", required=True),
    },
    "press": {
        "press": Option(opt.text, "the key, such as Enter or Control+A", required=True),
        "at": Option(opt.text, "the element that gets it, a selector"),
    },
    "toggle": {
        "toggle": Option(opt.text, "the checkbox or switch, a selector", required=True),
        "to": Option(opt.flag, "the state it should have; the other one when it is left out"),
    },
    "wait_for": {
        "wait_for": Option(opt.text, "what to wait for, a selector", required=True),
        "state": Option(opt.choice("visible", "hidden", "attached", "detached"), "the state to wait for", default="visible"),
    },
    "wait_text": {
        "wait_text": Option(opt.text, "the text to wait for", required=True),
        "in": Option(opt.text, "where it should be, a selector", default="body"),
    },
    "expect_text": {
        "expect_text": Option(opt.text, "the element, a selector", required=True),
        "equals": Option(opt.text, "the text it must have"),
        "contains": Option(opt.text, "a text that must be in it"),
        "matches": Option(_pattern, "a regular expression that must be found in it"),
    },
}
_ACTING = ("click", "fill", "select", "press", "toggle")
"""What a page may answer by changing something."""
_COMPARISONS = ("equals", "contains", "matches")


def _step(value: Any) -> dict[str, Any]:
    """One step, as the browser's process takes it. Raises ValueError with every mistake in it."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping with one of {', '.join(ACTIONS)}, got {value!r}")
    actions = [str(key) for key in value if str(key) in ACTIONS]
    if len(actions) != 1:
        got = " and ".join(actions) or ", ".join(str(key) for key in value) or "nothing"
        raise ValueError(f"expected exactly one of {', '.join(ACTIONS)}, got {got}")
    do = actions[0]
    problems: list[Problem] = []
    clean = opt.read_options(value, {**ACTIONS[do], **COMMON}, "step", problems)
    given = [one for one in _COMPARISONS if clean.get(one) is not None]
    if do == "expect_text" and len(given) != 1 and not problems:
        problems.append(Problem("step", f"expected exactly one of {', '.join(_COMPARISONS)}, got {' and '.join(given) or 'none'}"))
    if problems:
        raise ValueError("; ".join(str(problem) for problem in problems))
    step: dict[str, Any] = {"do": do, "name": clean["name"], "within": clean["within"], "cleanup": clean["cleanup"]}
    if do == "go":
        return {**step, "where": clean["go"]}
    if do == "press":
        return {**step, "selector": clean["at"], "key": clean["press"]}
    if do == "wait_text":
        return {**step, "selector": clean["in"], "text": clean["wait_text"]}
    step["selector"] = clean[do]
    if do == "fill":
        return {**step, "value": clean["with"], "secret": isinstance(clean["with"], Secret)}
    if do == "expect_text":
        return {**step, "how": given[0], "text": clean[given[0]]}
    return {**step, **{key: clean[key] for key in ("option", "to", "state") if key in clean}}


def _steps(value: Any) -> list[dict[str, Any]]:
    """The steps; every mistake in all of them at once."""
    raw = value if isinstance(value, list) else [value]
    if len(raw) > _MAX_STEPS:
        raise ValueError(f"expected at most {_MAX_STEPS} steps, got {len(raw)}")
    steps: list[dict[str, Any]] = []
    mistakes = []
    for number, one in enumerate(raw, 1):
        try:
            step = _step(one)
        except ValueError as error:
            mistakes.append(f"step {number}: {error}")
            continue
        step["name"] = step["name"] or f"step{number}"
        if step["name"] in [other["name"] for other in steps]:
            mistakes.append(f"step {number}: the name {step['name']} stands twice")
        steps.append(step)
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return steps


def _selectors(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping of name to selector, got {value!r}")
    mistakes, clean = [], {}
    for key, one in value.items():
        try:
            clean[_name(key)] = opt.text(one)
        except ValueError as error:
            mistakes.append(f"{key}: {error}")
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return clean


def find_browser(path: Optional[str]) -> str:
    """The browser that was named, or the first of the usual ones. Raises ProbeError that says what to install."""
    if path is not None:
        if not (os.path.isfile(path) and os.access(path, os.X_OK)):
            raise ProbeError(f"there is no browser at {path}")
        return path
    where = os.pathsep.join([os.environ.get("PATH", ""), *_PLACES])
    for name in BROWSERS:
        found = shutil.which(name, path=where)
        if found is not None:
            return found
    raise ProbeError(
        f"no browser was found (looked for {', '.join(BROWSERS)}); install one, such as the package chromium of the "
        "distribution, or say where it is with browser: PATH"
    )


class PageProbe(Probe):
    """Opens a page in a headless browser, waits until it is rendered, does the steps, watches, and reads what is there.

    The JSON document that own measures look into is a mapping of the names under ``selectors`` to ``count``, ``visible``,
    ``text``, ``number`` and ``attributes``.
    """

    name = "page"
    yields_document = True
    options: ClassVar[Mapping[str, Option]] = {
        "url": Option(opt.url("http", "https"), "address of the page", required=True),
        "ready": Option(opt.text, "CSS selector of what a visitor waits for; the page is rendered when it is shown"),
        "within": Option(opt.duration, "how long to wait for `ready`, and for each step", default=5.0),
        "watch": Option(opt.duration, "how long the page is watched for errors after the last step", default=0.5),
        "steps": Option(_steps, "what to do with the page, in order", default=[]),
        "selectors": Option(_selectors, "what to read at the end: own name to selector", default={}),
        "allow_hosts": Option(opt.list_of(_host), "further hosts that the browser may reach, besides that of url", default=[]),
        "headers": Option(opt.map_of(opt.secret_text), "request headers; a value may be {secret: NAME}", default={}),
        "username": Option(opt.text, "user name for basic authentication"),
        "password": Option(opt.secret_only, "password for basic authentication, as {secret: NAME}"),
        "verify": Option(opt.flag, "verify the TLS certificate", default=True),
        "dialogs": Option(opt.choice("dismiss", "accept"), "what to answer when the page asks", default="dismiss"),
        "viewport": Option(_viewport, "size of the window", default={"width": 1280, "height": 720}),
        "locale": Option(opt.text, "language of the browser", default="en-US"),
        "warm_up": Option(opt.flag, "open the page once before, so that the start of the browser is not measured", default=True),
        "screenshot": Option(opt.flag, "keep a picture of the page as it was at the end", default=True),
        "full_page": Option(opt.flag, "the picture shows the whole page, not only the window", default=False),
        "browser": Option(opt.text, "path of the browser"),
        "sandbox": Option(opt.flag, "run the browser in its sandbox; by default where the user is not root"),
    }
    measures: ClassVar[Mapping[str, str]] = {
        "status": "count",
        "ready": "flag",
        **dict.fromkeys(_TIMES, "time"),
        **dict.fromkeys(_COUNTED, "count"),
        "title": "text",
        "script": "text",
        "script_time": "time",
        "steps": "count",
        "time.*": "time",
        "count.*": "count",
        "visible.*": "count",
        "text.*": "text",
        "number.*": "count",
    }

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        if (options["username"] is None) != (options["password"] is None):
            return [Problem("", "username and password belong together")]
        return []

    def writes(self, options: Mapping[str, Any]) -> bool:
        return any(step["do"] in _ACTING for step in options["steps"])

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        known = {name: kind for name, kind in self.measures.items() if not name.endswith(".*")}
        if not options["steps"]:
            for name in ("script", "script_time", "steps"):
                del known[name]
        known |= {f"time.{step['name']}": "time" for step in options["steps"]}
        for family in ("count.*", "visible.*", "text.*", "number.*"):
            known |= {family[:-1] + name: self.measures[family] for name in options["selectors"]}
        return known

    def at_least(self, options: Mapping[str, Any]) -> float:
        return START + float(options["watch"])

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        if importlib.util.find_spec("playwright") is None:
            raise LibraryMissing("playwright")
        browser = find_browser(options["browser"])
        if not _PLACE.acquire(timeout=context.remaining()):
            raise ProbeError("it was cut off while it waited for other page checks to end")
        try:
            seen = _ask(_job(options, browser, context.remaining() - MARGIN), context)
        finally:
            _PLACE.release()
        return _observation(options, seen)


def _job(options: Mapping[str, Any], browser: str, seconds: float) -> dict[str, Any]:
    """What the browser's process is told. It holds the secrets in the clear, so it goes through a pipe and nowhere else."""
    steps = [
        {**step, "within": step["within"] or options["within"], **({"value": reveal(step["value"])} if "value" in step else {})}
        for step in options["steps"]
    ]
    headers = {name: reveal(value) for name, value in options["headers"].items()}
    typed = [step["value"].reveal() for step in options["steps"] if isinstance(step.get("value"), Secret)]
    hidden = [value.reveal() for value in options["headers"].values() if isinstance(value, Secret)]
    credentials = None
    if options["username"] is not None:
        credentials = {"username": options["username"], "password": reveal(options["password"])}
        hidden.append(reveal(options["password"]))
    host = urlsplit(options["url"]).hostname or ""
    sandbox = options["sandbox"] if options["sandbox"] is not None else os.geteuid() != 0
    return {
        **{key: options[key] for key in _HANDED_ON},
        "allow_hosts": sorted({host, *options["allow_hosts"]}),
        "browser": browser,
        "sandbox": sandbox,
        "steps": steps,
        "headers": headers,
        "credentials": credentials,
        "secrets": [one for one in [*typed, *hidden] if one],
        "typed_secrets": [one for one in typed if one],
        "seconds": max(seconds, 0.1),
    }


def _ask(job: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Have a process do the job, until the deadline. Afterwards none of its processes and none of its files is left."""
    room = tempfile.mkdtemp(prefix="golive-page-")
    mark = os.path.basename(room)
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    environment = {**kept, "TMPDIR": room, "HOME": room, "XDG_CONFIG_HOME": room, "XDG_CACHE_HOME": room, _browser.MARK: mark}
    search = [one for one in sys.path if one]
    try:
        with open(os.path.join(room, "errors"), "wb") as errors:
            process = commands.start(
                _browser.command(search),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                directory=room,
                environment=environment,
                own_group=True,
            )
        try:
            return _converse(process, job, context)
        finally:
            _end(process, mark)
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """End the process and what belongs to it. It does that by itself when its input ends, which is the cleaner way."""
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            pipe.close()  # type: ignore[union-attr]
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LAST_WORDS)
    with contextlib.suppress(OSError):
        process.kill()
    process.wait()
    _browser.end_all(mark)


def _converse(process: subprocess.Popen[bytes], job: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Hand over the job and read lines until the last one."""
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise ProbeError("the browser's process has no pipes")
    doing = "starting the browser's process"
    begun = context.clock()
    with contextlib.suppress(BrokenPipeError):
        stdin.write(json.dumps(job).encode() + b"\n")
        stdin.flush()
    received = bytearray()
    with selectors.DefaultSelector() as waiting:
        waiting.register(stdout, selectors.EVENT_READ)
        while not context.over() and context.remaining() > _ENDING:
            if not waiting.select(min(_POLL, context.remaining())):
                continue
            piece = os.read(stdout.fileno(), 1 << 16)
            if not piece:
                raise ProbeError(f"the process that drives the browser ended while {doing}")
            received += piece
            if len(received) > _LARGEST_ANSWER:
                raise ProbeError("the process that drives the browser said too much")
            *lines, rest = received.split(b"\n")
            received = bytearray(rest)
            for line in lines:
                said = json.loads(line)
                if "error" in said:
                    raise ProbeError(str(said["error"]))
                if "seen" in said:
                    return dict(said["seen"])
                doing = str(said["at"])
    raise ProbeError(f"it was cut off after {context.clock() - begun:.1f} s, while {doing}")


def _observation(options: Mapping[str, Any], seen: Mapping[str, Any]) -> Observation:
    happened = seen["happened"]
    observation = Observation(
        proof={"browser": seen["browser"], "address": seen["address"], "watched": round(seen["watched"], 3)}, document={}
    )
    measures, missing, proof = observation.measures, observation.missing, observation.proof
    missing.update(seen["missing"])
    measures["status"] = seen["status"]
    if "ready" in seen:
        measures["ready"] = seen["ready"]
    for name in _TIMES:
        if seen["timings"].get(name) is not None:
            measures[name] = seen["timings"][name]
        else:
            missing.setdefault(name, "the browser did not get there")
    for name in _COUNTED:
        why = _unseen(name, options, seen)
        if why and not happened[name]["count"]:
            missing[name] = why
        else:
            measures[name] = happened[name]["count"]
    if seen["console_messages"]:
        proof["console"] = f"not listened to any more after {seen['console_messages']} messages"
    measures["title"] = seen["title"]
    proof["requests"] = happened["requests"]["count"]
    for name in (*_COUNTED, "aborted", "downloads", "popups"):
        if happened[name]["first"]:
            proof[name] = happened[name]["first"]
    _read_script(options, seen, observation)
    _read_selectors(seen, observation)
    if seen["screenshot"]:
        observation.artefacts.append(Artefact("page.jpg", "image/jpeg", base64.b64decode(seen["screenshot"])))
        proof["screenshot"] = "page.jpg"
    elif seen["no_screenshot"]:
        proof["screenshot"] = seen["no_screenshot"]
    return observation


def _unseen(name: str, options: Mapping[str, Any], seen: Mapping[str, Any]) -> str:
    """Why it is not known that nothing of a kind happened; empty when all was seen."""
    if name == "console_errors" and seen["console_messages"]:
        return f"the page wrote {seen['console_messages']} messages to its console, and what came after them was not read"
    if name in _ERRORS and seen["cut"]:
        return f"the time of the check was over: the page was watched for {seen['watched']:.1f} s of {options['watch']:g} s"
    return ""


def _read_script(options: Mapping[str, Any], seen: Mapping[str, Any], observation: Observation) -> None:
    if not options["steps"]:
        return
    measures, missing = observation.measures, observation.missing
    measures["steps"] = seen["done"]
    observation.proof["steps"] = f"{seen['done']} of {len(options['steps'])}"
    script = seen["script"]
    if script is not None:
        measures["script"] = script
        if script != "completed":
            observation.proof["script"] = script
    why = missing.get("script") or f"the script ended in {script}"
    for step in options["steps"]:
        if step["name"] in seen["times"]:
            measures[f"time.{step['name']}"] = seen["times"][step["name"]]
        else:
            missing[f"time.{step['name']}"] = why
    if script == "completed":
        measures["script_time"] = sum(seen["times"].values())
    else:
        missing["script_time"] = why


def _read_selectors(seen: Mapping[str, Any], observation: Observation) -> None:
    measures, missing = observation.measures, observation.missing
    for name, found in seen["selectors"].items():
        if "error" in found:
            for family in ("count", "visible", "text", "number"):
                missing[f"{family}.{name}"] = found["error"]
            continue
        observation.document[name] = found
        measures[f"count.{name}"] = found["count"]
        measures[f"visible.{name}"] = found["visible"]
        if found["text"] is None:
            missing[f"text.{name}"] = missing[f"number.{name}"] = "there is no such element"
            continue
        measures[f"text.{name}"] = found["text"]
        if found["number"] is None:
            missing[f"number.{name}"] = f"there is no number in {found['text'][:80]!r}"
        else:
            measures[f"number.{name}"] = found["number"]
