# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Metrics pages: a few series out of a large page, in bounded memory, and whether the page is whole.

A page arrives in pieces. Of each piece only the lines that can belong to a selected series are kept; they alone go
through the parsers of `prometheus_client`, which decide what they mean. The rest of the page is never parsed, but it
is looked at: HTML, an empty page, lines that are no samples at its start, at its end and in each piece, and an end in
the middle of a line are found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import LibraryMissing, ProbeError

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A series: its name and its labels, sorted."""

LONGEST_LINE = 1 << 20
_LOOKED_AT = 100
"""Lines at the start of the page that must be samples, comments or blank."""
_SUFFIXES = ("_total", "_created", "_count", "_sum", "_bucket", "_gcount", "_gsum", "_info")
"""What OpenMetrics puts after the name of a family to make the names of its samples."""

_SAMPLE = re.compile(
    rb"[ \t]*(?:[^\s{}\"#]+(?:[ \t]*\{.*\}[ \t]*|[ \t]+)|\{.*\}[ \t]*)"
    rb"[+-]?(?:[0-9][0-9.eE+-]*|\.[0-9][0-9eE+-]*|inf(?:inity)?|nan)(?:[ \t].*)?\r?",
    re.IGNORECASE,
)
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="[ !#-\[\]-~]*"'
_PLAIN = re.compile(
    rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{((?:{_LABEL}(?:,{_LABEL})*,?)?)\}})?"
    r" ([+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|NaN|[+-]Inf)".encode()
)
_PLAIN_LABEL = re.compile('([^=,]+)="([^"]*)"')
_NAME = re.compile(rb"[ \t]*([^\s{]*)")
_ODD = (b" ", b"\t", b"{")
"""Starts of lines whose name is not at their start; there are next to none, and the parser sorts them out."""


class BadPage(ProbeError):
    """What was received is not a whole metrics page."""


@dataclass(frozen=True)
class Sample:
    """One sample of a selected series. ``at``: its own timestamp in Unix seconds, which most pages leave out."""

    key: Key
    value: float
    at: Optional[float] = None


@dataclass(frozen=True)
class Selector:
    """Which series: an exact name, or ``~`` and a regular expression for the whole name; the same for the values of
    labels.

    A label that is given must be there; others do not matter. An empty value also matches a series without that label.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def names(self, name: str) -> bool:
        return _matches(self.name, name)

    def selects(self, key: Key) -> bool:
        """Whether a series is meant."""
        if not self.names(key[0]):
            return False
        labels = dict(key[1])
        return all(_matches(wanted, labels.get(label, "")) for label, wanted in self.labels.items())

    def __str__(self) -> str:
        labels = ",".join(
            f'{label}=~"{value[1:]}"' if value.startswith("~") else f'{label}="{value}"' for label, value in self.labels.items()
        )
        return self.name + (f"{{{labels}}}" if labels else "")


def _matches(wanted: str, value: str) -> bool:
    if wanted.startswith("~"):
        return re.fullmatch(wanted[1:], value) is not None
    return wanted == value


@dataclass
class Page:
    """What was selected from one page."""

    samples: list[list[Sample]]
    """For each selector, in the order in which they were given."""
    gauges: frozenset[str]
    """Selected names that the page declares as gauges."""
    size: int
    lines: int
    """Lines of the whole page, selected or not."""
    openmetrics: bool


class Reader:
    """Takes a page in pieces with `feed`, and gives what was selected with `finish`. Both raise BadPage."""

    def __init__(self, selectors: Sequence[Selector], openmetrics: Optional[bool]) -> None:
        """``openmetrics``:

        What the server said about the page; None when it said nothing, and the end of the page decides.
        """
        self._selectors = selectors
        self._declared = openmetrics
        self._carry = b""
        self._kept: list[bytes] = []
        self._size = 0
        self._lines = 0
        self._has_sample = False
        self._looked = 0
        self._last = b""
        names = [selector.name for selector in selectors]
        self._by_pattern = any(name.startswith("~") for name in names)
        self._verdicts: dict[bytes, bool] = {}
        wanted = set(names)
        if openmetrics is not False:
            # Families stay together, because the parser of OpenMetrics judges a family as a whole.
            wanted |= {name[: -len(suffix)] for name in names for suffix in _SUFFIXES if name.endswith(suffix)}
        encoded = sorted(name.encode() for name in wanted if not name.startswith("~"))
        self._families = {name.encode() for name in wanted} if openmetrics is not False else set()
        self._names = {name.encode() for name in names}
        self._prefixes = (*encoded, b"# TYPE ", b"# EOF", *_ODD)
        self._needles = _needles(selectors) if openmetrics is False else {}

    def feed(self, piece: bytes) -> None:
        if not piece:
            return
        self._size += len(piece)
        data = self._carry + piece if self._carry else piece
        if self._size == len(piece) and data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
            raise BadPage("the page is HTML, not metrics")
        cut = data.rfind(b"\n") + 1
        self._carry = data[cut:]
        if len(self._carry) > LONGEST_LINE:
            raise BadPage("the page has a line of more than 1 MB, so it is not a metrics page")
        if not cut:
            return
        whole = data[:cut]
        if whole.startswith(b"<") or b"\n<" in whole:
            raise BadPage("the page has HTML in the middle")
        lines = whole.split(b"\n")
        lines.pop()
        self._lines += len(lines)
        self._look_at(lines)
        self._has_sample = self._has_sample or any(line.strip() and not line.startswith(b"#") for line in lines)
        if self._by_pattern:
            self._kept += [line for line in lines if self._fits(line)]
        else:
            prefixes = self._prefixes
            self._kept += [line for line in lines if line.startswith(prefixes)]

    def _look_at(self, lines: list[bytes]) -> None:
        """Every line at the start of the page, and of each piece the first and the last."""
        looked = lines[: max(_LOOKED_AT - self._looked, 1)]
        self._looked += len(looked)
        for line in (*looked, lines[-1]):
            stripped = line.strip()
            if stripped and not stripped.startswith(b"#") and not _SAMPLE.fullmatch(line):
                raise BadPage(f"the page has a line that is no sample: {_quoted(line)}")
        self._last = lines[-1].strip() or self._last

    def _fits(self, line: bytes) -> bool:
        """Whether a line may belong to a selected series, by its name; for names that are given as patterns."""
        if line.startswith(b"#"):
            if line == b"# EOF":
                return True
            words = line.split(None, 3)
            return len(words) > 2 and words[1] == b"TYPE" and self._wanted(words[2])
        if line.startswith(b"{"):
            return True
        match = _NAME.match(line)
        return match is not None and self._wanted(match.group(1))

    def _wanted(self, name: bytes) -> bool:
        verdict = self._verdicts.get(name)
        if verdict is None:
            text = name.decode(errors="replace")
            verdict = any(selector.names(text) for selector in self._selectors)
            if not verdict and self._declared is not False:
                family = _family(text)
                others = {text, family, *(family + suffix for suffix in _SUFFIXES), *(text + suffix for suffix in _SUFFIXES)}
                verdict = any(selector.names(other) for selector in self._selectors for other in others)
            self._verdicts[name] = verdict
        return verdict

    def finish(self, over: Callable[[], bool] = lambda: False) -> Page:
        """The end of the page.

        ``over`` tells whether the time is up; parsing many lines stops then, with a ProbeError.
        """
        if not self._size:
            raise BadPage("the page is empty")
        if self._carry:
            raise BadPage(f"the page does not end with a line break, so it was cut off: {_quoted(self._carry)}")
        ended = self._last == b"# EOF"
        openmetrics = ended if self._declared is None else self._declared
        if openmetrics and not ended:
            raise BadPage("the page ends without # EOF, so it was cut off")
        if not self._has_sample:
            raise BadPage("the page has no sample on it")
        found, gauges = self._parse(openmetrics, over)
        samples = [[sample for sample in found if selector.selects(sample.key)] for selector in self._selectors]
        return Page(samples, frozenset(gauges), self._size, self._lines, openmetrics)

    def _parse(self, openmetrics: bool, over: Callable[[], bool]) -> tuple[list[Sample], set[str]]:
        try:
            from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
            from prometheus_client.parser import text_string_to_metric_families as parse_text
        except ImportError as error:
            raise LibraryMissing("prometheus_client") from error
        if openmetrics:
            if self._kept.count(b"# EOF") != 1:
                raise BadPage("the page goes on after # EOF")
            lines = [line for line in self._kept if self._in_families(line)]
            return self._run(parse_openmetrics, [*lines, b"# EOF"], over, {})
        types = {
            words[2].decode(errors="replace"): words[3].decode(errors="replace").strip()
            for words in (line.split(None, 3) for line in self._kept if line.startswith(b"# TYPE "))
            if len(words) == 4
        }
        simple: list[Sample] = []
        others: list[bytes] = []
        for number, line in enumerate(line for line in self._kept if self._chosen(line)):
            if not number % 1000 and over():
                raise ProbeError(f"the time ran out after {number} of the selected samples")
            sample = _simple(line)
            if sample is None:
                others.append(line)
            else:
                simple.append(sample)
        # Without their TYPE the lines stand for themselves: the parser then leaves the names as they are on the page,
        # where it would add _total to those of counters.
        parsed, gauges = self._run(parse_text, others, over, types)
        return simple + parsed, gauges

    def _in_families(self, line: bytes) -> bool:
        """Whether a kept line of OpenMetrics belongs to a selected family, and not only starts like it."""
        if line == b"# EOF":
            return False
        if self._by_pattern or line.startswith(b"{"):
            return True
        if line.startswith(b"#"):
            words = line.split(b" ", 3)
            return len(words) > 2 and words[2] in self._families
        match = _NAME.match(line)
        name = match.group(1) if match else b""
        return name in self._families or _family(name.decode(errors="replace")).encode() in self._families

    def _chosen(self, line: bytes) -> bool:
        """Whether a kept line of the text format has a selected name and can have the selected labels."""
        match = _NAME.match(line)
        name = match.group(1) if match else b""
        if name.startswith(b"#"):
            return False
        if not name:
            return bool(line.strip())
        if self._by_pattern:
            return self._wanted(name)
        if name not in self._names:
            return False
        needles = self._needles.get(name)
        return needles is None or any(all(needle in line for needle in one) for one in needles)

    def _run(
        self, parse: Callable[[str], Iterable[Any]], lines: list[bytes], over: Callable[[], bool], types: Mapping[str, str]
    ) -> tuple[list[Sample], set[str]]:
        samples: list[Sample] = []
        gauges = {name for name, kind in types.items() if kind == "gauge"}
        expected = sum(not line.startswith(b"#") for line in lines)
        try:
            for family in parse("\n".join(line.decode() for line in lines)):
                if over():
                    raise ProbeError(f"the time ran out after {len(samples)} of {expected} selected samples")
                for one in family.samples:
                    key = (one.name, tuple(sorted(one.labels.items())))
                    samples.append(Sample(key, float(one.value), None if one.timestamp is None else float(one.timestamp)))
                    if family.type == "gauge":
                        gauges.add(one.name)
        except UnicodeDecodeError as error:
            raise BadPage("the page has a line that is not UTF-8") from error
        except (ValueError, OverflowError, KeyError, IndexError, AttributeError, TypeError) as error:
            raise BadPage(f"the page cannot be read as metrics: {str(error)[:200] or type(error).__name__}") from error
        if len(samples) != expected:
            # The parser of OpenMetrics passes over the second sample of a series without a word.
            raise BadPage("the page has a series that appears twice")
        return samples, gauges


def _simple(line: bytes) -> Optional[Sample]:
    """A sample that is written in the plainest way: one space, no escapes, no timestamp. None for all others.

    Nearly every line of nearly every page is of this kind, and reading it here is ten times as fast as in the parser.
    What is not, or not surely, valid is left to the parser to refuse.
    """
    match = _PLAIN.fullmatch(line)
    if match is None:
        return None
    name, inner, value = match.groups()
    pairs = _PLAIN_LABEL.findall(inner.decode()) if inner else []
    labels = dict(pairs)
    if len(labels) != len(pairs) or "__name__" in labels:
        return None
    return Sample((name.decode(), tuple(sorted(labels.items()))), float(value))


def _family(name: str) -> str:
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return name


def _needles(selectors: Iterable[Selector]) -> dict[bytes, list[tuple[bytes, ...]]]:
    """Per name what a line must contain for one of its selectors to choose it:

    The values of exact labels, in quotes.
    """
    found: dict[bytes, list[tuple[bytes, ...]]] = {}
    for selector in selectors:
        exact = [value for value in selector.labels.values() if value and not value.startswith("~")]
        sure = tuple(f'"{value}"'.encode() for value in exact if not re.search(r'[\\"\n]', value))
        found.setdefault(selector.name.encode(), []).append(sure)
    return found


def _quoted(line: bytes) -> str:
    text = line.decode(errors="replace").strip()
    return repr(text if len(text) <= 60 else text[:57] + "...")


def read_page(raw: bytes, selectors: Sequence[Selector], openmetrics: Optional[bool] = None) -> Page:
    """Select from a page that is in memory. Raises BadPage."""
    reader = Reader(selectors, openmetrics)
    for start in range(0, len(raw), 1 << 18):
        reader.feed(raw[start : start + (1 << 18)])
    return reader.finish()
