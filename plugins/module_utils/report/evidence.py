# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Artefacts as files beside a report: written when a host hands them over, read when the report is made."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Optional

from ansible_collections.golive.cutover.plugins.module_utils.core.artefacts import FILE, Kept
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import LARGEST_ARTEFACT
from ansible_collections.golive.cutover.plugins.module_utils.report.files import FILE_MODE, make_directory

LARGEST_PAGE = 12_000_000
"""Bytes of artefacts that a page takes in. What is beyond is named by the page and lies beside it."""


def write(home: Path, host: str, kept: Kept) -> str:
    """Write an artefact below the directory of a run, whole or not at all; return its file, relative to that directory."""
    name = kept.file(host)
    path = home / name
    make_directory(path.parent)
    handle, temporary = tempfile.mkstemp(prefix=".evidence.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), FILE_MODE)
            stream.write(kept.content)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return name


def reader(directory: Path) -> Callable[[str, str], Optional[bytes]]:
    """A function from the id of a run and the file of an artefact to its content; None when it is not there or not taken in.

    A verdict is another machine's word: only files that this module could have written are read, and no links are followed.
    """
    left = [LARGEST_PAGE]

    def read(run_id: str, file: str) -> Optional[bytes]:
        if not FILE.match(file):
            return None
        try:
            handle = os.open(directory / run_id / file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            with os.fdopen(handle, "rb") as stream:
                content = stream.read(LARGEST_ARTEFACT + 1)
        except OSError:
            return None
        if len(content) > min(LARGEST_ARTEFACT, left[0]):
            return None
        left[0] -= len(content)
        return content

    return read
