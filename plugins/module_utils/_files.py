# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Internal: files as a whole, with their mode and owner, and replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, Problem


class FileState(NamedTuple):
    """A file as it stands on disk."""

    data: bytes
    mode: int
    uid: int
    gid: int


def read_file(path: str) -> FileState | None:
    """The file at ``path``, or None when there is none. Raises CutoverError when it cannot be read."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            return FileState(file.read(), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CutoverError(f"{path} cannot be read: {error.strerror}") from error


def write_file(path: str, data: bytes, mode: int, uid: int = -1, gid: int = -1) -> None:
    """Replace a file as a whole, or not at all.

    The content goes into a new file beside it that only its owner can read, is on disk before the name is, and at no
    moment is there half a file. A symbolic link is followed. Raises CutoverError.
    """
    path = os.path.realpath(path)
    directory = os.path.dirname(path)
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=directory)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if uid != -1 or gid != -1:
                os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.rename(temporary, path)
        temporary = None
        sync_directory(directory)
    except OSError as error:
        raise CutoverError(f"{path} cannot be written: {error.strerror}; what was there is as it was") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def put_file(path: str, state: FileState | None) -> None:
    """Make a file what it shall be; None: not there. Raises CutoverError."""
    if state is not None:
        write_file(path, state.data, state.mode, state.uid, state.gid)
        return
    try:
        os.unlink(path)
        sync_directory(os.path.dirname(path))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise CutoverError(f"{path} cannot be removed: {error.strerror}") from error


def same_file(there: FileState | None, wanted: FileState | None) -> bool:
    """Whether a file is what it shall be. An owner or group of -1 may be any."""
    if there is None or wanted is None:
        return there is wanted
    return (
        there.data == wanted.data and there.mode == wanted.mode and wanted.uid in (-1, there.uid) and wanted.gid in (-1, there.gid)
    )


def read_owner(given: Mapping[str, Any], lenient: bool, problems: list[Problem], where: str = "") -> tuple[int, int]:
    """The numbers of ``owner`` and ``group``, each a name, a number as text, or None; -1 for what may be any.

    A name that this host does not have is a problem; when ``lenient``, as in check mode, it may be one that the run would
    make. ``where`` stands before the key in the problem.
    """
    finders: dict[str, Callable[[str], int]] = {
        "owner": lambda name: pwd.getpwnam(name).pw_uid,
        "group": lambda name: grp.getgrnam(name).gr_gid,
    }
    found = []
    for what, find in finders.items():
        name, number = given[what], -1
        if name is not None:
            try:
                number = int(name) if name.isdigit() else find(name)
            except KeyError:
                if not lenient:
                    problems.append(Problem(f"{where}{what}", f"there is no {what} {name!r} on this host"))
        found.append(number)
    return found[0], found[1]


def sync_directory(directory: str) -> None:
    """Make a rename durable, where the file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
