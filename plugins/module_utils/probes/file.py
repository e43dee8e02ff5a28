# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""A file of the host: whether it is there, its age, size, mode and owner, its checksum, and what its content matches."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import pwd
import re
import stat
from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.patterns import compile_pattern
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe

_CHUNK = 1 << 20
_KINDS = (
    (stat.S_ISREG, "file"),
    (stat.S_ISDIR, "directory"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)
_ALWAYS: Mapping[str, str] = {
    "exists": "flag",
    "type": "text",
    "target": "text",
    "age": "time",
    "size": "size",
    "mode": "text",
    "owner": "text",
    "group": "text",
}


def _absolute(value: Any) -> str:
    path = opt.text(value)
    if not path.startswith("/"):
        raise ValueError(f"expected an absolute path, got {path!r}")
    return path


def _pattern(value: Any) -> re.Pattern[str]:
    return compile_pattern(opt.text(value), re.MULTILINE)


def _patterns(value: Any) -> dict[str, re.Pattern[str]]:
    clean: dict[str, re.Pattern[str]] = opt.map_of(_pattern)(value)
    for name in clean:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(f"expected a name of a-z, 0-9 and _, got {name!r}")
    return clean


class FileProbe(Probe):
    """Looks at one path, through symbolic links. The content is read when it is asked about, and never shown.

    That nothing is there is an answer. That it cannot be seen, because a directory on the way may not be entered, is none.
    """

    name = "file"
    yields_document = True
    options: ClassVar[Mapping[str, Option]] = {
        "path": Option(_absolute, "absolute path of the file", required=True),
        "sha256": Option(opt.flag, "report the checksum of the content", default=False),
        "patterns": Option(_patterns, "own name of each pattern to its regular expression, searched in the content", default={}),
        "json": Option(opt.flag, "the content is JSON, which own measures look into", default=False),
        "max_size": Option(opt.size, "largest content that is read for patterns and json", default=10_000_000),
    }
    measures: ClassVar[Mapping[str, str]] = {**_ALWAYS, "sha256": "text", "count.*": "count", "json": "flag"}

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        return {
            **_ALWAYS,
            **({"sha256": "text"} if options["sha256"] else {}),
            **{f"count.{name}": "count" for name in options["patterns"]},
            **({"json": "flag"} if options["json"] else {}),
        }

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        path = options["path"]
        seen = Observation(proof={"path": path})
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            seen.measures["exists"] = False
            why = "it is a link to something that is not there" if os.path.islink(path) else "it is not there"
            seen.missing = {name: why for name in self.measures_for(options) if name != "exists"}
            return seen
        except OSError as error:
            raise ProbeError(f"{path} cannot be seen: {error.strerror or error}") from error
        kind = next((name for is_one, name in _KINDS if is_one(status.st_mode)), "something else")
        seen.measures.update(
            exists=True, type=kind, target=os.path.realpath(path), mode=f"{stat.S_IMODE(status.st_mode):04o}", size=status.st_size
        )
        _owners(seen, status)
        age = context.now() - status.st_mtime
        if age < -1.0:
            seen.missing["age"] = f"it was changed {-age:.0f} s in the future"
        else:
            seen.measures["age"] = max(age, 0.0)
        asked = [name for name in self.measures_for(options) if name not in _ALWAYS]
        if asked and kind != "file":
            seen.missing.update(dict.fromkeys(asked, f"it is a {kind}, whose content is not read"))
        elif asked:
            _content(seen, options, asked, context)
        return seen


def _owners(seen: Observation, status: os.stat_result) -> None:
    """Names where they are known, else numbers."""
    seen.measures["owner"], seen.measures["group"] = str(status.st_uid), str(status.st_gid)
    with contextlib.suppress(KeyError):
        seen.measures["owner"] = pwd.getpwuid(status.st_uid).pw_name
    with contextlib.suppress(KeyError):
        seen.measures["group"] = grp.getgrgid(status.st_gid).gr_name


def _content(seen: Observation, options: Mapping[str, Any], asked: list[str], context: Context) -> None:
    path, limit = options["path"], options["max_size"]
    digest = hashlib.sha256()
    pieces: list[bytes] = []
    size = 0
    try:
        # A pipe that took the place of the file must not be waited for.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            while True:
                piece = file.read(_CHUNK)
                if not piece:
                    break
                if context.over():
                    seen.missing.update(dict.fromkeys(asked, f"the time ran out after {units.show(size, 'size')} of it"))
                    return
                size += len(piece)
                if options["sha256"]:
                    digest.update(piece)
                if size <= limit:
                    pieces.append(piece)
                elif not options["sha256"]:
                    break
    except OSError as error:
        seen.missing.update(dict.fromkeys(asked, f"it cannot be read: {error.strerror or error}"))
        return
    seen.proof["bytes"] = size
    if options["sha256"]:
        seen.measures["sha256"] = digest.hexdigest()
    if size > limit:
        why = f"it is larger than {units.show(limit, 'size')}; raise max_size"
        seen.missing.update({name: why for name in asked if name != "sha256"})
        return
    text = b"".join(pieces).decode("utf-8", "replace")
    for name, pattern in options["patterns"].items():
        seen.measures[f"count.{name}"] = sum(1 for _match in pattern.finditer(text))
    if options["json"]:
        try:
            seen.document = json.loads(text)
            seen.measures["json"] = True
        except (ValueError, RecursionError):
            seen.measures["json"] = False
