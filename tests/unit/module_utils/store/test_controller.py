# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a controller counts as dead: only when it is certain."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.store.controller import (
    INITIAL_PID_NAMESPACE,
    Here,
    identity,
    is_dead,
)

BOOTED = 1763600000


class FakeSystem:
    """A machine with one process, 100, that started at tick 5000."""

    def __init__(self, **changes: Any) -> None:
        self.machine: str | None = changes.get("machine", "m1")
        self.boot: str | None = changes.get("boot", "b1")
        self.host: str = changes.get("host", "bastion")
        self.namespace: int | None = changes.get("namespace", INITIAL_PID_NAMESPACE)
        self.pids: tuple[int, ...] = changes.get("pids", (100,))
        self.started: int | None = changes.get("started", 5000)
        self.state: str = changes.get("state", "S")
        self.booted: int | None = changes.get("booted", BOOTED)

    def text(self, path: str) -> str | None:
        stat = f"100 (ansible) playbook)) {self.state} " + " ".join("0" for _ in range(18)) + f" {self.started} 1 2"
        return {
            "/etc/machine-id": self.machine,
            "/proc/sys/kernel/random/boot_id": self.boot,
            "/proc/stat": None if self.booted is None else f"cpu 1 2\nbtime {self.booted}\nprocesses 1",
            "/proc/100/stat": stat if 100 in self.pids and self.started is not None else None,
        }.get(path)

    def inode(self, path: str) -> int | None:
        return self.namespace if path == "/proc/self/ns/pid" else None

    def exists(self, pid: int) -> bool:
        return pid in self.pids

    def hostname(self) -> str:
        return self.host

    def now(self) -> float:
        return BOOTED + 1000.0


HOLDER = identity(FakeSystem(), 100)


def test_what_is_remembered_of_a_controller() -> None:
    assert HOLDER == {
        "host": "bastion",
        "machine": "m1",
        "boot": "b1",
        "namespace": INITIAL_PID_NAMESPACE,
        "pid": 100,
        "started": 5000,
        "at": BOOTED + 1000.0,
    }


@pytest.mark.parametrize(
    ("here", "why"),
    [
        ({"pids": ()}, "does not exist any more"),
        ({"started": 6000}, "another has that number now"),
        ({"state": "Z"}, "has ended"),
        ({"boot": "b2", "booted": BOOTED + 2000}, "was started again"),
    ],
)
def test_certainly_dead(here: dict[str, Any], why: str) -> None:
    evidence = is_dead(HOLDER, FakeSystem(**here))
    assert evidence.dead and why in evidence.why


@pytest.mark.parametrize(
    ("here", "why"),
    [
        ({}, "is alive"),
        ({"started": None}, "cannot be read"),
        ({"machine": "m2", "pids": ()}, "another machine"),
        ({"host": "other", "pids": ()}, "another machine"),
        ({"machine": None, "pids": ()}, "our own machine"),
        ({"boot": None, "pids": ()}, "our own boot"),
        ({"namespace": None, "pids": ()}, "our own namespace"),
        ({"namespace": 4026532000, "pids": ()}, "another container"),
        # A copy of the machine with the same id and name, which has been up since before the lock was taken.
        ({"boot": "b2", "booted": BOOTED + 500, "pids": ()}, "was not started after"),
        ({"boot": "b2", "booted": None, "pids": ()}, "was not started after"),
        ({"boot": "b2", "namespace": 4026532000, "booted": BOOTED + 2000, "pids": ()}, "in a container"),
    ],
)
def test_uncertain_is_alive(here: dict[str, Any], why: str) -> None:
    evidence = is_dead(HOLDER, FakeSystem(**here))
    assert not evidence.dead and why in evidence.why


def test_two_containers_with_one_machine_id_do_not_judge_each_other_by_a_reboot() -> None:
    inside = FakeSystem(namespace=4026532000)
    holder = identity(inside, 100)
    evidence = is_dead(holder, FakeSystem(namespace=4026532000, boot="b2", booted=BOOTED + 2000, pids=()))
    assert not evidence.dead
    # In the same container its processes are the ones that we see.
    assert is_dead(holder, FakeSystem(namespace=4026532000, pids=())).dead


@pytest.mark.parametrize("unknown", ["machine", "boot", "namespace", "pid", "started"])
def test_a_holder_that_is_not_known_well_is_alive(unknown: str) -> None:
    assert not is_dead({**HOLDER, unknown: None}, FakeSystem(pids=())).dead
    assert not is_dead({key: value for key, value in HOLDER.items() if key != unknown}, FakeSystem(pids=())).dead


def test_no_controller_is_known() -> None:
    assert not is_dead(None, FakeSystem()).dead
    assert not is_dead({}, FakeSystem()).dead


def test_a_real_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        holder = identity(Here(), process.pid)
        alive = is_dead(holder, Here())
        assert not alive.dead and "is alive" in alive.why
        process.communicate()
    assert is_dead(holder, Here()).dead
    assert not is_dead(identity(Here(), os.getpid()), Here()).dead
    # Somebody else's process exists, too.
    assert Here().exists(1)
