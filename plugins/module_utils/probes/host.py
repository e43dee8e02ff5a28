# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The host that looks: CPU, memory, load, space and inodes of a file system, uptime, its clock, and the way to a peer.

It reads what the kernel says under /proc, so it needs no library. What a host does not say is missing, each for itself.
"""

from __future__ import annotations

import math
import os
import re
import statistics
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import percentiles
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.probes import _net, _sntp
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe

PROC = "/proc"
_PATIENCE = 2.0
"""Seconds that one answer of a peer may take."""

_CPU: Mapping[str, str] = {"cpu": "ratio", "iowait": "ratio", "steal": "ratio"}
_ALWAYS: Mapping[str, str] = {
    "cores": "count",
    "load": "ratio",
    "load5": "ratio",
    "load15": "ratio",
    "memory_used": "ratio",
    "memory_available": "size",
    "memory_total": "size",
    "swap_used": "ratio",
    "disk_used": "ratio",
    "disk_free": "size",
    "disk_total": "size",
    "inodes_used": "ratio",
    "inodes_free": "count",
    "mount": "text",
    "uptime": "time",
}
_CLOCK: Mapping[str, str] = {"clock_offset": "time", "clock_uncertainty": "time"}
_PEER: Mapping[str, str] = {"peer_latency": "time", "peer_p95": "time", "peer_errors": "ratio", "peer_latencies": "samples"}


def _absolute(value: Any) -> str:
    path = opt.text(value)
    if not path.startswith("/"):
        raise ValueError(f"expected an absolute path, got {path!r}")
    return path


def _address(default: Optional[int]) -> Callable[[Any], tuple[str, int]]:
    def read(value: Any) -> tuple[str, int]:
        text = opt.text(value)
        found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:\[\]/@]+))(?::(\d{1,5}))?", text)
        port = int(found.group(3)) if found and found.group(3) else default
        if found is None or port is None or not 1 <= port <= 65535:
            raise ValueError(f"expected HOST:PORT{' or HOST' if default else ''}, got {text!r}")
        return found.group(1) or found.group(2), port

    return read


class HostProbe(Probe):
    """Reads the figures of the host that looks; with ``clock`` asks a time server, with ``peer`` connects to one over and over."""

    name = "host"
    options: ClassVar[Mapping[str, Option]] = {
        "over": Option(opt.duration, "time over which the use of CPU is measured"),
        "path": Option(_absolute, "a path on the file system to look at", default="/"),
        "clock": Option(_address(123), "time server to compare the clock with, HOST or HOST:PORT, by SNTP over UDP"),
        "clock_samples": Option(opt.integer(1, 20), "how often the time server is asked; the quickest answer counts", default=4),
        "peer": Option(_address(None), "where to measure the latency to, HOST:PORT, by opening a TCP connection"),
        "peer_samples": Option(opt.integer(1, 1000), "how many connections are opened to it, one after the other", default=20),
    }
    measures: ClassVar[Mapping[str, str]] = {**_CPU, **_ALWAYS, **_CLOCK, **_PEER}

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        if options["over"] is not None and options["over"] < 0.1:
            return [Problem("over", "must be at least 100ms: the kernel counts in hundredths of a second")]
        return []

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        return {
            **(_CPU if options["over"] is not None else {}),
            **_ALWAYS,
            **(_CLOCK if options["clock"] is not None else {}),
            **(_PEER if options["peer"] is not None else {}),
        }

    def at_least(self, options: Mapping[str, Any]) -> float:
        return float(options["over"] or 0.0)

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        seen = Observation(proof={"readings": 0})
        parts: list[tuple[tuple[str, ...], Callable[[], None]]] = [
            (("cores", "load", "load5", "load15"), lambda: _load(seen)),
            (("memory_used", "memory_available", "memory_total", "swap_used"), lambda: _memory(seen)),
            (("uptime",), lambda: _uptime(seen)),
            (
                ("mount", "disk_used", "disk_free", "disk_total", "inodes_used", "inodes_free"),
                lambda: _disk(seen, options["path"]),
            ),
        ]
        if options["clock"] is not None:
            parts.append((tuple(_CLOCK), lambda: _clock(seen, options["clock"], options["clock_samples"], context)))
        if options["peer"] is not None:
            parts.append((tuple(_PEER), lambda: _peer(seen, options["peer"], options["peer_samples"], context)))
        if options["over"] is not None:
            parts.append((tuple(_CPU), lambda: _cpu(seen, options["over"], context)))
        for names, part in parts:
            try:
                part()
                seen.proof["readings"] += 1
            except (ProbeError, OSError, ValueError, KeyError, IndexError) as error:
                for name in names:
                    if name not in seen.measures:
                        seen.missing.setdefault(name, _why(error))
        if not seen.proof["readings"]:
            raise ProbeError(next(iter(seen.missing.values())))
        return seen


def _why(error: Exception) -> str:
    if isinstance(error, ProbeError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'the host'}: {error.strerror or error}"
    return f"the kernel says something unexpected: {error}"


def _file(name: str) -> str:
    with open(f"{PROC}/{name}", encoding="ascii", errors="replace") as file:
        return file.read()


# -- figures of the kernel ---------------------------------------------------------------------------------------------


def _cores() -> int:
    return len(re.findall(r"^cpu\d+ ", _file("stat"), re.MULTILINE)) or int(os.cpu_count() or 1)


def _load(seen: Observation) -> None:
    """Processes that run or wait for a disk, averaged over 1, 5 and 15 minutes, for each core."""
    cores = _cores()
    seen.measures["cores"] = cores
    for name, text in zip(("load", "load5", "load15"), _file("loadavg").split()):
        seen.measures[name] = float(text) / cores


def _memory(seen: Observation) -> None:
    fields = {name: int(kib) * 1024 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB$", _file("meminfo"), re.MULTILINE)}
    total, available = fields["MemTotal"], fields["MemAvailable"]
    seen.measures.update(memory_total=total, memory_available=available, memory_used=1 - available / total)
    if fields.get("SwapTotal"):
        seen.measures["swap_used"] = 1 - fields["SwapFree"] / fields["SwapTotal"]
    else:
        seen.missing["swap_used"] = "the host has no swap space"


def _uptime(seen: Observation) -> None:
    seen.measures["uptime"] = float(_file("uptime").split()[0])


def _times() -> tuple[list[int], float]:
    """Ticks of all cores since the start: user, nice, system, idle, iowait, irq, softirq, steal."""
    fields = [int(one) for one in _file("stat").split("\n", 1)[0].split()[1:9]]
    return fields + [0] * (8 - len(fields)), sum(fields)


def _cpu(seen: Observation, over: float, context: Context) -> None:
    """The share of all cores that was not idle. Waiting for a disk is idle; time that another guest took is not."""
    before, total_before = _times()
    begun = context.clock()
    while context.clock() - begun < over:
        if context.over():
            raise ProbeError("the time ran out before the use of CPU was measured")
        context.sleep(min(max(begun + over - context.clock(), 0.0), 0.1))
    after, total_after = _times()
    total = total_after - total_before
    if total <= 0:
        raise ProbeError("the kernel did not count any time")
    spent = [max(later - earlier, 0) for earlier, later in zip(before, after)]
    seen.measures["cpu"] = 1 - min((spent[3] + spent[4]) / total, 1.0)
    seen.measures["iowait"] = spent[4] / total
    seen.measures["steal"] = spent[7] / total
    seen.proof["window"] = round(context.clock() - begun, 3)


# -- file system -------------------------------------------------------------------------------------------------------


def _disk(seen: Observation, path: str) -> None:
    """Space as ``df`` counts it: what only root may use is neither free nor part of the whole."""
    status = os.statvfs(path)
    mount = os.path.realpath(path)
    while not os.path.ismount(mount):
        mount = os.path.dirname(mount)
    seen.measures["mount"] = mount
    seen.proof["path"] = path
    used, free = status.f_blocks - status.f_bfree, status.f_bavail
    if used + free > 0:
        seen.measures["disk_used"] = used / (used + free)
        seen.measures["disk_free"] = free * status.f_frsize
        seen.measures["disk_total"] = status.f_blocks * status.f_frsize
    else:
        seen.missing.update(dict.fromkeys(("disk_used", "disk_free", "disk_total"), f"the file system of {path} takes no space"))
    if status.f_files > 0:
        seen.measures["inodes_used"] = (status.f_files - status.f_ffree) / status.f_files
        seen.measures["inodes_free"] = status.f_favail
    else:
        seen.missing.update(dict.fromkeys(("inodes_used", "inodes_free"), f"the file system of {path} does not count inodes"))


# -- others ------------------------------------------------------------------------------------------------------------


def _clock(seen: Observation, server: tuple[str, int], samples: int, context: Context) -> None:
    """The clock against that of a server. An offset that is smaller than its uncertainty may be none."""
    host, port = server
    answers: list[_sntp.Answer] = []
    error: Optional[ProbeError] = None
    for _number in range(samples):
        if context.over():
            break
        try:
            answers.append(_sntp.ask(host, port, context, _PATIENCE))
        except ProbeError as one:
            error = one
            if not answers:
                break  # a server that does not answer once is not asked until the time is over
    if not answers:
        raise error or ProbeError(f"there was no time to ask the time server {host}:{port}")
    answer = _sntp.best(answers)
    seen.measures["clock_offset"] = abs(answer.offset)
    seen.measures["clock_uncertainty"] = answer.uncertainty
    seen.proof["clock"] = {
        "server": f"{host}:{port}",
        "answers": len(answers),
        "stratum": answer.stratum,
        "offset": round(answer.offset, 6),
        "delay": round(answer.delay, 6),
    }


def _peer(seen: Observation, peer: tuple[str, int], samples: int, context: Context) -> None:
    """The time that a TCP connection takes to open, name lookup excepted: one way there and one way back."""
    host, port = peer
    addresses = _net.resolve(host, port, context)
    where = str(addresses[0][1][0])
    times: list[float] = []
    errors: list[str] = []
    for _number in range(samples):
        if context.over():
            break
        deadline = min(context.deadline, context.clock() + _PATIENCE)
        begun = context.clock()
        try:
            connection = _net.connect(where, port, Context(deadline, context.clock, context.now, context.sleep, context.stop))
        except OSError as error:
            errors.append(_net.describe(error))
            continue
        times.append(context.clock() - begun)
        connection.close()
    tried = len(times) + len(errors)
    seen.proof["connects"] = tried
    if tried < samples:
        raise ProbeError(f"{host}:{port}: the time ran out after {tried} of {samples} connections")
    seen.measures["peer_errors"] = len(errors) / tried
    if errors:
        seen.proof["peer_error"] = f"{host}:{port}: {errors[-1]}"
    if not times:
        raise ProbeError(f"{host}:{port}: {errors[-1]}")
    # A connection that was not opened counts as the slowest.
    everything = [*times, *([math.inf] * len(errors))]
    unopened = f"{len(errors)} of {tried} connections were not opened"
    middle = statistics.median(everything)
    if math.isinf(middle):
        seen.missing["peer_latency"] = unopened
    else:
        seen.measures["peer_latency"] = middle
    if errors:
        seen.missing["peer_latencies"] = unopened
    else:
        seen.sampled("peer_latencies", times)
    known, unknown = percentiles.percentiles(everything, (95,), unopened)
    seen.measures.update({f"peer_{name}": value for name, value in known.items()})
    seen.missing.update({f"peer_{name}": why for name, why in unknown.items()})
