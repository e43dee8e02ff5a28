# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Starts one program of a release: ``python launch.py SPEC.json``.

A process manager gets no settings and no secrets this way, neither in its configuration nor on a command line: they
are read here, from the ``.env`` of the release, and handed to the program in its environment. Then the program takes
this process over, so that signals reach it. This file is copied to hosts, together with those that it imports, and
needs only the standard library.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.env_file import parse, read_values


def read_settings(path: str) -> dict[str, str]:
    """The values of an env file, as Docker Compose reads them. Raises ValueError, which names keys and lines, never a
    value."""
    with open(path, encoding="utf-8", newline="") as stream:
        env = parse(stream.read())
    values, problems = read_values(env)
    found = [*env.problems, *problems]
    if found:
        raise ValueError("; ".join(str(problem) for problem in found))
    return values


def stamp(path: str) -> str:
    """What tells one writing of a file from another without looking at its content, which may be secret."""
    try:
        about = os.stat(path)
    except OSError:
        return "none"
    return f"{about.st_ino}-{about.st_mtime_ns}-{about.st_size}"


def process_start(pid: int) -> str:
    """When a process began, in ticks since boot; empty when there is none. A pid alone is reused."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _count_start(path: str, env_stamp: str) -> None:
    starts = 0
    try:
        with open(path, encoding="utf-8") as stream:
            starts = int(json.load(stream)["starts"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    pid = os.getpid()
    record = {"pid": pid, "began": process_start(pid), "starts": starts + 1, "env": env_stamp}
    with open(f"{path}.new", "w", encoding="utf-8") as stream:
        json.dump(record, stream)
    os.replace(f"{path}.new", path)


def main(arguments: list[str]) -> None:
    with open(arguments[0], encoding="utf-8") as stream:
        spec: dict[str, Any] = json.load(stream)
    env_file = spec["env_file"]
    settings: dict[str, str] = {}
    env_stamp = stamp(env_file)
    if env_stamp != "none":
        try:
            settings = read_settings(env_file)
        except (OSError, ValueError) as error:
            raise SystemExit(f"{env_file} cannot be read: {error}") from error
    environment = {**os.environ, **settings, **spec["environment"]}
    _count_start(spec["record"], env_stamp)
    command: list[str] = spec["command"]
    try:
        os.chdir(spec["directory"])
        os.execvpe(command[0], command, environment)
    except OSError as error:
        raise SystemExit(f"{command[0]} cannot be started: {error}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
