# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Runs programs of the host. Every program that the collection runs with a limit of time is started here."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Optional, Union

Where = Union[int, IO[bytes]]


@dataclass(frozen=True)
class Done:
    """What became of a program: its exit code, what it wrote, and what it wrote as errors."""

    code: int
    output: str
    errors: str


def start(
    line: Sequence[str],
    *,
    stdin: Where = subprocess.DEVNULL,
    stdout: Where = subprocess.PIPE,
    stderr: Where = subprocess.PIPE,
    directory: Union[str, Path, None] = None,
    added: Optional[Mapping[str, str]] = None,
    environment: Optional[Mapping[str, str]] = None,
    own_group: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program, without a shell. Raises OSError or ValueError.

    ``added`` comes on top of the environment of this process, ``environment`` in its place; with ``own_group`` the program leads a
    session and a process group of its own, so that it can be ended with all that it has started.
    """
    # AnsibleModule.run_command, which the linter asks for, waits without end, and is not made for several threads at once.
    return subprocess.Popen(  # pylint: disable=ansible-bad-function
        list(line),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=directory,
        env={**(os.environ if environment is None else environment), **(added or {})},
        start_new_session=own_group,
    )


def run(
    line: Sequence[str],
    *,
    timeout: float,
    directory: Union[str, Path, None] = None,
    added: Optional[Mapping[str, str]] = None,
    environment: Optional[Mapping[str, str]] = None,
    own_group: bool = False,
    together: bool = False,
) -> Done:
    """Run a program to its end, at most ``timeout`` seconds; with ``together`` its errors are part of its output.

    It writes to files and not to pipes, so it is done when it ends, also when it leaves a process behind that keeps its output
    open. Raises OSError or ValueError when it cannot be started, and subprocess.TimeoutExpired after ending it.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = start(
            line,
            stdout=output,
            stderr=subprocess.STDOUT if together else errors,
            directory=directory,
            added=added,
            environment=environment,
            own_group=own_group,
        )
        try:
            code = process.wait(timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return Done(code, _read(output), _read(errors))


def _read(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")
