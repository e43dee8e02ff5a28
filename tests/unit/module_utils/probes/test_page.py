# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Metrics pages: what is selected is what a full parse would give, and a page that is not whole is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics_writer
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError
from ansible_collections.golive.cutover.plugins.module_utils.probes._page import BadPage, Page, Reader, Selector, read_page

NAMES = ("app", "app_total", "app_errors_total", "app_errors", "app:rate5m", "up", "appx")
VALUES = ("0", "1", "-3", "1.5", "1e6", "+Inf", "NaN", "9007199254740993", ".5", "1E-9", "+4", "Infinity")
LABEL_VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=8)

# The OpenMetrics half of the library carries no types.
generate_openmetrics: Callable[[CollectorRegistry], bytes] = openmetrics_writer.generate_latest
parse_openmetrics: Callable[[str], Iterable[Any]] = openmetrics_parser.text_string_to_metric_families

Series = dict[tuple[str, tuple[tuple[str, str], ...]], tuple[Any, Optional[float]]]


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


@st.composite
def text_pages(draw: st.DrawFn) -> str:
    """Pages of the text format with everything that the format allows, each series once."""
    lines = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=6)):
        if draw(st.booleans()):
            lines.append(f"# HELP {name} {draw(st.sampled_from(['what it is', 'app_total 5', '']))}")
        if draw(st.booleans()):
            lines.append(f"# TYPE {name} {draw(st.sampled_from(['counter', 'gauge', 'untyped']))}")
        for number in range(draw(st.integers(0, 3))):
            labels = [f'n="{number}"']
            labels += [f'{key}="{_escape(draw(LABEL_VALUES))}"' for key in draw(st.sampled_from(["", "a", "ab", "a_1"]))[:1]]
            comma = draw(st.sampled_from(["", ","]))
            inner = draw(st.sampled_from([",", ", "])).join(labels) + comma
            start = draw(st.sampled_from(["", "", "", " ", "\t"]))
            space = draw(st.sampled_from([" ", " ", "  ", "\t"]))
            stamp = draw(st.sampled_from(["", "", " 1700000000000"])) if space == " " else ""
            lines.append(f"{start}{name}{{{inner}}}{space}{draw(st.sampled_from(VALUES))}{stamp}")
        lines += draw(st.sampled_from([[], [""], ["# a comment"], ["#"]]))
    return "".join(f"{line}\n" for line in [*lines, "last_one 1"])


def _full(page: str) -> Series:
    """What prometheus_client makes of the whole page. Without the TYPE lines, because it renames counters."""
    plain = "".join(f"{line}\n" for line in page.split("\n") if not line.startswith("# TYPE"))
    return _series(parse_text(plain))


def _series(families: Any) -> Series:
    return {
        (one.name, tuple(sorted(one.labels.items()))): (
            repr(float(one.value)),
            None if one.timestamp is None else float(one.timestamp),
        )
        for family in families
        for one in family.samples
    }


def _chosen(page: Page) -> Series:
    return {one.key: (repr(one.value), one.at) for chosen in page.samples for one in chosen}


def _in_pieces(page: str, selectors: list[Selector], openmetrics: Optional[bool], size: int) -> Page:
    raw = page.encode()
    reader = Reader(selectors, openmetrics)
    for start in range(0, len(raw), size):
        reader.feed(raw[start : start + size])
    return reader.finish()


@settings(deadline=None)
@given(text_pages(), st.lists(st.sampled_from(NAMES), unique=True, min_size=1), st.integers(1, 200), st.sampled_from([None, False]))
def test_what_is_selected_by_name_is_what_a_full_parse_gives(
    page: str, names: list[str], size: int, openmetrics: Optional[bool]
) -> None:
    expected = {key: value for key, value in _full(page).items() if key[0] in names}
    assert _chosen(_in_pieces(page, [Selector(name) for name in names], openmetrics, size)) == expected


@settings(deadline=None)
@given(text_pages(), st.data())
def test_what_is_selected_by_labels_is_what_a_full_parse_gives(page: str, data: st.DataObject) -> None:
    full = _full(page)
    name, labels = data.draw(st.sampled_from(sorted(full)))
    selector = Selector(name, {key: value for key, value in labels if not value.startswith("~")})
    expected = {key: value for key, value in full.items() if selector.selects(key)}
    assert (name, labels) in expected
    assert _chosen(_in_pieces(page, [selector], False, 64)) == expected


@settings(deadline=None)
@given(text_pages(), st.sampled_from(["~app.*", "~.*_total", "~nothing", "~app|up", "~.*"]), st.sampled_from([None, False]))
def test_what_is_selected_by_pattern_is_what_a_full_parse_gives(page: str, pattern: str, openmetrics: Optional[bool]) -> None:
    selector = Selector(pattern, {"n": "~[01]"})
    expected = {key: value for key, value in _full(page).items() if selector.selects(key)}
    assert _chosen(_in_pieces(page, [selector], openmetrics, 50)) == expected


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    requests = Counter("app_requests", "Requests", ["code"], registry=registry)
    requests.labels("200").inc(5, exemplar={"trace": "abc"})
    requests.labels("500").inc(2)
    Gauge("app_up", "Up", registry=registry).set(1)
    seconds = Histogram("app_seconds", "Seconds", ["path"], registry=registry, buckets=(0.1, 1))
    seconds.labels("/").observe(0.05, exemplar={"trace": "def"})
    seconds.labels("/x").observe(5)
    Summary("app_size", "Size", registry=registry).observe(7)
    return registry


EXPOSED = (
    "app_requests_total",
    "app_requests_created",
    "app_up",
    "app_seconds_bucket",
    "app_seconds_count",
    "app_seconds_sum",
    "app_size_sum",
    "app_size_count",
    "~app_.*_total",
    "~app_seconds_.*",
)


@pytest.mark.parametrize("names", [*([name] for name in EXPOSED), list(EXPOSED[:4]), ["nothing"]])
@pytest.mark.parametrize("declared", [True, None])
def test_openmetrics_pages_of_the_library_itself(names: list[str], declared: Optional[bool]) -> None:
    page = generate_openmetrics(_registry()).decode()
    selectors = [Selector(name) for name in names]
    expected = {
        key: value for key, value in _series(parse_openmetrics(page)).items() if any(one.names(key[0]) for one in selectors)
    }
    got = _in_pieces(page, selectors, declared, 300)
    assert got.openmetrics
    assert _chosen(got) == expected
    assert bool(expected) == (names != ["nothing"])


@pytest.mark.parametrize("name", EXPOSED)
def test_text_pages_of_the_library_itself(name: str) -> None:
    page = generate_latest(_registry()).decode()
    expected = {key: value for key, value in _full(page).items() if Selector(name).names(key[0])}
    got = _in_pieces(page, [Selector(name)], False, 300)
    assert _chosen(got) == expected
    assert got.lines == page.count("\n")


def test_a_counter_keeps_the_name_that_stands_on_the_page() -> None:
    got = read_page(b"# TYPE app counter\napp 5\n", [Selector("app")])
    assert [(one.key[0], one.value) for one in got.samples[0]] == [("app", 5.0)]


def test_gauges_are_known() -> None:
    assert read_page(b"# TYPE app gauge\napp 5\n", [Selector("app")]).gauges == {"app"}
    assert read_page(b"# TYPE app gauge\napp 5\n# EOF\n", [Selector("app")]).gauges == {"app"}
    assert read_page(b"# TYPE app counter\napp 5\n", [Selector("~a.*")]).gauges == frozenset()


def test_a_name_that_starts_like_another() -> None:
    got = read_page(b"app 1\napp_total 2\napp_total_x 3\n", [Selector("app_total")])
    assert [one.value for one in got.samples[0]] == [2.0]


def test_an_empty_label_is_a_label_that_is_not_there() -> None:
    got = read_page(b'app{a="1"} 1\napp 2\napp{a=""} 3\n', [Selector("app", {"a": ""})])
    assert [one.value for one in got.samples[0]] == [2.0, 3.0]


def test_quoted_names() -> None:
    got = read_page(b'{"app.errors",a="1"} 4\nother 1\n', [Selector("app.errors")])
    assert [one.value for one in got.samples[0]] == [4.0]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "empty"),
        (b"\n\n", "no sample"),
        (b"# HELP app x\n# TYPE app counter\n", "no sample"),
        (b"<html><body>app 1\n</body></html>\n", "HTML"),
        (b"\n  <!DOCTYPE html>\n", "HTML"),
        (b"app 1\n<html>\n", "HTML in the middle"),
        (b"app 1\nup 12", "cut off"),
        (b'{"status": "ok"}\n', "no sample"),
        (b"Service Unavailable\n", "no sample: 'Service Unavailable'"),
        (b"other 1\nTraceback (most recent call last):\n", "no sample"),
        (b"app 1\napp 2 3 four\n", "cannot be read"),
        (b'app{a="1} 5\napp{a="1"} x5\n', "no sample"),
        (b'app{a="1",a="2"} 5\n', "cannot be read"),
        (b'app{a="1"b="2"} 5\n', "cannot be read"),
        (b'\xff\xfe 1\napp{a="\xff"} 1\n', "not UTF-8"),
        (b"\x00" * 2_000_000, "more than 1 MB"),
        (b"app 1\n# EOF\nup 1\n# EOF\n", "goes on after # EOF"),
    ],
)
def test_pages_that_are_refused(raw: bytes, why: str) -> None:
    with pytest.raises(BadPage) as caught:
        read_page(raw, [Selector("app")])
    assert why in str(caught.value)


def test_openmetrics_must_end_and_has_no_series_twice() -> None:
    with pytest.raises(BadPage, match="without # EOF"):
        read_page(b"app 1\n", [Selector("app")], openmetrics=True)
    with pytest.raises(BadPage, match="twice"):
        read_page(b"# TYPE app gauge\napp 1\napp 2\n# EOF\n", [Selector("app")])


@settings(deadline=None)
@given(text_pages(), st.integers(1, 10_000))
def test_a_page_that_is_cut_inside_a_line_is_never_read(page: str, cut: int) -> None:
    raw = page.encode()
    part = raw[: cut % len(raw)]
    if part.endswith(b"\n"):
        return
    with pytest.raises(BadPage):
        read_page(part, [Selector("app")])


def test_nan_is_handed_on_to_whoever_judges() -> None:
    assert math.isnan(read_page(b"app NaN\n", [Selector("app")]).samples[0][0].value)


def test_many_selected_lines_end_with_the_time() -> None:
    reader = Reader([Selector("app")], False)
    reader.feed("".join(f'app{{a="{number}"}} 1\n' for number in range(2000)).encode())
    with pytest.raises(ProbeError, match="time ran out"):
        reader.finish(over=lambda: True)
