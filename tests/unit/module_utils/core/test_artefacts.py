# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What is kept as evidence: bounded, without secrets, named by the verdict and handed over beside it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core import artefacts
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import LARGEST_ARTEFACT, Artefact, Context, Observation
from tests.unit.module_utils.core.fakes import FakeProbe

JPEG = b"\xff\xd8\xff\xe0picture"


def ask(*kept: Artefact) -> tuple[dict[str, Any], list[artefacts.Kept]]:
    def look(_context: Context) -> Observation:
        return Observation(measures={"status": 200}, proof={"requests": 1}, artefacts=list(kept))

    probe = FakeProbe(look)
    raw = {"id": "S-1", "fake": {"password": {"secret": "p"}}, "expect": {"status": "== 200"}}
    found: list[artefacts.Kept] = []
    (verdict,) = run_checks(read_checks([raw], {"fake": probe}, {"p": "CANARY-3"}), {"fake": probe}, kept=found)
    assert verdict["status"] == "pass"
    return verdict, found


def test_a_verdict_names_what_is_kept_and_does_not_hold_it() -> None:
    verdict, kept = ask(Artefact("page.jpg", "image/jpeg", JPEG), Artefact("answer.json", "application/json", b'{"a": "CANARY-3"}'))
    assert [one.content for one in kept] == [JPEG, b'{"a": "***"}']
    assert verdict["artefacts"] == [
        {"name": "page.jpg", "media_type": "image/jpeg", "bytes": 11, "sha256": hashlib.sha256(JPEG).hexdigest()},
        {"name": "answer.json", "media_type": "application/json", "bytes": 12, "sha256": kept[1].sha256},
    ]


def test_a_verdict_without_evidence_says_nothing_of_it() -> None:
    verdict, kept = ask()
    assert "artefacts" not in verdict
    assert not kept


@pytest.mark.parametrize(
    ("artefact", "why"),
    [
        (Artefact("a.html", "text/html", b"<p>"), "a.html is not kept: text/html is not among"),
        (Artefact("a.jpg", "image/jpeg", b"<svg>"), "a.jpg is not kept: it is no image/jpeg"),
        (Artefact("a.txt", "text/plain", b"x" * (LARGEST_ARTEFACT + 1)), "a.txt is not kept: it has 1000001 bytes"),
    ],
)
def test_what_is_not_kept_is_said(artefact: Artefact, why: str) -> None:
    verdict, kept = ask(artefact)
    assert not kept
    assert verdict["proof"]["not_kept"][0].startswith(why)


def test_there_is_a_limit_for_one_check_and_for_all() -> None:
    verdict, kept = ask(*(Artefact(f"{number}.txt", "text/plain", b"x") for number in range(6)))
    assert len(kept) == artefacts.MOST
    assert len(verdict["proof"]["not_kept"]) == 2
    assert [one.name for one in artefacts.bounded(kept, most=2)] == ["0.txt", "1.txt"]


def test_the_name_of_a_file_is_safe_and_follows_from_the_content() -> None:
    kept = artefacts.Kept("../../S 1", "../page.jpg", "image/jpeg", JPEG)
    name = kept.file("web-1.example")
    assert name == f"evidence/web-1_example-S_1-page-{kept.sha256[:8]}.jpg"
    assert artefacts.FILE.match(name)
    assert artefacts.Kept("ü", "é", "text/plain", b"").file("ß").startswith("evidence/x-x-x-")


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        {"check": "a", "name": "b", "media_type": "text/html", "content": ""},
        {"check": "a", "name": "b", "media_type": "image/png", "content": "AAAA"},
        {"check": "a", "name": "b", "media_type": "text/plain", "content": "not base64!"},
        {"check": ["a"], "name": "b", "media_type": "text/plain", "content": ""},
    ],
)
def test_what_a_host_should_not_hand_over_is_not_taken(raw: Any) -> None:
    assert artefacts.unpack(raw) is None


def test_what_is_packed_is_unpacked() -> None:
    kept = artefacts.Kept("S-1", "page.jpg", "image/jpeg", JPEG)
    assert artefacts.unpack(kept.packed()) == kept


@pytest.mark.parametrize("name", ["/etc/passwd", "evidence/../report.html", "evidence/.hidden", "evidence/a/b.jpg", "a.jpg", ""])
def test_a_file_is_named_nowhere_else(name: str) -> None:
    assert not artefacts.FILE.match(name)
