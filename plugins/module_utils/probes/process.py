# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Processes of the host: how many there are, their memory, CPU, age, open files, threads and state.

It reads /proc. Command lines are searched and never shown: they may hold secrets.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Optional, Union

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.patterns import compile_pattern
from ansible_collections.golive.cutover.plugins.module_utils.core.units import Value
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe

PROC = "/proc"
_SHOWN = 20
_SLACK = 2.0
"""Seconds by which a process may seem younger than the pidfile that names it: both are written down coarsely."""
_STATES = {"R": "running", "S": "sleeping", "D": "waiting", "T": "stopped", "t": "stopped", "Z": "zombie", "X": "dead", "I": "idle"}
_ORDER = ("dead", "zombie", "stopped", "waiting", "idle", "sleeping", "running")
"""States from the worst to the best."""
_OF_ONE: Mapping[str, str] = {
    "state": "text",
    "uptime": "time",
    "rss": "size",
    "cpu": "ratio",
    "fds": "count",
    "threads": "count",
}
_ENDED = ("zombie", "dead")
_SUMMED = ("rss", "cpu", "fds", "threads")
_WORST: Mapping[str, Callable[[Iterable[Any]], Any]] = {
    "state": lambda values: min(values, key=lambda value: _ORDER.index(value) if value in _ORDER else -1),
    "uptime": min,
    **dict.fromkeys(_SUMMED, max),
}


def _pattern(value: Any) -> re.Pattern[str]:
    return compile_pattern(opt.text(value))


def _absolute(value: Any) -> str:
    path = opt.text(value)
    if not path.startswith("/"):
        raise ValueError(f"expected an absolute path, got {path!r}")
    return path


def _user(value: Any) -> Union[str, int]:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return opt.text(value)


@dataclass
class One:
    """What is known of one process, and why the rest is not."""

    pid: int
    started: float
    """Seconds after the start of the host."""
    known: dict[str, Value] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)


class ProcessProbe(Probe):
    """Finds processes by what they were started with, by name, user or pidfile. The look itself does not count."""

    name = "process"
    options: ClassVar[Mapping[str, Option]] = {
        "pattern": Option(_pattern, "regular expression, searched in the command line"),
        "name": Option(opt.text, "name of the program, as ps -o comm shows it"),
        "user": Option(_user, "name or number of the user that it runs as"),
        "pidfile": Option(_absolute, "file with the number of the process"),
        "reduce": Option(opt.choice("worst", "sum"), "how the values of several processes become one"),
        "over": Option(opt.duration, "time over which the use of CPU is measured"),
    }
    measures: ClassVar[Mapping[str, str]] = {"count": "count", "zombies": "count", **_OF_ONE}

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        found = []
        if all(options[key] is None for key in ("pattern", "name", "user", "pidfile")):
            found.append(Problem("pattern", "is missing: say which processes by pattern, name, user or pidfile"))
        if options["over"] is not None and options["over"] < 0.1:
            found.append(Problem("over", "must be at least 100ms: the kernel counts in hundredths of a second"))
        return found

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        absent = {"cpu"} if options["over"] is None else set()
        absent |= set(_OF_ONE) - set(_SUMMED) if options["reduce"] == "sum" else set()
        return {name: kind for name, kind in self.measures.items() if name not in absent}

    def at_least(self, options: Mapping[str, Any]) -> float:
        return float(options["over"] or 0.0)

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        seen = Observation()
        ones, nameless, looked = _find(options, seen, context)
        alive = [one for one in ones if one.known["state"] not in _ENDED]
        seen.measures["count"] = len(alive)
        if nameless:
            seen.missing["zombies"] = (
                f"{_processes(nameless)} ended and {'was' if nameless == 1 else 'were'} not waited for, without a command line "
                "that could be searched; say name, user or pidfile instead of pattern"
            )
        else:
            seen.measures["zombies"] = len(ones) - len(alive)
        seen.proof.update({"processes": looked, "pids": [one.pid for one in ones[:_SHOWN]]})
        for one in alive:
            _describe(one)
        if options["over"] is not None:
            _cpu(alive, options["over"], context)
        for name in self.measures_for(options):
            if name in _OF_ONE:
                _reduced(seen, name, ones if name == "state" else alive, options["reduce"])
                if ones and not alive and name in seen.missing:
                    seen.missing[name] = (
                        f"none is alive: {_processes(len(ones))} ended and {'was' if len(ones) == 1 else 'were'} not waited for"
                    )
        return seen


def _processes(number: int) -> str:
    return f"{number} process{'' if number == 1 else 'es'}"


def _reduced(seen: Observation, name: str, ones: Sequence[One], reduce: Optional[str]) -> None:
    if not ones:
        seen.missing[name] = "there is no such process"
        return
    if len(ones) > 1 and reduce is None:
        seen.missing[name] = f"{len(ones)} processes are meant; say reduce: worst or sum"
        return
    unknown = next((one for one in ones if name not in one.known), None)
    if unknown is not None:
        seen.missing[name] = f"process {unknown.pid}: {unknown.unknown.get(name, 'the kernel does not say')}"
        return
    values = [one.known[name] for one in ones]
    seen.measures[name] = sum(float(value) for value in values) if reduce == "sum" else _WORST[name](values)


def _read(path: str) -> bytes:
    with open(f"{PROC}/{path}", "rb") as file:
        return file.read()


def _stat(pid: int) -> tuple[str, list[str]]:
    """Name and the other fields of a process, the state first. The name may have blanks and brackets in it."""
    text = _read(f"{pid}/stat").decode("utf-8", "replace")
    name, _bracket, rest = text.partition("(")[2].rpartition(")")
    return name, rest.split()


def _ancestors() -> set[int]:
    """This process and what it was started by, whose command lines may quote the pattern."""
    found: set[int] = set()
    pid = os.getpid()
    while pid > 1 and pid not in found:
        found.add(pid)
        try:
            pid = int(_stat(pid)[1][1])
        except (OSError, IndexError, ValueError):
            break
    return found


def _find(options: Mapping[str, Any], seen: Observation, context: Context) -> tuple[list[One], int, int]:
    """The processes that are meant; how many have ended and may be meant, because the kernel has dropped their command line;
    and how many were looked at. Raises ProbeError when some could not be."""
    wanted_uid = _uid(options["user"])
    wanted_pid = _pid_of(options["pidfile"], seen) if options["pidfile"] is not None else None
    own = _ancestors()
    try:
        pids = [int(name) for name in os.listdir(PROC) if name.isdigit()]
        _read("1/stat")
    except OSError as error:
        raise ProbeError(f"the processes of this host are hidden or not to be had: {error.strerror or error}") from error
    hertz = os.sysconf("SC_CLK_TCK")
    found: list[One] = []
    looked = hidden = nameless = 0
    for pid in pids:
        if context.over():
            raise ProbeError(f"the time ran out after {looked} of {len(pids)} processes")
        if pid in own or (options["pidfile"] is not None and pid != wanted_pid):
            continue
        try:
            name, fields = _stat(pid)
            looked += 1
            if wanted_uid is not None and os.stat(f"{PROC}/{pid}").st_uid != wanted_uid:
                continue
            if options["name"] is not None and name != options["name"][:15]:
                continue
            if options["pattern"] is not None:
                line = _read(f"{pid}/cmdline").replace(b"\0", b" ").decode("utf-8", "replace").strip()
                if not options["pattern"].search(line):
                    nameless += not line and _STATES.get(fields[0]) in _ENDED
                    continue
            one = One(pid, int(fields[19]) / hertz)
            one.known["state"] = _STATES.get(fields[0], fields[0])
            one.known["threads"] = int(fields[17])
            found.append(one)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        except PermissionError:
            hidden += 1
        except (OSError, IndexError, ValueError) as error:
            raise ProbeError(f"process {pid} cannot be read: {error}") from error
    if hidden:
        raise ProbeError(f"{hidden} processes of other users are hidden from this one")
    if wanted_pid is not None:
        found = [one for one in found if _is_of_pidfile(one, options["pidfile"], seen, context)]
    return found, nameless, max(looked, 1)


def _uid(user: Union[str, int, None]) -> Optional[int]:
    if user is None or isinstance(user, int):
        return user
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        if user.isdigit():
            return int(user)
        raise ProbeError(f"there is no user {user} on this host") from None


def _pid_of(path: str, seen: Observation) -> int:
    """The number in a pidfile; 0, which no process has, when the file is not there."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            text = file.read(100).strip()
    except FileNotFoundError:
        seen.proof["pidfile"] = "is not there"
        return 0
    except OSError as error:
        raise ProbeError(f"{path} cannot be read: {error.strerror or error}") from error
    first = text.split(b"\n", 1)[0].strip()
    if not first.isdigit():
        raise ProbeError(f"{path} does not begin with the number of a process")
    return int(first)


def _is_of_pidfile(one: One, path: str, seen: Observation, context: Context) -> bool:
    """Whether the process was there when the file was written: a number is used again when its process has ended."""
    try:
        written = os.stat(path).st_mtime
    except OSError as error:
        raise ProbeError(f"{path} cannot be read: {error.strerror or error}") from error
    started = context.now() - (_uptime() - one.started)
    if started > written + _SLACK:
        seen.proof["pidfile"] = f"is older than process {one.pid}, which has its number by chance"
        return False
    return True


def _uptime() -> float:
    return float(_read("uptime").split()[0])


def _describe(one: One) -> None:
    one.known["uptime"] = max(_uptime() - one.started, 0.0)
    try:
        one.known["rss"] = int(_read(f"{one.pid}/statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        one.unknown["rss"] = "it has ended"
    try:
        one.known["fds"] = len(os.listdir(f"{PROC}/{one.pid}/fd"))
    except PermissionError:
        one.unknown["fds"] = "its open files are hidden from this user"
    except OSError:
        one.unknown["fds"] = "it has ended"
    if _has_ended(one):
        for name in ("uptime", "rss", "fds", "threads"):
            one.known.pop(name, None)
            one.unknown[name] = "it has ended"


def _has_ended(one: One) -> bool:
    """Whether it is not there any more, or only as a zombie, which has no memory and no files."""
    try:
        fields = _stat(one.pid)[1]
        return _STATES.get(fields[0]) in _ENDED or int(fields[19]) / os.sysconf("SC_CLK_TCK") != one.started
    except (OSError, IndexError, ValueError):
        return True


def _cpu(ones: Sequence[One], over: float, context: Context) -> None:
    """CPU time between two readings, as a share of one core."""
    hertz = os.sysconf("SC_CLK_TCK")
    begun: dict[int, tuple[int, float]] = {}
    for one in ones:
        try:
            fields = _stat(one.pid)[1]
            begun[one.pid] = (int(fields[11]) + int(fields[12]), context.clock())
        except (OSError, IndexError, ValueError):
            one.unknown["cpu"] = "it has ended"
    until = context.clock() + over
    while context.clock() < until:
        if context.over():
            raise ProbeError("the time ran out before the use of CPU was measured")
        context.sleep(min(max(until - context.clock(), 0.0), 0.1))
    for one in ones:
        if one.pid not in begun:
            continue
        try:
            fields = _stat(one.pid)[1]
            if int(fields[19]) / hertz != one.started or _STATES.get(fields[0]) in _ENDED:
                raise ProcessLookupError
        except (OSError, IndexError, ValueError):
            one.unknown["cpu"] = "it ended while its CPU was measured"
            continue
        ticks, at = begun[one.pid]
        one.known["cpu"] = (int(fields[11]) + int(fields[12]) - ticks) / hertz / (context.clock() - at)
