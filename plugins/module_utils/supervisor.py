# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Runs the programs of a release under a supervisord of its own: no root, no service of the machine.

What is wanted is compared with what supervisord really runs, so a run that was killed anywhere is finished by the
same call. supervisord looks for ended children once a second, or when it is spoken to: we ask often instead of
waiting for it.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import http.client
import importlib.util
import json
import os
import signal
import socket
import stat
import subprocess
import time
import xmlrpc.client
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils import _env_readers, commands, env_file, launcher, readiness
from ansible_collections.golive.cutover.plugins.module_utils.core import errors, patterns, supervisord, units
from ansible_collections.golive.cutover.plugins.module_utils.core.services import Program, show_wait
from ansible_collections.golive.cutover.plugins.module_utils.release_files import write_atomically

_EVERY = 0.05
_SOCKET_LIMIT = 100
"""Longest path of a socket, with room to spare below what the kernel takes (108 bytes)."""
_START_SECONDS = 20.0
_TAIL_BYTES = 16 * 1024
_TAIL_LINES = 10


class SupervisorError(errors.CutoverError):
    """The programs could not be brought where they should be. ``result`` says how far it came."""

    def __init__(self, message: str, **result: Any) -> None:
        self.result = result
        super().__init__(message)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__()
        self._path, self._timeout = path, timeout

    def make_connection(self, _host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path, self._timeout)


class Rpc:
    """The calls to supervisord that are needed, over its socket."""

    def __init__(self, path: str, timeout: float = 15.0) -> None:
        self._proxy = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=_UnixTransport(path, timeout))

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            return getattr(self._proxy.supervisor, name)(*arguments)
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise SupervisorError(f"supervisord does not answer ({name}): {error}") from error

    def alive(self) -> bool:
        try:
            return bool(self._call("getState")["statecode"] == 1)
        except (SupervisorError, xmlrpc.client.Fault):
            return False

    def reread(self) -> tuple[set[str], set[str], set[str]]:
        """Names of programs that are new, other than what runs, and no longer wanted."""
        try:
            added, changed, removed = self._call("reloadConfig")[0]
        except xmlrpc.client.Fault as fault:
            raise SupervisorError(f"supervisord refuses its configuration: {fault.faultString}") from fault
        return set(added), set(changed), set(removed)

    def info(self, name: str) -> dict[str, Any]:
        try:
            return dict(self._call("getProcessInfo", name))
        except xmlrpc.client.Fault:
            return {"name": name, "statename": "gone", "pid": 0, "exitstatus": 0, "spawnerr": "", "start": 0}

    def names(self) -> list[str]:
        return [str(one["name"]) for one in self._call("getAllProcessInfo")]

    def do(self, name: str, *arguments: Any) -> None:
        """A call whose fault means that it is already so."""
        with contextlib.suppress(xmlrpc.client.Fault):
            self._call(name, *arguments)


@dataclass
class Supervisor:
    """A supervisord in a directory of its own. ``python`` is an interpreter that can import ``supervisor``."""

    directory: Path
    python: str
    env_file: str = ""
    release_dir: str = ""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    actions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.socket = self._socket()
        self.rpc = Rpc(self.socket)
        self.conf_d = self.directory / "conf.d"
        self.specs = self.directory / "programs"
        self.records = self.directory / "run"
        self.logs = self.directory / "logs"

    def _socket(self) -> str:
        path = str(self.directory / "supervisor.sock")
        if len(path.encode()) <= _SOCKET_LIMIT:
            return path
        # The kernel takes no longer path. A directory that only this user can enter stands in.
        digest = hashlib.sha256(path.encode()).hexdigest()[:12]
        return f"/tmp/golive-{os.getuid()}-{digest}/supervisor.sock"

    def _socket_directory(self) -> None:
        parent = Path(self.socket).parent
        if parent == self.directory:
            return
        with contextlib.suppress(FileExistsError):
            parent.mkdir(mode=0o700)
        about = parent.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or stat.S_IMODE(about.st_mode) & 0o077:
            raise SupervisorError(f"{parent} is not a private directory of this user, so no socket is put there")

    # -- files ---------------------------------------------------------------------------------------------------------

    def _spec(self, program: Program) -> tuple[Path, str]:
        spec = supervisord.program_spec(
            program,
            release_dir=self.release_dir,
            env_file=self.env_file,
            record=str(self.records / f"{program.name}.json"),
        )
        text = supervisord.spec_text(spec)
        return self.specs / supervisord.spec_name(program, text), text

    def _config(self, program: Program) -> str:
        return supervisord.program_config(
            program,
            python=self.python,
            launcher=str(self.directory / "lib" / "launch.py"),
            spec=str(self._spec(program)[0]),
            log=str(self.logs / f"{program.name}.log"),
        )

    def pending(self, programs: Sequence[Program]) -> list[str]:
        """What `converge` would do, as far as it can be seen from files and states. Changes nothing."""
        if not self.rpc.alive():
            return ["start supervisord", *(f"start {program.name}" for program in programs)]
        lines: list[str] = []
        for program in programs:
            path = self.conf_d / f"{program.name}.conf"
            there = path.read_text(encoding="utf-8") if path.exists() else None
            if there != self._config(program) or self._outdated(program):
                lines.append(f"{'start' if there is None else 'replace'} {program.name}")
            elif not self._is_up(program):
                lines.append(f"start {program.name}")
        wanted = {program.name for program in programs}
        return lines + [f"stop {name}" for name in self.rpc.names() if name not in wanted]

    def _write_base(self) -> None:
        for directory in (self.directory, self.conf_d, self.specs, self.records, self.logs):
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.specs.chmod(0o700)
        self._socket_directory()
        for name, text in launcher_files().items():
            write_atomically(self.directory / "lib" / name, text)
        config = supervisord.main_config(directory=str(self.directory), socket=self.socket)
        write_atomically(self.directory / "supervisord.conf", config, 0o640)

    def _write_programs(self, programs: Sequence[Program]) -> None:
        wanted = {program.name for program in programs}
        for program in programs:
            path, text = self._spec(program)
            write_atomically(path, text, 0o600)
            write_atomically(self.conf_d / f"{program.name}.conf", self._config(program), 0o640)
        for path in self.conf_d.iterdir():
            if path.name.removesuffix(".conf") not in wanted:
                path.unlink()

    def _clean_specs(self, programs: Sequence[Program]) -> None:
        used = {self._spec(program)[0] for program in programs}
        for path in self.specs.iterdir():
            if path not in used:
                path.unlink()

    def own_ports(self) -> set[int]:
        """The ports of the programs that are configured here now, whatever release they are of."""
        ports: set[int] = set()
        if not self.conf_d.is_dir():
            return ports
        names = {path.name.removesuffix(".conf") for path in self.conf_d.iterdir()}
        for path in self.specs.iterdir():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                spec = json.loads(path.read_text(encoding="utf-8"))
                if spec["name"] in names and spec["port"] is not None:
                    ports.add(int(spec["port"]))
        return ports

    # -- supervisord itself --------------------------------------------------------------------------------------------

    def _record(self, name: str) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            record = json.loads((self.records / f"{name}.json").read_text(encoding="utf-8"))
            if isinstance(record, dict):
                return record
        return {}

    @staticmethod
    def _lives(record: Mapping[str, Any]) -> bool:
        pid, began = int(record.get("pid") or 0), str(record.get("began") or "")
        return pid > 1 and bool(began) and launcher.process_start(pid) == began and not _is_zombie(pid)

    def _end_orphans(self) -> None:
        """End programs whose supervisord was killed: they hold their ports, and nothing else will end them."""
        alive: dict[int, str] = {}
        for path in self.records.glob("*.json"):
            record = self._record(path.stem)
            if self._lives(record):
                alive[int(record["pid"])] = path.stem
        for pid, name in alive.items():
            self.actions.append(f"end {name}, which ran without supervisord")
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGTERM)
        deadline = self.clock() + 10.0
        while alive and self.clock() < deadline:
            alive = {pid: name for pid, name in alive.items() if launcher.process_start(pid) and not _is_zombie(pid)}
            self.sleep(_EVERY)
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        deadline = self.clock() + 2.0
        while any(launcher.process_start(pid) and not _is_zombie(pid) for pid in alive) and self.clock() < deadline:
            self.sleep(_EVERY)

    def ensure_running(self) -> None:
        if self.rpc.alive():
            return
        self._end_orphans()
        for path in self.records.glob("*.json"):
            # Starts are counted anew. That a one-shot was completed stays known.
            if "done" not in self._record(path.stem):
                path.unlink()
        self.actions.append("start supervisord")
        environment = {
            "PATH": os.environ.get("PATH") or os.defpath,
            "HOME": str(Path.home()),
            "USER": getpass.getuser(),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
        }
        command = [self.python, "-m", "supervisor.supervisord", "-c", str(self.directory / "supervisord.conf")]
        try:
            done = commands.run(
                command,
                directory=self.directory,
                environment=environment,
                timeout=_START_SECONDS,
                together=True,
                own_group=True,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SupervisorError(f"supervisord cannot be started: {error}") from error
        if done.code:
            said = " / ".join(supervisord.last_lines(done.output, 5))
            raise SupervisorError(f"supervisord cannot be started (exit code {done.code}): {said}")
        deadline = self.clock() + _START_SECONDS
        while not self.rpc.alive():
            if self.clock() > deadline:
                raise SupervisorError(f"supervisord was started and does not answer on {self.socket}: {said}")
            self.sleep(_EVERY)

    # -- programs ------------------------------------------------------------------------------------------------------

    def _outdated(self, program: Program) -> bool:
        """Whether a program runs with settings that were written anew since it was started."""
        if program.policy == "completed":
            return self._record(program.name).get("done") != str(self._spec(program)[0])
        return self._record(program.name).get("env") != launcher.stamp(self.env_file)

    def _is_up(self, program: Program) -> bool:
        state = self.rpc.info(program.name)["statename"]
        return program.policy == "completed" or state in supervisord.ALIVE

    def _starts(self, name: str) -> int:
        return int(self._record(name).get("starts") or 0)

    def _wait_stopped(self, name: str, seconds: float) -> None:
        deadline = self.clock() + seconds + 5.0
        while self.rpc.info(name)["statename"] in ("STARTING", "RUNNING", "STOPPING"):
            if self.clock() > deadline:
                raise SupervisorError(f"{name} does not stop")
            self.sleep(_EVERY)

    def _stop(self, name: str, seconds: float) -> None:
        self.rpc.do("stopProcess", name, False)
        self._wait_stopped(name, seconds)

    def _remove(self, name: str, seconds: float) -> None:
        self._stop(name, seconds)
        self.rpc.do("removeProcessGroup", name)

    def _port_is_free(self, program: Program) -> None:
        port = program.port if program.port is not None else program.ready.tcp
        if port is None:
            return
        deadline = self.clock() + 2.0
        while readiness.listens(port):
            if self.clock() > deadline:
                raise SupervisorError(f"{program.name} cannot be started: another process has its port {port}")
            self.sleep(_EVERY)

    def _wait_launched(self, program: Program) -> None:
        """A program that supervisord has just started by itself says a moment later what it was started with."""
        deadline = self.clock() + 5.0
        while self._is_up(program) and not self._record(program.name) and self.clock() < deadline:
            if program.policy == "completed":
                return
            self.sleep(_EVERY)

    def _put_in_place(self, program: Program, added: set[str], changed: set[str], anew: bool = False) -> int:
        """Start, replace or leave a program; returns how often it should have been started when it is up.

        ``anew``: also one that is up and has seen its settings is started again, unless it ends by itself.
        """
        name = program.name
        info = self.rpc.info(name)
        if name not in added and name not in changed:
            self._wait_launched(program)
            again = anew and program.policy != "completed"
            if self._is_up(program) and not again and not self._outdated(program):
                return max(1, self._starts(name))
            self.actions.append(f"{'restart' if info['statename'] in supervisord.ALIVE else 'start'} {name}")
            self._stop(name, program.stop_timeout)
        elif name in changed:
            self.actions.append(f"replace {name}")
            self._remove(name, program.stop_timeout)
        else:
            self.actions.append(f"start {name}")
        self._port_is_free(program)
        with contextlib.suppress(FileNotFoundError):
            (self.records / f"{name}.json").unlink()
        if name in added or name in changed:
            self.rpc.do("addProcessGroup", name)
        if name not in added | changed or program.policy == "completed":
            self.rpc.do("startProcess", name, False)
        return 1

    def _log_offset(self, name: str) -> int:
        with contextlib.suppress(OSError):
            return (self.logs / f"{name}.log").stat().st_size
        return 0

    def _tail(self, name: str, offset: int) -> list[str]:
        """The last lines that a program wrote since ``offset``, without the values of its settings."""
        with contextlib.suppress(OSError), (self.logs / f"{name}.log").open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(offset if offset <= size else 0, size - _TAIL_BYTES))
            text = stream.read().decode("utf-8", errors="replace")
            return supervisord.last_lines(supervisord.redact(text, self._secret_values()), _TAIL_LINES)
        return []

    def _secret_values(self) -> list[str]:
        try:
            text = Path(self.env_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return []
        # Also of a file with mistakes: what can be read of it may stand in the log.
        parsed = env_file.parse(text)
        notations = [entry.notation.strip("'\"") for entry in parsed.entries]
        return [*env_file.read_values(parsed)[0].values(), *notations]

    def _failure(self, program: Program, why: str, offset: int) -> SupervisorError:
        tail = self._tail(program.name, offset)
        text = f"{program.name} did not come up: {why}"
        if tail:
            text += f"; its last lines: {' / '.join(tail)}"
        return SupervisorError(text, program=program.name, reason=why, log=tail, actions=list(self.actions), changed=True)

    def _crash(self, program: Program, expected_starts: int) -> tuple[dict[str, Any], str | None]:
        info = self.rpc.info(program.name)
        why = supervisord.crash(
            program,
            str(info["statename"]),
            starts=self._starts(program.name),
            expected_starts=expected_starts,
            exit_status=int(info["exitstatus"]),
            detail=str(info["spawnerr"]),
        )
        return info, why

    def _wait(self, program: Program, expected_starts: int, offset: int) -> None:
        began = self.clock()
        if program.policy == "completed" and not self._outdated(program):
            return
        last = "it was not seen alive"
        while True:
            info, why = self._crash(program, expected_starts)
            if why:
                raise self._failure(program, why, offset)
            waited = self.clock() - began
            if program.policy == "completed":
                if info["statename"] == "EXITED":
                    record = {**self._record(program.name), "done": str(self._spec(program)[0])}
                    write_atomically(self.records / f"{program.name}.json", json.dumps(record))
                    return
                last = f"it is {info['statename']}"
            elif info["statename"] in supervisord.ALIVE and self._starts(program.name) >= expected_starts:
                asks = program.ready.http is not None or program.ready.tcp is not None
                if asks:
                    answer = readiness.look(program.ready)
                    if answer is None:
                        return
                    last = answer
                elif info["statename"] == "RUNNING" and waited >= program.ready.running:
                    return
                else:
                    last = f"it is {info['statename']}"
            if waited > program.start_timeout:
                limit = units.show(program.start_timeout, "time")
                raise self._failure(program, f"waited {limit} for {show_wait(program)}; {last}", offset)
            self.sleep(_EVERY)

    def converge(self, programs: Sequence[Program], *, settle: float) -> None:
        """Bring supervisord and the programs where they should be, one by one in order, and see that they stay
        there."""
        self._write_base()
        self.ensure_running()
        self._write_programs(programs)
        added, changed, removed = self.rpc.reread()
        for name in sorted(removed):
            self.actions.append(f"stop {name}")
            self._remove(name, 60.0)
        offsets = {program.name: self._log_offset(program.name) for program in programs}
        expected: dict[str, int] = {}
        for program in programs:
            expected[program.name] = self._put_in_place(program, added, changed)
            self._wait(program, expected[program.name], offsets[program.name])
        self._still_up(programs, expected, offsets, settle)
        self._clean_specs(programs)

    def _still_up(
        self, programs: Sequence[Program], expected: Mapping[str, int], offsets: Mapping[str, int], settle: float
    ) -> None:
        """Healthy, wait, still healthy. Where nothing was done there is nothing to wait for."""
        if not self.actions or settle <= 0:
            return
        self.sleep(settle)
        for program in programs:
            if program.policy == "completed":
                continue
            info, why = self._crash(program, expected[program.name])
            why = why or readiness.look(program.ready)
            if why is None and info["statename"] not in supervisord.ALIVE:
                why = f"it is {info['statename']}"
            if why:
                late = f"it was up, and {units.show(settle, 'time')} later {why}"
                raise self._failure(program, late, offsets[program.name])

    def restart(self, programs: Sequence[Program], *, settle: float, anew: bool = False) -> None:
        """Restart those programs that have not seen the settings as they stand now; with ``anew`` all of them."""
        if not self.rpc.alive():
            raise SupervisorError("supervisord does not run, so there is nothing to restart")
        offsets = {program.name: self._log_offset(program.name) for program in programs}
        expected: dict[str, int] = {}
        for program in programs:
            expected[program.name] = self._put_in_place(program, set(), set(), anew)
            self._wait(program, expected[program.name], offsets[program.name])
        self._still_up(programs, expected, offsets, settle)

    def signal(self, programs: Sequence[Program], name: str) -> None:
        """Send a signal to those programs that have not seen the settings as they stand now, and note that they
        have."""
        for program in programs:
            if self.rpc.info(program.name)["statename"] not in supervisord.ALIVE:
                raise SupervisorError(f"{program.name} does not run, so it cannot be told to read its settings again")
            if not self._outdated(program):
                continue
            record = {**self._record(program.name), "env": launcher.stamp(self.env_file)}
            self.actions.append(f"signal {program.name} with {name}")
            self.rpc.do("signalProcess", program.name, name)
            write_atomically(self.records / f"{program.name}.json", json.dumps(record))

    def stop(self) -> bool:
        """Stop all programs in reverse order and supervisord itself; returns whether anything ran.

        That they are gone is looked at, not taken from the answers of supervisord.
        """
        ran = self.rpc.alive()
        launched = [(path.stem, self._record(path.stem)) for path in self.records.glob("*.json")]
        if ran:
            for name in reversed(self.rpc.names()):
                self.actions.append(f"stop {name}")
                self._remove(name, 60.0)
            pid = self._pid()
            self.rpc.do("shutdown")
            deadline = self.clock() + 10.0
            while pid and launcher.process_start(pid) and not _is_zombie(pid):
                if self.clock() > deadline:
                    raise SupervisorError("supervisord does not end")
                self.sleep(_EVERY)
        elif self.records.is_dir():
            self._end_orphans()
        left = [name for name, record in launched if self._lives(record)]
        if left or self.rpc.alive():
            raise SupervisorError(f"still there after everything was stopped: {', '.join(left) or 'supervisord'}")
        if self.conf_d.is_dir():
            for path in self.conf_d.iterdir():
                path.unlink()
        for path in self.records.glob("*.json"):
            path.unlink()
        return ran or bool(self.actions)

    def _pid(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int((self.directory / "supervisord.pid").read_text(encoding="utf-8"))
        return 0

    def status(self, programs: Sequence[Program]) -> list[dict[str, Any]]:
        """One record for each program: ``name``, ``service``, ``state``, ``healthy``, ``restarts``, ``reason``."""
        alive = self.rpc.alive()
        return [self._status(program, alive) for program in programs]

    def _status(self, program: Program, alive: bool) -> dict[str, Any]:
        record = self._record(program.name)
        restarts = max(0, int(record.get("starts") or 0) - 1)
        base = {"name": program.name, "service": program.service, "policy": program.policy, "restarts": restarts}
        if not alive:
            return {**base, "state": "stopped", "healthy": False, "reason": "supervisord does not run"}
        info = self.rpc.info(program.name)
        state = str(info["statename"]).lower()
        if program.policy == "completed":
            done = bool(record.get("done")) or (state == "exited" and int(info["exitstatus"]) == 0)
            return {
                **base,
                "state": state,
                "healthy": done,
                "reason": "" if done else f"it is {state} and not completed",
            }
        if state not in ("running", "starting"):
            return {**base, "state": state, "healthy": False, "reason": f"it is {state}"}
        reason = readiness.look(program.ready)
        if reason is None and not self._runs_this(program):
            reason = "it runs another release than the one asked for"
        return {**base, "state": state, "healthy": reason is None, "reason": reason or ""}

    def _runs_this(self, program: Program) -> bool:
        """Whether the process that runs is the one that is meant, seen from its working directory's release."""
        path = self.conf_d / f"{program.name}.conf"
        return path.exists() and str(self._spec(program)[0]) in path.read_text(encoding="utf-8").replace("%%", "%")


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0] == "Z"
    return True


def launcher_files() -> dict[str, str]:
    """What the launcher is made of, path to text, from wherever this code was loaded: a directory, or the archive that
    Ansible sends.

    The package that is made of it comes first on the path of the launcher, so it must not be a namespace: the host may
    have Ansible of its own.
    """
    files = {"ansible_collections/__init__.py": ""}
    for module in (launcher, env_file, _env_readers, patterns, errors):
        spec = importlib.util.find_spec(module.__name__)
        loader = spec.loader if spec else None
        source = loader.get_source(module.__name__) if loader is not None and hasattr(loader, "get_source") else None
        if not source:
            raise SupervisorError(f"{module.__name__} cannot be read from the collection")
        name = "launch.py" if module is launcher else f"{module.__name__.replace('.', '/')}.py"
        files[name] = str(source)
    return files
