# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns whose search may explode are refused, wherever a person may write one; those that are in use are not."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils import env_file
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.core.patterns import compile_pattern
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES

EXPLODES = "(a+)+$"


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$",
        r"(a*)*",
        r"(a+?)+?$",
        r"(?:a{1,20})+$",
        r"(.*,)*x",
        r"(.*?,){11}P",
        r"(\w+\s?)*$",
        r"(.|\s)*x",
        r'([^"\\]+|\\.)*"',
        r"(a+|b)*c",
        r"(a|b|ab)*c",
        r"(ab|a.)*z",
        r"(\d\d|\w)+x",
        r"(a?a)+x",
        r"((a+)b?)+",
        r"x(y(a+)+z)",
        r"(?=(a+)+$)b",
        r"(?i)(a+A)+",
        r"(?i:(a+A))+",
        r"(?s)(.*\n)*x",
        r"(?:(?:a|b)?c?)*d",
    ],
)
def test_what_can_divide_a_text_in_several_ways_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="can search for ever"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^v1\.",
        r"^\d+$",
        r".*ERROR.*",
        r"(?i)error|fatal|panic",
        r"([^:]+)",
        r"v?\d+(\.\d+)*",
        r"[a-z]+(-[a-z0-9]+)*",
        r"(\d+,)*\d+",
        r"([^,]*,)*",
        r"^(/[a-z]+)+$",
        r"(\w+\s+)*x",
        r"(\s*\w+\s*,)*x",
        r"(\w+=\d+;)*",
        r"((a,)+;)*",
        r"(ab?)+",
        r"(foo|bar|baz)+",
        r"(.|\n)*x",
        r"(?:.*\n)*",
        r'"(?:[^"\\]|\\.)*"',
        r"(\d{1,3}\.){3}\d{1,3}",
        r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}",
        r"(GET|POST|PUT) /(\S*)",
        r"(?P<a>x)(?P=a)*",
        *env_file.DEFAULT_PLACEHOLDERS,
    ],
)
def test_what_is_in_use_is_compiled_and_quick(pattern: str) -> None:
    compiled = compile_pattern(pattern)
    begun = time.process_time()
    for text in ("a" * 60 + "!", "ab" * 30 + "!", "1." * 30 + "!", "foobar" * 10 + "!", "a, " * 30 + "!", "\\" * 61):
        compiled.search(text)
    assert time.process_time() - begun < 0.5


def test_flags_are_kept_and_what_is_no_pattern_is_said() -> None:
    assert compile_pattern("^a$", re.MULTILINE).flags & re.MULTILINE
    for text in ("(", "a{99999999999}", "*"):
        with pytest.raises(ValueError, match="is not a regular expression"):
            compile_pattern(text)


@pytest.mark.parametrize(
    ("probe", "expect", "key"),
    [
        ({"file": {"path": "/x", "patterns": {"a": EXPLODES}}}, {"count.a": "== 1"}, "file.patterns"),
        ({"process": {"pattern": EXPLODES}}, {"processes": "== 1"}, "process.pattern"),
        ({"log": {"file": "/x", "since": "1m", "patterns": {"a": EXPLODES}}}, {"lines": "> 0"}, "log.patterns"),
        ({"log": {"file": "/x", "since": "1m", "patterns": {"a": "b"}, "where": EXPLODES}}, {"lines": "> 0"}, "log.where"),
        ({"metrics": {"url": "http://x/", "name": f"~{EXPLODES}"}}, {"value": "> 1"}, "metrics.name"),
        ({"metrics": {"url": "http://x/", "name": "a", "labels": {"b": f"~{EXPLODES}"}}}, {"value": "> 1"}, "metrics.labels"),
        ({"env_file": {"path": "/x", "placeholders": [EXPLODES]}}, {"exists": "== true"}, "env_file.placeholders"),
        ({"http": {"url": "http://x/"}}, {"body": f"matches {EXPLODES}"}, "expect.body"),
        ({"http": {"url": "http://x/"}}, {"body": f"not matches {EXPLODES}"}, "expect.body"),
        (
            {"page": {"url": "http://x/", "steps": [{"expect_text": "h1", "matches": EXPLODES}]}},
            {"script": "== completed"},
            "page.steps",
        ),
    ],
)
def test_every_key_that_takes_a_pattern_refuses_it(probe: dict[str, Any], expect: dict[str, str], key: str) -> None:
    with pytest.raises(InputError) as refused:
        read_checks([{"id": "A-1", **probe, "expect": expect}], PROBES)
    said = [str(problem) for problem in refused.value.problems if "can search for ever" in problem.message]
    assert len(said) == 1, str(refused.value)
    assert f"A-1.{key}" in said[0]


def test_a_rule_of_an_env_file_refuses_it() -> None:
    with pytest.raises(InputError, match="can search for ever"):
        env_file.read_rules(formats={"KEY": {"regex": EXPLODES}})
