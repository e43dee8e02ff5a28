# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo in two acts: a cutover that ends in GO, and one that is NO-GO and rolled back by itself.

Exit code 0 only when both acts ended as they should; what each did is read from its decision.json, not from the screen.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import ROOT, Machine, MachineError

PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
# Another directory than .demo is for whoever plays a second demo beside the first, as the tests do.
HOME = Path(os.environ.get("GOLIVE_DEMO_HOME") or ROOT / ".demo").resolve()
REPORTS = Path(os.environ.get("GOLIVE_DEMO_REPORTS") or ROOT / "reports").resolve()
LATEST = REPORTS / "demo" / "latest"


@dataclass(frozen=True)
class Act:
    """One cutover, and how it must end."""

    title: str
    release: str
    expected: dict[str, Any]


ACTS = (
    Act("Act 1: cut over to 1.0.0", "1.0.0", {"decision": "go", "rolled_back": False}),
    Act(
        "Act 2: cut over to 1.1.0, whose alert engine errors and whose stream stalls",
        "1.1.0",
        {"decision": "no_go", "previous_release": "1.0.0", "rolled_back": True, "rollback_verified": True},
    ),
)


def heading(text: str) -> None:
    print(f"\n{text}\n{'=' * len(text)}", flush=True)


def play(act: Act) -> tuple[int, dict[str, Any] | None]:
    """Run the cutover as a user would; returns its exit code and the decision that it wrote, if it wrote one."""
    before = LATEST.resolve() if LATEST.exists() else None
    variables = {"cutover_release": act.release, "demo_home": str(HOME), "cutover_reports_dir": str(REPORTS)}
    done = subprocess.run(
        [PLAYBOOK, "-i", "inventories/demo", "playbooks/cutover.yml", "-e", json.dumps(variables)],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "golive.cutover.account", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        stdin=subprocess.DEVNULL,
    )
    if not LATEST.exists() or LATEST.resolve() == before:
        return done.returncode, None
    return done.returncode, json.loads((LATEST / "decision.json").read_text(encoding="utf-8"))


def shortfalls(act: Act, exit_code: int, decision: dict[str, Any] | None) -> list[str]:
    """What is not as it should be at the end of an act."""
    if decision is None:
        return ["the run wrote no report"]
    wanted = {**act.expected, "release": act.release}
    found = [f"{key} is {decision.get(key)!r}, expected {value!r}" for key, value in wanted.items() if decision.get(key) != value]
    if (exit_code == 0) is not (act.expected["decision"] == "go"):
        found.append(f"the exit code is {exit_code}")
    return found


def account(act: Act, decision: dict[str, Any] | None, wrong: list[str], directory: Path | None) -> None:
    """An act in a few lines: its end, its rollback, where the report lies."""
    if decision is not None:
        print(f"{act.title}: {'GO' if decision['decision'] == 'go' else 'NO-GO'}")
        if decision["rolled_back"]:
            verified = "verified" if decision["rollback_verified"] else "NOT VERIFIED"
            print(f"  rolled back to {decision['previous_release']} in {decision['rollback_seconds']:.1f} s, {verified}")
        print(f"  report: {os.path.relpath(directory) if directory else '-'}/report.html")
    for one in wrong:
        print(f"  not as it should be: {one}")


def main() -> int:
    machine = Machine(HOME)
    if sys.argv[1:] == ["stop"]:
        ended = machine.stop()
        print(f"ended: {', '.join(ended)}" if ended else "nothing of the demo was running")
        return 0
    begun = time.monotonic()
    subprocess.run([sys.executable, ROOT / "tools/debs.py", "nginx", "redis"], check=True, stdout=subprocess.DEVNULL)
    machine.start()
    ports = machine.ports
    print(f"the demo's own nginx is on port {ports['front']}, its Redis on {ports['redis']}, both in {machine.home}")
    summary = []
    for act in ACTS:
        heading(act.title)
        exit_code, decision = play(act)
        wrong = shortfalls(act, exit_code, decision)
        summary.append((act, decision, wrong, LATEST.resolve() if LATEST.exists() else None))
    heading(f"The demo took {time.monotonic() - begun:.0f} s")
    for act, decision, wrong, directory in summary:
        account(act, decision, wrong, directory)
    print(f"\nThe release runs at http://127.0.0.1:{ports['front']}/technical-analysis ; `make demo-stop` ends everything.")
    return 1 if any(wrong for _act, _decision, wrong, _directory in summary) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MachineError as error:
        sys.exit(f"demo: {error}")
