# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The sampler: one look at the metrics pages and the checks that it was given, written into the store.

Of a page every series is kept, or those that are named. Of a check its measures are kept, as series on the page ``golive_checks``:
``golive_check_passed{check}`` (1 when it passed or warned, else 0, so that what could not be measured counts as not there),
``golive_check_duration_seconds{check}``, and each number as ``golive_check_measure{check, measure}``. About itself the sampler
writes the page ``golive_sampler`` at every look, whatever became of the others: its steady clock, by which a clock that jumped is
found; its processor time and memory; and ``golive_sampler_page_read{of}``, 1 or 0 for each page.
"""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import Check, read_checks, resolve_secrets
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import Clock, run_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.verdicts import GOOD
from ansible_collections.golive.cutover.plugins.module_utils.hypercare.judge import SAMPLER_CLOCK, SAMPLER_PAGE
from ansible_collections.golive.cutover.plugins.module_utils.probes import _http, _net, metrics
from ansible_collections.golive.cutover.plugins.module_utils.probes._page import Selector
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Probe
from ansible_collections.golive.cutover.plugins.module_utils.store import samples
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store
from ansible_collections.golive.cutover.plugins.module_utils.store.samples import Key, Look, Written

CHECKS_PAGE = "golive_checks"
EVERY = 30.0
TIMEOUT = 10.0
"""Seconds that one page may take. All pages are read at the same time."""
MOST_AT_ONCE = 8


def _series(value: Any) -> list[str]:
    names: list[str] = opt.list_of(opt.text)(value)
    if not names:
        raise ValueError("names no series")
    for name in names:
        if name.startswith("~"):
            try:
                re.compile(name[1:])
            except re.error as error:
                raise ValueError(f"{name[1:]!r} is not a regular expression: {error}") from error
    return names


def _page_name(value: Any) -> str:
    name = opt.text(value)
    if name in (SAMPLER_PAGE, CHECKS_PAGE):
        raise ValueError(f"{name} is a page that the sampler writes itself")
    return name


PAGE_OPTIONS: Mapping[str, Option] = {
    "name": Option(_page_name, "what the page is called in the store; without it, its address"),
    "url": Option(opt.url("http", "https"), "address of the metrics page", required=True),
    "series": Option(_series, "names of series to keep, each exact or ~ and a regular expression", default=["~.*"]),
    "timeout": Option(opt.duration, "how long the page may take"),
    "max_page": Option(opt.size, "largest page that is read", default=64_000_000),
    **_http.OPTIONS,
}


@dataclass(frozen=True)
class Page:
    name: str
    options: Mapping[str, Any]
    selectors: tuple[Selector, ...]
    timeout: float


@dataclass(frozen=True)
class Asked:
    """What a sampler looks at."""

    pages: tuple[Page, ...]
    checks: tuple[Check, ...] = ()


@dataclass
class Seen:
    """One look: what is to be written, and the pages and checks that could not be read, with the reason."""

    looks: list[Look] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def read_asked(pages: Any, checks: Any, probes: Mapping[str, Probe], secrets: Optional[Mapping[str, str]] = None) -> Asked:
    """What is to be looked at, as it is written. Raises InputError with every mistake."""
    problems: list[Problem] = []
    found = []
    for index, raw in enumerate(pages or []):
        name = raw.get("name") or raw.get("url") if isinstance(raw, Mapping) else None
        where = f"pages[{name or index}]"
        clean = opt.read_options(resolve_secrets(raw, secrets or {}, where, problems), PAGE_OPTIONS, where, problems)
        if clean["url"] is None:
            continue
        problems.extend(Problem(f"{where}.{one.where}", one.message) for one in _http.problems(clean))
        options = {**clean, "url": [clean["url"]], "over": None, "every": None}
        selectors = tuple(Selector(one) for one in clean["series"])
        found.append(Page(clean["name"] or clean["url"], options, selectors, float(clean["timeout"] or TIMEOUT)))
    names = [one.name for one in found]
    problems += [Problem("pages", f"{name} stands twice") for name in sorted({one for one in names if names.count(one) > 1})]
    asked: list[Check] = []
    try:
        asked = read_checks(checks or [], probes, secrets)
    except InputError as error:
        problems += error.problems
    if not found and not asked and not problems:
        problems.append(Problem("pages", "names neither a page nor a check, so there is nothing to look at"))
    if problems:
        raise InputError(problems)
    return Asked(tuple(found), tuple(asked))


def steady_clock() -> float:
    """Seconds since the machine was started, suspended time included where the system counts it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def memory() -> float:
    """The most memory that this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def read_page(page: Page, context: Context) -> dict[Key, float]:
    """The value of every series of a page that is to be kept. Raises ProbeError, also when a series stands on it twice."""
    with _net.Guard(context) as guard:
        client = _http.Client(page.options, context, guard)
        try:
            look = metrics.sample(page.options, page.selectors, client, context)[0]
        finally:
            client.close()
    found: dict[Key, float] = {}
    for chosen in look.page.samples:
        own: set[Key] = set()
        for one in chosen:
            if one.key in own:
                raise ProbeError(f"the series {Selector(one.key[0], dict(one.key[1]))} appears twice on the page")
            own.add(one.key)
            found[one.key] = one.value
    return found


def of_verdicts(verdicts: Any) -> dict[Key, float]:
    """Verdicts as series."""
    found: dict[Key, float] = {}
    for one in verdicts:
        label = (("check", str(one["id"])),)
        found["golive_check_passed", label] = 1.0 if one["status"] in GOOD else 0.0
        found["golive_check_duration_seconds", label] = float(one["duration"])
        for name, measure in one["measures"].items():
            value = measure["value"]
            if isinstance(value, (bool, int, float)):
                found["golive_check_measure", (*label, ("measure", str(name)))] = float(value)
    return found


def look(
    asked: Asked,
    probes: Mapping[str, Probe],
    clock: Optional[Clock] = None,
    steady: Callable[[], float] = steady_clock,
    own: Optional[Mapping[str, float]] = None,
) -> Seen:
    """Look once at everything, all of it at the same time. A page that could not be read has no look. ``own``: more series that
    the sampler tells of itself."""
    clock = clock or Clock()
    seen = Seen()
    at, since_start = clock.now(), steady()

    def one_page(page: Page) -> Any:
        context = Context(clock.monotonic() + page.timeout, clock.monotonic, clock.now, clock.sleep)
        try:
            return read_page(page, context)
        except ProbeError as error:
            return str(error)
        except Exception as error:  # a page that trips the reader up must not end the sampler
            return f"{type(error).__name__}: {error}"

    workers = max(1, min(MOST_AT_ONCE, len(asked.pages)))
    with ThreadPoolExecutor(max_workers=workers) as pool:
        answers = [pool.submit(one_page, page) for page in asked.pages]
        if asked.checks:
            verdicts = run_checks(asked.checks, probes, deadline=3 * TIMEOUT, clock=clock)
            seen.looks.append(Look(CHECKS_PAGE, at, of_verdicts(verdicts)))
        found = [answer.result() for answer in answers]
    read: dict[Key, float] = {}
    for page, answer in zip(asked.pages, found):
        if isinstance(answer, str):
            seen.failed[page.name] = answer
        else:
            seen.looks.append(Look(page.name, at, answer))
        read["golive_sampler_page_read", (("of", page.name),)] = 0.0 if isinstance(answer, str) else 1.0
    about = {
        SAMPLER_CLOCK: since_start,
        "golive_sampler_look_seconds": max(steady() - since_start, 0.0),
        **(own or {}),
    }
    seen.looks.append(Look(SAMPLER_PAGE, at, {**{(name, ()): value for name, value in about.items()}, **read}))
    return seen


def write(store: Store, seen: Seen, keep: Optional[float] = None, host: str = "") -> Written:
    """Write a look into the store. Raises InputError, StoreError."""
    return samples.write(store, seen.looks, keep, host)
