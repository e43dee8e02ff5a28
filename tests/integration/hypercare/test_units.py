# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units of systemd, that of the sampler and those of the documentation, are what systemd takes without a complaint."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jinja2
import pytest

ROOT = Path(__file__).resolve().parents[3]


def units_of_the_documentation() -> dict[str, str]:
    """File name to content, of every unit that the page on hypercare shows."""
    page = (ROOT / "docs/hypercare.md").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for block in re.findall(r"```ini\n(.*?)```", page, re.DOTALL):
        parts = re.split(r"^# /etc/systemd/system/(\S+)\n", block, flags=re.MULTILINE)
        found.update(zip(parts[1::2], parts[2::2]))
    return found


def rendered(template: str, **variables: object) -> str:
    """A template of the role, as Ansible renders it."""
    loader = jinja2.FileSystemLoader(ROOT / "roles/hypercare/templates")
    environment = jinja2.Environment(loader=loader, trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    environment.filters["quote"] = shlex.quote
    return environment.get_template(template).render(ansible_managed="Ansible managed", cutover_environment="shop", **variables)


#: A command whose words mean something to a shell, to cron and to systemd.
WORDS = [
    "-c",
    "import sys; open(sys.argv[1], 'w').write('\\n'.join(sys.argv[2:]))",
    "@OUT@",
    "a b",
    '"$HOME" %h',
    "100%",
    "back\\slash",
    "it's",
]


def scheduled(place: Path, **more: object) -> dict[str, object]:
    words = [sys.executable, *(str(place / "out") if one == "@OUT@" else one for one in WORDS)]
    return {
        "hypercare_schedule_checkpoints": words,
        "hypercare_schedule_directory": str(place),
        "hypercare_schedule_minutes": 15,
        "hypercare_schedule_user": "",
        **more,
    }


def test_cron_is_told_the_command_word_for_word(tmp_path: Path) -> None:
    place = tmp_path / "50% of it's place"
    place.mkdir()
    line = rendered("checkpoints.cron.j2", **scheduled(place)).strip()
    assert "\n" not in line and not re.search(r"(?<!\\)%", line), "to cron a percent sign is the end of the line"
    subprocess.run(["sh", "-c", line.replace("\\%", "%")], check=True, timeout=60, cwd="/")
    assert (place / "out").read_text(encoding="utf-8").split("\n") == WORDS[3:]


def test_systemd_is_told_the_command_word_for_word(tmp_path: Path) -> None:
    service = rendered("checkpoints.service.j2", **scheduled(tmp_path, hypercare_schedule_user="deploy"))
    assert "\nUser=deploy\n" in service and service.endswith("\n")
    assert "User=" not in rendered("checkpoints.service.j2", **scheduled(tmp_path))
    (line,) = re.findall(r"^ExecStart=(.*)$", service, re.MULTILINE)
    # systemd reads words in double quotes, then specifiers (%%) and variables ($$), each of which stands for itself when doubled.
    words = re.findall(r'"((?:[^"\\]|\\.)*)"(?: |$)', line)
    plain = [re.sub(r"\\(.)", r"\1", one).replace("%%", "%").replace("$$", "$") for one in words]
    assert plain == scheduled(tmp_path)["hypercare_schedule_checkpoints"]
    assert all(one.replace("%%", "").count("%") == 0 and one.replace("$$", "").count("$") == 0 for one in words)


@pytest.mark.parametrize("minutes", [5, 15, 30])
def test_the_timer_and_cron_call_as_often(minutes: int) -> None:
    timer = rendered("checkpoints.timer.j2", hypercare_schedule_minutes=minutes)
    assert f"\nOnCalendar=*:0/{minutes}\n" in timer and "\nPersistent=true\n" in timer
    tasks = (ROOT / "roles/hypercare/tasks/schedule.yml").read_text(encoding="utf-8")
    assert 'minute: "*/{{ hypercare_schedule_minutes }}"' in tasks


def test_the_units_are_sound(tmp_path: Path) -> None:
    sampler = rendered(
        "sampler.service.j2",
        toolbox_python=sys.executable,
        __hypercare_program=str(tmp_path / "a place" / "sampler.pyz"),
        __hypercare_settings=str(tmp_path / "shop.json"),
    )
    checkpoints = {
        f"golive-checkpoints-shop.{kind}": rendered(
            f"checkpoints.{kind}.j2", **scheduled(tmp_path, hypercare_schedule_user=os.environ.get("USER", "root"))
        )
        for kind in ("service", "timer")
    }
    units = {**units_of_the_documentation(), **checkpoints, "golive-sampler-shop.service": sampler}
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
