# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units of systemd, that of the sampler and those of the documentation, are what systemd takes without a complaint."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jinja2

ROOT = Path(__file__).resolve().parents[3]


def units_of_the_documentation() -> dict[str, str]:
    """File name to content, of every unit that the page on hypercare shows."""
    page = (ROOT / "docs/hypercare.md").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for block in re.findall(r"```ini\n(.*?)```", page, re.DOTALL):
        parts = re.split(r"^# /etc/systemd/system/(\S+)\n", block, flags=re.MULTILINE)
        found.update(zip(parts[1::2], parts[2::2]))
    return found


def test_the_units_are_sound(tmp_path: Path) -> None:
    template = jinja2.Template((ROOT / "roles/hypercare/templates/sampler.service.j2").read_text(encoding="utf-8"))
    sampler = template.render(
        ansible_managed="Ansible managed",
        cutover_environment="shop",
        toolbox_python=sys.executable,
        __hypercare_program=str(tmp_path / "a place" / "sampler.pyz"),
        __hypercare_settings=str(tmp_path / "shop.json"),
    )
    units = {**units_of_the_documentation(), "golive-sampler-shop.service": sampler}
    assert {"hypercare-shop.service", "hypercare-shop.timer"} < set(units)
    for name, content in units.items():
        # The programs of the documentation are not on this machine.
        text = re.sub(r"^ExecStart=/srv/\S+", f"ExecStart={sys.executable}", content, flags=re.MULTILINE)
        text = re.sub(r"^WorkingDirectory=.*", f"WorkingDirectory={tmp_path}", text, flags=re.MULTILINE)
        (tmp_path / name).write_text(text, encoding="utf-8")
        parsed = configparser.RawConfigParser(strict=True)
        parsed.optionxform = str  # type: ignore[assignment, method-assign]
        parsed.read_string(text)
        assert parsed.sections(), name
    analyze = shutil.which("systemd-analyze")
    if analyze is not None:
        command = [analyze, "verify", *(str(tmp_path / name) for name in units)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
