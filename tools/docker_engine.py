#!/usr/bin/env python3
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Docker engine of the project's own, for tests and for trying the `compose` backend.

    tools/docker_engine.py start [--json]   # prints what to put into the environment
    tools/docker_engine.py status           # prints "running" or "stopped"
    tools/docker_engine.py stop             # ends its containers, removes its networks and its bridges

    eval "$(tools/docker_engine.py start)"  # the same for a shell

It is unpacked by ``tools/debs.py`` and runs beside an engine of the machine without meeting it: own socket, own data
(``.cache/docker/data``), own address range, own default bridge. It writes no firewall rule and does not switch on
forwarding: published ports go through Docker's own proxy, and containers reach each other over their networks but
nothing outside the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import debs

HOME = debs.CACHE / "docker"
#: What tells the engines of two clones apart.
KEY = hashlib.sha256(str(debs.ROOT).encode()).hexdigest()[:8]
#: Sockets have a length limit of 107 bytes, which a deep clone would exceed: they live in a short place.
RUN = Path("/run") / f"golive-cutover-{KEY}"
#: The default bridge. Docker's own name for it belongs to the machine's engine.
BRIDGE = f"golive{KEY}"
ADDRESSES = tuple(f"10.231.{128 + (int(KEY, 16) + number) % 127}.1" for number in range(127))
"""Addresses for it: the first that no other device has, as two clones may come to the same one."""
SOCKET = RUN / "docker.sock"
PIDFILE = RUN / "docker.pid"
LOG = HOME / "dockerd.log"
START_SECONDS = 30.0
STOP_SECONDS = 20.0


class EngineError(Exception):
    """Why there is no engine."""


def environment() -> dict[str, str]:
    """Return the variables with which every Docker client, Ansible module and Compose reaches this engine."""
    path = [str(debs.CACHE / "bin"), *(e for e in os.environ.get("PATH", "").split(os.pathsep) if e)]
    return {
        "DOCKER_HOST": f"unix://{SOCKET}",
        "DOCKER_CONFIG": str(HOME / "config"),
        "PATH": os.pathsep.join(dict.fromkeys(path)),
    }


def docker(*arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run the Docker client against this engine; the caller judges the return code."""
    return subprocess.run(
        [str(debs.CACHE / "bin/docker"), *arguments],
        text=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        env={**os.environ, **environment()},
    )


def pid() -> int | None:
    """Return the process id of the running engine. A pid file whose process is another program's is stale."""
    with contextlib.suppress(OSError, ValueError):
        number = int(PIDFILE.read_text(encoding="utf-8"))
        command = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
        if str(PIDFILE).encode() in command:
            return number
    return None


def answers() -> bool:
    """Return whether the engine answers."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return pid() is not None and docker("version", "--format", "{{.Server.Version}}", timeout=10).returncode == 0
    return False


def start() -> None:
    """Start the engine unless it runs; raise EngineError with the end of its log when it does not come up."""
    with debs.locked(debs.CACHE / "debs/.lock"):
        debs.provide("docker")
    with debs.locked(HOME / ".lock"):
        if answers():
            return
        if os.geteuid() != 0:
            raise EngineError("a Docker engine needs root: run this as root, or leave the tests marked 'docker' out")
        _end()
        RUN.mkdir(mode=0o700, exist_ok=True)
        command = [str(debs.CACHE / "bin/dockerd"), "--host", f"unix://{SOCKET}", "--pidfile", str(PIDFILE)]
        command += ["--data-root", str(HOME / "data"), "--exec-root", str(RUN / "exec")]
        # What the engine remembers of its networks is an address of the bridge that may be another clone's by now.
        (HOME / "data/network/files/local-kv.db").unlink(missing_ok=True)
        add_bridge()
        command += ["--bridge", BRIDGE, "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]
        command += ["--default-address-pool", "base=10.231.0.0/17,size=24", "--shutdown-timeout", "5"]
        init = debs.find_in(debs.CACHE / "debs/docker", "tini-static")
        if init is not None:
            command += ["--init-path", str(init)]
        with LOG.open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        deadline = time.monotonic() + START_SECONDS
        while not answers():
            if process.poll() is not None or time.monotonic() > deadline:
                end = "\n  ".join(LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])
                raise EngineError(f"dockerd did not come up:\n  {end}")
            time.sleep(0.1)


# Requests of the kernel for network devices (linux/sockios.h); the ip command may not be on the machine.
SIOCSIFFLAGS, SIOCGIFADDR, SIOCSIFADDR, SIOCSIFNETMASK = 0x8914, 0x8915, 0x8916, 0x891C
SIOCBRADDBR, SIOCBRDELBR = 0x89A0, 0x89A1
IFF_UP = 1


def _request(number: int, argument: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, number, argument)


def _device(name: str, value: bytes) -> bytes:
    """Return a struct ifreq: the name of a device in 16 bytes, and a value in 24."""
    return name.encode().ljust(16, b"\0") + value.ljust(24, b"\0")


def _address(text: str) -> bytes:
    return struct.pack("=HH4s", socket.AF_INET, 0, socket.inet_aton(text))


def known_addresses() -> set[str]:
    """Return the IPv4 address of every network device, whether anything is connected to it or not."""
    found = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for _index, name in socket.if_nameindex():
            with contextlib.suppress(OSError):
                answer = fcntl.ioctl(control, SIOCGIFADDR, _device(name, b""))
                found.add(socket.inet_ntoa(answer[20:24]))
    return found


def free_address(taken: Collection[str]) -> str:
    """Return an address for the default bridge that is not taken."""
    for address in ADDRESSES:
        if address not in taken:
            return address
    raise EngineError("every address for the bridge is taken: `docker_engine.py stop` in other clones frees theirs")


def add_bridge() -> None:
    """Make the default bridge, with an address and up."""
    address = free_address(known_addresses())
    with contextlib.suppress(FileExistsError):
        _request(SIOCBRADDBR, BRIDGE.encode().ljust(16, b"\0"))
    _request(SIOCSIFADDR, _device(BRIDGE, _address(address)))
    _request(SIOCSIFNETMASK, _device(BRIDGE, _address("255.255.255.0")))
    _request(SIOCSIFFLAGS, _device(BRIDGE, struct.pack("=H", IFF_UP)))


def remove_bridge() -> None:
    """Remove the default bridge if it is there."""
    with contextlib.suppress(OSError):
        _request(SIOCSIFFLAGS, _device(BRIDGE, struct.pack("=H", 0)))
        _request(SIOCBRDELBR, BRIDGE.encode().ljust(16, b"\0"))


def stop() -> None:
    """Remove the containers, volumes and networks of the engine, end it, and leave its images for the next time."""
    with debs.locked(HOME / ".lock"):
        if answers():
            containers = docker("ps", "-aq").stdout.split()
            if containers:
                docker("rm", "-f", "-v", *containers, timeout=120)
            docker("network", "prune", "-f")
            docker("volume", "prune", "-a", "-f")
        _end()


def _end() -> None:
    """End the process, and clear away what it leaves mounted and behind."""
    number = pid()
    if number is not None:
        deadline = time.monotonic() + STOP_SECONDS
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGTERM)
            while pid() == number and time.monotonic() < deadline:
                time.sleep(0.05)
            if pid() == number:
                os.kill(number, signal.SIGKILL)
                time.sleep(0.5)
    _end_orphans()
    with contextlib.suppress(OSError):
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
        for mount in sorted((m for m in mounts if m.startswith((f"{RUN}/", f"{HOME}/data/"))), reverse=True):
            subprocess.run(["umount", "-l", mount], capture_output=True)
    remove_bridge()
    shutil.rmtree(RUN, ignore_errors=True)


def _end_orphans() -> None:
    """End the containerd and the shims of an engine that was killed: they name our directory on their command line."""
    marker = f"{RUN}/".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                program = Path(os.fsdecode(words[0])).name
                if program.startswith(("containerd", "docker-proxy")) and any(marker in word for word in words[1:]):
                    os.kill(int(entry.name), signal.SIGKILL)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A private Docker engine for tests.")
    parser.add_argument("action", choices=("start", "stop", "status"))
    parser.add_argument("--json", action="store_true", help="start: print the environment as JSON")
    options = parser.parse_args(arguments)
    try:
        if options.action == "start":
            start()
            values = environment()
            print(json.dumps(values) if options.json else "\n".join(f"export {k}='{v}'" for k, v in values.items()))
        elif options.action == "stop":
            stop()
        else:
            print("running" if answers() else "stopped")
    except (EngineError, debs.DebsError) as error:
        print(f"docker_engine: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
