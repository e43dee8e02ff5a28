# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Internal: files as a whole, with their mode and owner, and replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from typing import NamedTuple

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError


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


def sync_directory(directory: str) -> None:
    """Make a rename durable, where the file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
