# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Which formats a report has: each is one file and one function from a run to its text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from ansible_collections.golive.cutover.plugins.module_utils.report import decision_json, html, junit, summary_md
from ansible_collections.golive.cutover.plugins.module_utils.report.model import Run


class Format(NamedTuple):
    filename: str
    render: Callable[[Run], str]


FORMATS: Mapping[str, Format] = {
    "decision_json": Format("decision.json", decision_json.render),
    "junit": Format("junit.xml", junit.render),
    "summary_md": Format("summary.md", summary_md.render),
    "html": Format("report.html", html.render),
}


def render(run: Run, formats: Iterable[str]) -> dict[str, str]:
    """The files of a report: file name to content."""
    return {FORMATS[name].filename: FORMATS[name].render(run) for name in formats}
