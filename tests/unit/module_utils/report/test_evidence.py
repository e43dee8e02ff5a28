# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence beside a report: what is read, what the page shows, and what it does not."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.artefacts import Kept
from ansible_collections.golive.cutover.plugins.module_utils.report import decision_json, evidence, files, html
from ansible_collections.golive.cutover.plugins.module_utils.report.model import read_run

JPEG = b"\xff\xd8\xff\xe0picture"
PACKED = base64.b64encode(JPEG).decode()


def keep(directory: Path, run: dict[str, Any], kept: Kept) -> dict[str, Any]:
    """Write it, and let the first verdict of the run name it."""
    file = evidence.write(directory / run["id"], "web-1", kept)
    record = {**kept.record(), "file": file}
    run["hosts"]["web-1"]["verdicts"][0]["artefacts"] = [record]
    return record


def page(directory: Path, run: dict[str, Any]) -> str:
    return html.render(read_run(run, evidence=evidence.reader(directory)))


def test_a_picture_is_in_the_page_and_only_named_by_the_decision(run_of: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    run = run_of("go")
    record = keep(tmp_path, run, Kept("SMOKE-1", "page.jpg", "image/jpeg", JPEG))
    path = tmp_path / run["id"] / record["file"]
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (JPEG, 0o640)
    assert f'<img src="data:image/jpeg;base64,{PACKED}" alt="page.jpg of SMOKE-1 on web-1"' in page(tmp_path, run)
    decision = decision_json.render(read_run(run, evidence=evidence.reader(tmp_path)))
    assert PACKED not in decision
    assert json.loads(decision)["verdicts"][0]["artefacts"] == [record]
    assert "artefacts" not in json.loads(decision)["verdicts"][1]


def test_every_directory_that_is_made_is_closed_to_others(run_of: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    run = run_of("go")
    umask = os.umask(0o022)
    try:
        keep(tmp_path / "reports" / "prod", run, Kept("SMOKE-1", "page.jpg", "image/jpeg", JPEG))
        files.write(tmp_path / "other" / "prod", run["id"], {"summary.md": "go"})
    finally:
        os.umask(umask)
    made = [path for path in tmp_path.rglob("*") if path.is_dir() and not path.is_symlink()]
    assert len(made) == 7
    assert {path: stat.S_IMODE(path.stat().st_mode) for path in made} == dict.fromkeys(made, 0o750)


def test_a_picture_of_a_check_that_failed_is_seen_at_once(run_of: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    run = run_of("go")
    keep(tmp_path, run, Kept("SMOKE-1", "page.jpg", "image/jpeg", JPEG))
    run["hosts"]["web-1"]["verdicts"][0].update(status="fail", reason="js_errors is 1")
    shown = page(tmp_path, run)
    assert shown.index("data:image/jpeg") < shown.index("<summary>Evidence</summary>")


def test_a_text_is_escaped_and_cut(run_of: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    run = run_of("go")
    content = b'{"a": "<script>alert(1)</script>"}' + b" " * 20_000 + b"the end"
    keep(tmp_path, run, Kept("SMOKE-1", "canary_resp.json", "application/json", content))
    shown = page(tmp_path, run)
    assert "&lt;script&gt;alert(1)" in shown
    assert "<script>" not in shown
    assert "canary_resp.json, 20.04 kB" in shown
    assert "cut here; the whole is in evidence/web-1-SMOKE-1-canary_resp-" in shown
    assert "the end" not in shown


def test_what_lies_there_must_be_what_was_seen(run_of: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    run = run_of("go")
    record = keep(tmp_path, run, Kept("SMOKE-1", "page.jpg", "image/jpeg", JPEG))
    (tmp_path / run["id"] / record["file"]).write_bytes(JPEG + b"changed")
    shown = page(tmp_path, run)
    assert "data:image" not in shown
    assert f"page.jpg, 11 B, is in {record['file']}" in shown


@pytest.mark.parametrize("file", ["../secret.jpg", "/etc/passwd", "evidence/link.jpg", "evidence/gone.jpg", ""])
def test_no_other_file_is_read(run_of: Callable[[str], dict[str, Any]], tmp_path: Path, file: str) -> None:
    run = run_of("go")
    keep(tmp_path, run, Kept("SMOKE-1", "page.jpg", "image/jpeg", JPEG))
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    (tmp_path / run["id"] / "evidence" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    run["hosts"]["web-1"]["verdicts"][0]["artefacts"][0]["file"] = file
    assert "data:image" not in page(tmp_path, run)


def test_what_is_only_called_a_picture_is_not_shown(run_of: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    run = run_of("go")
    keep(tmp_path, run, Kept("SMOKE-1", "page.jpg", "image/jpeg", b"<svg onload=alert(1)>"))
    assert "data:" not in page(tmp_path, run).replace("img-src data:", "")


def test_a_page_takes_in_so_much_and_no_more(
    run_of: Callable[[str], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "LARGEST_PAGE", 15)
    run = run_of("go")
    record = keep(tmp_path, run, Kept("SMOKE-1", "page.jpg", "image/jpeg", JPEG))
    run["hosts"]["web-1"]["verdicts"][1]["artefacts"] = [record]
    assert page(tmp_path, run).count("data:image/jpeg") == 1
