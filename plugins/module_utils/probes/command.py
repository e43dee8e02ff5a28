# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What a program on the host says: its exit code, its output, and the JSON in it."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shlex
import signal
import subprocess
from collections.abc import Mapping
from typing import Any, ClassVar, Optional

from ansible_collections.golive.cutover.plugins.module_utils import commands
from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option, reveal
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe

_POLL = 0.1
"""Longest wait, in seconds, before the stop signal is looked at again."""
_LINGER = 0.2
"""Seconds for the rest of the output after the program has ended, when something it started still holds its output open."""
_MERCY = 0.1
"""Seconds between asking the processes to end and killing them."""


def _argv(value: Any) -> list[str]:
    """A list of words, or one text that is split into words as a shell would; there is no shell."""
    if isinstance(value, str):
        try:
            words = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"{value!r} cannot be split into words: {error}") from error
    else:
        words = opt.list_of(_word)(value)
    if not words or not words[0]:
        raise ValueError("expected a program and its arguments")
    return words


def _word(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return value if value == "" else opt.text(value)


class CommandProbe(Probe):
    """Runs a program, without a shell, and reads what it says.

    A program that cannot be started, that does not end in time or that writes without end could not be measured. At
    the deadline it is ended, with all that it has started.
    """

    name = "command"
    yields_document = True
    options: ClassVar[Mapping[str, Option]] = {
        "argv": Option(_argv, "program and arguments, as a list or as one text; there is no shell", required=True),
        "stdin": Option(opt.secret_text, "text that is given to the program; may be {secret: NAME}"),
        "chdir": Option(opt.text, "directory to run in"),
        "env": Option(opt.map_of(opt.secret_text), "environment variables to add; a value may be {secret: NAME}"),
        "max_output": Option(opt.size, "most output that is read", default=1_000_000),
    }
    measures: ClassVar[Mapping[str, str]] = {
        "exit_code": "count",
        "stdout": "text",
        "stderr": "text",
        "lines": "count",
        "duration": "time",
        "json": "flag",
    }

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        begun = context.clock()
        process = _start(options)
        try:
            name = os.path.basename(options["argv"][0])
            out, err = _talk(name, process, reveal(options["stdin"]), options["max_output"], context)
        except ProbeError:
            _end(process)
            raise
        finally:
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
        code = process.returncode
        stdout = out.decode(errors="replace")
        seen = Observation(
            measures={
                "exit_code": code if code >= 0 else 128 - code,
                "stdout": stdout,
                "stderr": err.decode(errors="replace"),
                "lines": len(stdout.splitlines()),
                "duration": context.clock() - begun,
                "json": False,
            },
            proof={"runs": 1, "bytes": len(out) + len(err)},
        )
        if code < 0:
            seen.proof["signal"] = _signal_name(-code)
        with contextlib.suppress(ValueError, RecursionError):
            seen.document = json.loads(stdout)
            seen.measures["json"] = True
        return seen


def _start(options: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """Start the program as the leader of a process group of its own."""
    argv: list[str] = options["argv"]
    directory: Optional[str] = options["chdir"]
    if directory is not None and not os.path.isdir(directory):
        raise ProbeError(f"the directory {directory} does not exist")
    added = {name: str(reveal(value)) for name, value in (options["env"] or {}).items()}
    if any("\0" in text or "=" in name for name, value in added.items() for text in (name, value)):
        raise ProbeError("an environment variable has a NUL byte in it, or an = in its name")
    stdin = subprocess.DEVNULL if options["stdin"] is None else subprocess.PIPE
    try:
        return commands.start(argv, stdin=stdin, directory=directory, added=added, own_group=True)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ProbeError(f"{argv[0]} cannot be run: {reason}") from error


def _talk(
    name: str, process: subprocess.Popen[bytes], given: Optional[str], limit: int, context: Context
) -> tuple[bytes, bytes]:
    """Write what is given, read what comes, until the program of that name has ended.

    Raises ProbeError when it does not, or says too much.
    """
    begun = context.clock()
    waiting = (given or "").encode()
    outputs = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    taken: dict[int, list[bytes]] = {stream.fileno(): [] for stream in outputs}
    size = 0
    ended_at: Optional[float] = None
    with selectors.DefaultSelector() as selector:
        for stream in outputs:
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while True:
            reading = any(key.events & selectors.EVENT_READ for key in selector.get_map().values())
            if process.poll() is not None:
                # What the program has left behind may hold its output open for ever; the program itself is done.
                ended_at = context.clock() if ended_at is None else ended_at
                if not reading or context.clock() - ended_at > _LINGER:
                    break
            if context.over():
                took = context.clock() - begun
                raise ProbeError(f"{name} did not end and was ended at its own timeout after {units.show(took, 'time')}")
            if not selector.get_map():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(min(context.remaining(), _POLL))
                continue
            for key, events in selector.select(min(context.remaining(), _POLL)):
                if events & selectors.EVENT_WRITE:
                    try:
                        waiting = waiting[os.write(key.fd, waiting[:65536]) :] if waiting else b""
                    except BrokenPipeError:
                        waiting = b""
                    if not waiting and process.stdin is not None:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                    continue
                piece = os.read(key.fd, 65536)
                if not piece:
                    selector.unregister(key.fd)
                    continue
                taken[key.fd].append(piece)
                size += len(piece)
                if size > limit:
                    raise ProbeError(f"{name} wrote more than {units.show(limit, 'size')} and was ended")
    out, err = (b"".join(pieces) for pieces in taken.values())
    return out, err


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all of its group: first asked, then killed."""
    for number, patience in ((signal.SIGTERM, _MERCY), (signal.SIGKILL, 1.0)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
