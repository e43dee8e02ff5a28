# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The state of an env file on the host: its keys, what is missing, doubled or still a placeholder. Never a value."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.golive.cutover.plugins.module_utils import env_file
from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, ProbeError
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe

LARGEST = 1_000_000
"""Bytes. No env file is that large; something else is."""


def _path(value: Any) -> str:
    path = opt.text(value)
    if not path.startswith("/"):
        raise ValueError(f"expected an absolute path, got {path!r}")
    return path


def _patterns(value: Any) -> list[str]:
    patterns: list[str] = opt.list_of(opt.text)(value)
    try:
        env_file.read_placeholders(patterns)
    except InputError as error:
        raise ValueError("; ".join(problem.message for problem in error.problems)) from error
    return patterns


class EnvFileProbe(Probe):
    """Reads an env file as the role ``secrets`` does, and counts what is wrong with it.

    Values are looked at and never shown: the proof names keys and lines alone.
    """

    name = "env_file"
    options: ClassVar[Mapping[str, Option]] = {
        "path": Option(_path, "absolute path of the file", required=True),
        "required": Option(opt.list_of(opt.text), "keys that must be there and not be empty"),
        "placeholders": Option(_patterns, "regular expressions of values that were to be replaced"),
    }
    measures: ClassVar[Mapping[str, str]] = {
        "keys": "count",
        "missing_keys": "count",
        "duplicates": "count",
        "placeholders": "count",
        "empty": "count",
        "problems": "count",
        "mode": "text",
    }

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        text, mode = _read(options["path"])
        parsed = env_file.parse(text)
        values, unreadable = env_file.read_values(parsed)
        patterns = env_file.read_placeholders(options["placeholders"])
        found = {
            "missing_keys": [key for key in options["required"] or [] if not values.get(key, "").strip()],
            "duplicates": [problem.where for problem in env_file.duplicates(parsed)],
            "placeholders": [key for key, value in values.items() if any(one.search(value) for one in patterns)],
            "empty": [key for key, value in values.items() if not value.strip()],
        }
        problems = [str(problem) for problem in (*parsed.problems, *unreadable)]
        seen = Observation(
            measures={
                "keys": len(parsed.keys),
                **{name: len(keys) for name, keys in found.items()},
                "problems": len(problems),
                "mode": f"{mode:04o}",
            },
            proof={"keys": sorted(parsed.keys), "bytes": len(text.encode())},
        )
        seen.proof.update({name: sorted(keys) for name, keys in found.items() if keys})
        if problems:
            seen.proof["problems"] = problems
        if parsed.warnings:
            seen.proof["warnings"] = list(parsed.warnings)
        return seen


def _read(path: str) -> tuple[str, int]:
    """The text of the file and its permissions. Raises ProbeError; never waits, whatever the path turns out to be."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ProbeError(f"{path} is not a file")
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(LARGEST + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ProbeError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > LARGEST:
        raise ProbeError(f"{path} is larger than {units.show(LARGEST, 'size')}, so it is not an env file")
    try:
        return env_file.decode(data), stat.S_IMODE(status.st_mode)
    except InputError as error:
        raise ProbeError(f"{path}: {error}") from error
