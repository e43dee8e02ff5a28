# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Put the files of a report in place, so that nobody ever reads half of one."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError

FILE_MODE = 0o640
DIRECTORY_MODE = 0o750
LATEST = "latest"


def make_directory(path: Path) -> None:
    """Make a directory with those above it that are missing. Each gets `DIRECTORY_MODE`, less what the umask takes:
    ``mkdir(parents=True)`` gives its mode to the last one alone."""
    for one in reversed([path, *path.parents]):
        if not one.is_dir():
            one.mkdir(mode=DIRECTORY_MODE, exist_ok=True)


def _differs(path: Path, content: bytes) -> bool:
    try:
        return path.is_symlink() or stat.S_IMODE(path.stat().st_mode) != FILE_MODE or path.read_bytes() != content
    except FileNotFoundError:
        return True


def _replace(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), FILE_MODE)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _point(link: Path, target: str) -> None:
    """Make ``link`` a symbolic link to ``target`` in one move, whatever link stood there before."""
    # The temporary name is made in a directory of its own: there is no safe name for a symbolic link otherwise.
    with tempfile.TemporaryDirectory(prefix=f".{link.name}.", dir=link.parent) as room:
        fresh = Path(room, link.name)
        fresh.symlink_to(target)
        os.replace(fresh, link)


def write(directory: Path, run_id: str, contents: Mapping[str, str], check_mode: bool = False) -> bool:
    """Write the files of a run to ``directory/run_id`` and let ``directory/latest`` point there; say if it changed.

    Each file appears whole or not at all; the link moves last. With ``check_mode`` nothing is written.
    Raises CutoverError with what could not be written.
    """
    home, link = directory / run_id, directory / LATEST
    # A lone surrogate is part of no text that can be encoded; it came from somebody else's bytes.
    encoded = {name: content.encode("utf-8", "backslashreplace") for name, content in contents.items()}
    try:
        stale = [name for name, content in encoded.items() if _differs(home / name, content)]
        moved = not link.is_symlink() or os.readlink(link) != run_id
        if moved and link.exists() and not link.is_symlink():
            raise CutoverError(f"{link} is not a symbolic link, so it cannot be pointed at this run; move it away")
        if not check_mode:
            make_directory(home)
            for name in stale:
                _replace(home / name, encoded[name])
            if moved:
                _point(link, run_id)
    except OSError as error:
        raise CutoverError(f"the report could not be written to {home}: {error}") from error
    return bool(stale) or moved


def problems(directory: Path) -> list[str]:
    """What would keep a report from being written below ``directory``, which is made when it is missing."""
    link = directory / LATEST
    try:
        make_directory(directory)
        with tempfile.TemporaryDirectory(prefix=".tried.", dir=directory) as room:
            _replace(Path(room, "tried"), b"report")
    except OSError as error:
        return [f"no report can be written to {directory}: {error}"]
    if link.exists() and not link.is_symlink():
        return [f"{link} is not a symbolic link, so it cannot be pointed at the run; move it away"]
    return []
