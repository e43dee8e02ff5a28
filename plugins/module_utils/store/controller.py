# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Who the controller is that takes a lock, and whether one that took it is certainly dead.

A process is named by its machine (machine id and host name), the boot of that machine, its PID namespace, its PID and
its start time. It is dead for certain in two cases only:

1. Same machine, same boot, same PID namespace: no process has this PID, or the one that has it started at another time,
   or it is a zombie. Within one boot of one kernel the number of a PID namespace that is alive is unique. So when it is
   ours, either its processes are the ones that we see, or the namespace is gone, and its processes with it.
2. Same machine, another boot, both times outside of any container (the initial PID namespace has a fixed number), and
   the machine started after the lock was taken. In a container the same machine id and host name may stand for two
   living places.

Everything else is uncertain, and uncertain is alive. All of this is read from Linux' ``/proc``; elsewhere nothing is
ever certain.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

INITIAL_PID_NAMESPACE = 0xEFFFFFFC
"""PROC_PID_INIT_INO of the Linux kernel (include/linux/proc_ns.h)."""


class System(Protocol):
    """What is asked of the operating system."""

    def text(self, path: str) -> str | None:
        """What is in a file, or None when it cannot be read."""

    def inode(self, path: str) -> int | None:
        """The inode that a path leads to, or None."""

    def exists(self, pid: int) -> bool:
        """Whether a process has this PID, whoever owns it."""

    def hostname(self) -> str: ...

    def now(self) -> float:
        """Seconds since 1970."""


class Here:
    """The system that this runs on."""

    def text(self, path: str) -> str | None:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read().strip()
        except OSError:
            return None

    def inode(self, path: str) -> int | None:
        try:
            return os.stat(path).st_ino
        except OSError:
            return None

    def exists(self, pid: int) -> bool:
        # Asked with a signal and not of /proc, because /proc may hide the processes of others (hidepid).
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            return True
        return True

    def hostname(self) -> str:
        return socket.gethostname()

    def now(self) -> float:
        return time.time()


class Evidence(NamedTuple):
    """Whether a controller is certainly dead, and why, as the rest of a sentence about it."""

    dead: bool
    why: str


def identity(system: System, pid: int) -> dict[str, Any]:
    """The process ``pid`` as the lock remembers it. What cannot be found out is None."""
    process = _process(system, pid)
    return {
        "host": system.hostname(),
        "machine": system.text("/etc/machine-id") or None,
        "boot": system.text("/proc/sys/kernel/random/boot_id") or None,
        "namespace": system.inode("/proc/self/ns/pid"),
        "pid": pid,
        "started": process[1] if process else None,
        "at": system.now(),
    }


def is_dead(holder: Mapping[str, Any] | None, system: System) -> Evidence:
    """Whether the controller that holds a lock is dead for certain, seen from this one."""
    if not holder:
        return Evidence(False, "it is not known which process took the lock")
    here = identity(system, os.getpid())
    missing = [key for key in ("machine", "boot", "namespace", "pid", "started") if holder.get(key) in (None, "")]
    missing += [f"our own {key}" for key in ("machine", "boot", "namespace") if here[key] is None]
    if missing:
        return Evidence(False, f"it cannot be told apart from others for certain ({', '.join(missing)} not known)")
    if holder["machine"] != here["machine"] or holder.get("host") != here["host"]:
        return Evidence(False, f"it ran on another machine ({holder.get('host')}), which cannot be asked from here")
    if holder["boot"] != here["boot"]:
        return _rebooted(holder, here, system)
    if holder["namespace"] != here["namespace"]:
        return Evidence(False, "it ran in another container, whose processes cannot be seen from here")
    pid = int(holder["pid"])
    if not system.exists(pid):
        return Evidence(True, f"its process {pid} on {here['host']} does not exist any more")
    process = _process(system, pid)
    if process is None:
        return Evidence(False, f"a process {pid} exists, and when it started cannot be read")
    state, started = process
    if started != holder["started"]:
        return Evidence(True, f"its process {pid} on {here['host']} ended; another has that number now")
    if state in ("Z", "X"):
        return Evidence(True, f"its process {pid} on {here['host']} has ended")
    return Evidence(False, f"its process {pid} is alive on this machine")


def _rebooted(holder: Mapping[str, Any], here: Mapping[str, Any], system: System) -> Evidence:
    if not holder["namespace"] == here["namespace"] == INITIAL_PID_NAMESPACE:
        return Evidence(False, "it ran under another boot, and in a container that does not prove that it is gone")
    booted = _booted(system)
    if booted is None or booted <= float(holder.get("at") or 0):
        return Evidence(False, "it ran under another boot, but this machine was not started after the lock was taken")
    return Evidence(True, f"{here['host']} was started again since")


def _booted(system: System) -> float | None:
    """When this machine was started, in seconds since 1970."""
    for line in (system.text("/proc/stat") or "").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return None


def _process(system: System, pid: int) -> tuple[str, int] | None:
    """State and start time (clock ticks since boot) of a process: fields 3 and 22 of proc_pid_stat(5)."""
    text = system.text(f"/proc/{pid}/stat")
    if not text:
        return None
    # The second field is the name in parentheses, in which anything may stand, also spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    try:
        return fields[0], int(fields[19])
    except (IndexError, ValueError):
        return None
