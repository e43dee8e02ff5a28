# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running things and taking their time: wall clock, and processor time with that of all their children."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.figures import NotMeasured

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")


@dataclass(frozen=True)
class Run:
    """A process that has ended. Times in seconds."""

    exit_code: int
    seconds: float
    cpu: float
    output: str
    errors: str


def run(command: Sequence[object], *, environment: Mapping[str, str], cwd: Path = ROOT, limit: float = 600.0) -> Run:
    """Run a command to its end. Raises NotMeasured when it cannot be run or does not end within ``limit`` seconds."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    try:
        done = subprocess.run(
            [str(one) for one in command],
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit,
        )
    except FileNotFoundError as error:
        raise NotMeasured(f"{error.filename} is not there") from error
    except subprocess.TimeoutExpired as error:
        raise NotMeasured(f"{Path(str(command[0])).name} did not end within {limit:g} s") from error
    seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(done.returncode, seconds, cpu, done.stdout, done.stderr)


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of an Ansible run: the configuration of the project, and everything temporary below ``home``.

    Settings of Ansible that the caller happens to have would change what is measured.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {
        **kept,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_LOCAL_TEMP": str(home / "ansible/local"),
        "ANSIBLE_REMOTE_TEMP": str(home / "ansible/remote"),
        "ANSIBLE_NOCOLOR": "1",
        **more,
    }


def write_play(path: Path, tasks: Sequence[Mapping[str, Any]]) -> Path:
    """A playbook for this machine with these tasks; JSON is YAML."""
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": list(tasks)}
    path.write_text(json.dumps([play]), encoding="utf-8")
    return path
