# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine of the demo for one test: own directory, own ports, and the playbooks as a user runs them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.golive.cutover.plugins.module_utils.store import ledger, lock, releases
from ansible_collections.golive.cutover.plugins.module_utils.store.registry import open_store
from tests.conftest import CACHE, ROOT, AnsibleResult, ansible_environment, wait_until

sys.path.insert(0, str(ROOT / "demo"))
from machine import Machine

PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
INVENTORY = ROOT / "inventories/demo"


def _variables(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((INVENTORY / f"group_vars/all/{name}.yml").read_text(encoding="utf-8"))
    return found


DEMO = _variables("main")
STEPS: list[dict[str, Any]] = _variables("steps")["cutover_steps"]
CHECKS: list[dict[str, Any]] = _variables("checks")["spark_checks"]
CRITERIA: list[dict[str, Any]] = _variables("gate")["spark_criteria"]
PAGES: list[dict[str, Any]] = _variables("pages")["spark_page_checks"]


def services(start_timeout: str) -> list[dict[str, Any]]:
    """The services of the demo, with less patience."""
    return [{**one, "start_timeout": start_timeout} for one in DEMO["deploy_services"]]


def settings(**more: str) -> dict[str, Any]:
    """The env file of the demo, with more or other settings."""
    return {**DEMO["secrets_values"], **more}


#: Three checks in two steps: enough to tell a good release from one whose alert engine errors, and quick.
FEW = {"SMOKE-1", "SMOKE-5", "A-001"}


#: The steps of the runbook that every cutover needs.
NEEDED = ("preflight", "secrets", "deploy", "smoke", "regression")


def quick(*more_steps: str) -> dict[str, Any]:
    """The runbook with few checks and the steps that every cutover needs, for tests that are about something else.

    ``redis`` and ``proxy`` are the other steps that change something.
    """
    steps = [one for one in STEPS if one["name"] in (*NEEDED, *more_steps)]
    return {
        "cutover_checks": [one for one in CHECKS if one["id"] in FEW],
        "cutover_steps": steps,
        "cutover_gate": {
            "criteria": [
                {"name": "Smoke", "tags": ["smoke"]},
                {"name": "Regression", "tags": ["regression"], "pass_rate": "95%"},
                {"name": "Deployment", "steps": [one["name"] for one in steps if "role" in one]},
            ]
        },
    }


#: Steps that a machine needs once: they find nothing to do when the next release comes.
ONCE = ("redis", "proxy")


def settled(*without: str) -> dict[str, Any]:
    """The runbook for a machine whose Redis and proxy are as they should be already, and without these steps."""
    left_out = (*ONCE, *without)
    criteria = [
        {**one, "steps": [name for name in one["steps"] if name not in left_out]} if "steps" in one else one for one in CRITERIA
    ]
    return {
        "cutover_steps": [one for one in STEPS if one["name"] not in left_out],
        "cutover_gate": {"criteria": criteria},
    }


@contextlib.contextmanager
def port_block(size: int = 10) -> Iterator[int]:
    """A block of ports that no other test process has, of this clone or another; below those that the system gives to clients."""
    directory = Path(tempfile.gettempdir()) / f"golive-cutover-ports-{os.getuid()}"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    first = 20000 + int(hashlib.sha256(str(ROOT).encode()).hexdigest(), 16) % 900 * 10
    for base in [*range(first, 30000, size), *range(20000, first, size)]:
        lock = (directory / str(base)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        if any(_listens(base + offset) for offset in range(size)):
            lock.close()
            continue
        try:
            yield base
        finally:
            lock.close()
        return
    raise RuntimeError("no free block of ports")


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def tree(directory: Path) -> dict[str, str]:
    """What lies below a directory: relative name to what it is; files by the hash of their content and their mode."""
    found: dict[str, str] = {}
    for one in sorted(directory.rglob("*")):
        name = str(one.relative_to(directory))
        if one.is_symlink():
            found[name] = f"link to {os.readlink(one)}"
        elif one.is_file():
            found[name] = f"{one.stat().st_mode:o} {hashlib.sha256(one.read_bytes()).hexdigest()}"
        elif one.is_dir():
            found[name] = f"directory {one.stat().st_mode:o}"
    return found


def _children(pid: int) -> list[int]:
    try:
        threads = Path(f"/proc/{pid}/task").glob("*/children")
        return [int(child) for one in threads for child in one.read_text(encoding="utf-8").split()]
    except OSError:
        return []


class Running:
    """A playbook that runs; its output goes to files, so that it can be read while it runs and after it was killed."""

    def __init__(self, command: list[str], env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self.command = command
        self._out = log.with_suffix(".out")
        self._err = log.with_suffix(".err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=dict(env), cwd=cwd, start_new_session=True
            )

    @property
    def stdout(self) -> str:
        return self._out.read_text(encoding="utf-8", errors="replace")

    @property
    def stderr(self) -> str:
        return self._err.read_text(encoding="utf-8", errors="replace")

    def saw(self, text: str, times: int = 1, seconds: float = 240) -> None:
        """Wait until a text stands in the output, so many times."""
        wait_until(lambda: self.stdout.count(text) >= times or self.process.poll() is not None, seconds, f"{text!r}")
        assert self.stdout.count(text) >= times, f"the run ended without {text!r}:\n{self.stdout}\n{self.stderr}"

    def kill(self) -> None:
        """End it and all that it has started with SIGKILL, as when the machine of the operator goes away.

        Ansible's workers and the modules are in sessions of their own, so the process group is not enough. What made itself
        a daemon, such as the services of the release, goes on.
        """
        ended = [self.process.pid]
        for pid in ended:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGSTOP)
            ended += _children(pid)
        for pid in ended:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)

    def wait(self, seconds: float = 300) -> AnsibleResult:
        try:
            self.process.wait(seconds)
        except BaseException:
            self.kill()
            raise
        return AnsibleResult(self.process.returncode, self.stdout, self.stderr, self.command)


class Stage:
    """One demo machine. ``run("cutover", "1.0.0")`` plays a playbook on it."""

    def __init__(self, root: Path, base: int, collections: Path) -> None:
        self.root = root
        self.home = root / "m"
        self.reports = root / "reports"
        self.collections = collections
        self.base = base
        self.machine = Machine(home=self.home, binaries=CACHE / "bin")
        self.variables: dict[str, Any] = {}
        self.host = "demo"
        self._count = 0
        self.home.mkdir(parents=True)
        ports = {"front": base, "redis": base + 1, "web": base + 2, "executor": base + 3}
        (self.home / "ports.json").write_text(json.dumps(ports), encoding="utf-8")

    # -- running

    def start(
        self,
        playbook: str,
        release: str | None = None,
        *arguments: str,
        inventory: Path | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        **variables: Any,
    ) -> Running:
        """Start a playbook and return at once. Variables go through a file, as they may be structures."""
        self._count += 1
        work = self.root / f"run-{self._count}"
        work.mkdir()
        extra = {"demo_home": str(self.home), "cutover_reports_dir": str(self.reports), **self.variables, **variables}
        if release is not None:
            extra["cutover_release"] = release
        extra = {name: value for name, value in extra.items() if value is not None}
        (work / "vars.json").write_text(json.dumps(extra), encoding="utf-8")
        (work / "vars.json").chmod(0o600)
        path = playbook if playbook.startswith(("golive.", "/")) else str(ROOT / f"playbooks/{playbook}.yml")
        command = [sys.executable, str(PLAYBOOK), path, "-i", str(inventory or INVENTORY)]
        command += ["-e", f"@{work / 'vars.json'}", *arguments]
        environment = ansible_environment(self.collections, self.root / "ah", env)
        return Running(command, environment, cwd or self.root, work / "log")

    def run(self, playbook: str, release: str | None = None, *arguments: str, **more: Any) -> AnsibleResult:
        return self.start(playbook, release, *arguments, **more).wait()

    def go(self, release: str = "1.0.0", **variables: Any) -> AnsibleResult:
        """Cut over and expect GO."""
        done = self.run("cutover", release, **variables)
        assert done.rc == 0, done.why
        assert self.decision()["decision"] == "go"
        return done

    # -- what it left

    @property
    def store(self) -> Path:
        return self.home / "golive/golive.db"

    def decision(self, environment: str = "demo") -> dict[str, Any]:
        """The newest decision.json."""
        found: dict[str, Any] = json.loads((self.reports / environment / "latest/decision.json").read_text(encoding="utf-8"))
        return found

    def report(self, run: str, environment: str = "demo") -> dict[str, Any]:
        """The decision.json of one run."""
        found: dict[str, Any] = json.loads((self.reports / environment / run / "decision.json").read_text(encoding="utf-8"))
        return found

    def runs(self, environment: str = "demo") -> set[str]:
        """The ids of the runs that have a report."""
        directory = self.reports / environment
        return {one.name for one in directory.iterdir() if one.name != "latest"} if directory.exists() else set()

    def open(self) -> Any:
        return contextlib.closing(open_store(f"sqlite://{self.store}", "demo"))

    def statuses(self) -> dict[str, str]:
        """Release to status, from the store."""
        with self.open() as store:
            return {str(one["id"]): str(one["status"]) for one in releases.read(store)["releases"]}

    def events(self, run: str | None = None) -> list[tuple[str, str]]:
        """The ledger: event and name of the step, oldest first."""
        with self.open() as store:
            return [(one["event"], str(one["data"].get("name", ""))) for one in ledger.read(store, run=run)]

    def verify_ledger(self) -> int:
        """Verify every entry; returns how many there are."""
        with self.open() as store:
            return int(ledger.verify(store, "demo")["count"])

    def locked(self) -> bool:
        with self.open() as store:
            return bool(lock.read(store)["held"])

    def health(self) -> dict[str, Any]:
        """What the front says of itself."""
        import requests

        answer = requests.get(f"http://127.0.0.1:{self.base}/api/public/health", timeout=5)
        found: dict[str, Any] = answer.json()
        return found

    def files(self) -> Iterator[tuple[Path, bytes]]:
        """Every file below the directory of the test, with its content."""
        for one in self.root.rglob("*"):
            if one.is_file() and not one.is_symlink():
                yield one, one.read_bytes()

    def processes(self) -> Iterator[tuple[int, str]]:
        """Processes that were started from the machine, with their command lines."""
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                cwd = os.readlink(entry / "cwd")
            except OSError:
                continue
            if str(self.home) in command or cwd.startswith(str(self.home)):
                yield int(entry.name), command

    def close(self) -> None:
        self.machine.stop()
        for process, _command in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def dump(store: Path) -> str:
    """All that stands in a sqlite store, as text."""
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as link:
        return "\n".join(link.iterdump())


def recap(output: str) -> dict[str, int]:
    """The numbers of the recap, summed over hosts."""
    found: dict[str, int] = {}
    for name, value in re.findall(r"\b(ok|changed|unreachable|failed|skipped|rescued|ignored)=(\d+)", output):
        found[name] = found.get(name, 0) + int(value)
    return found
