# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The content of a release as one digest.

Two trees with the same digest hold the same files under the same names, with the same executable bits and the same
links. Times, owners and empty directories do not count, so a checkout, its archive and a copy on a host all have one
digest.
"""

from __future__ import annotations

import fnmatch
import hashlib
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OWN = ".golive"
"""What the collection itself keeps inside a release. Never part of the content."""
ENV_FILE = ".env"
"""The settings of a release on a host. Written there, never shipped with the content."""
RELEASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
RESERVED_SUFFIXES = (".partial", ".replaced")


@dataclass(frozen=True)
class Entry:
    """One file or symbolic link of a tree."""

    path: str
    """Relative, with ``/``."""
    kind: str
    """``file`` or ``link``."""
    executable: bool
    digest: str
    """SHA-256 of a file's content, or where a link points."""
    size: int = 0


def check_release_id(release: str) -> str:
    """The id, or ValueError: it becomes the name of a directory."""
    if not RELEASE_ID.match(release) or release.endswith(RESERVED_SUFFIXES):
        raise ValueError(
            f"{release!r} cannot be the id of a release; expected letters, digits, '.', '_' and '-', at most 64, "
            f"and not the ending {' or '.join(RESERVED_SUFFIXES)}"
        )
    return release


def excluded(path: str, patterns: Sequence[str]) -> bool:
    """Whether a path is left out: a pattern matches the whole path or one of its parts. `.golive` and a top `.env`
    always are."""
    parts = path.split("/")
    if parts[0] in (OWN, ENV_FILE):
        return True
    return any(
        fnmatch.fnmatchcase(path, pattern) or any(fnmatch.fnmatchcase(part, pattern) for part in parts) for pattern in patterns
    )


def check_path(path: str) -> str:
    """A clean relative path, or ValueError when it would leave the tree."""
    clean = posixpath.normpath(path)
    if path.startswith("/") or clean == ".." or clean.startswith("../") or "\0" in path or "\n" in path:
        raise ValueError(f"{path!r} leads out of the release")
    return clean


def check_link(path: str, target: str) -> str:
    """Where a link points, or ValueError when that is outside of the tree."""
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if target.startswith("/") or joined == ".." or joined.startswith("../"):
        raise ValueError(f"the link {path!r} points out of the release, to {target!r}")
    return target


def file_entry(path: str, content: bytes, executable: bool = False) -> Entry:
    return Entry(path, "file", executable, hashlib.sha256(content).hexdigest(), len(content))


def tree_digest(entries: Iterable[Entry]) -> str:
    """``sha256:`` and the digest of a tree, whatever the order of its entries.

    >>> tree_digest([]) == tree_digest(())
    True
    """
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda one: one.path.encode("utf-8", "surrogateescape")):
        line = f"{entry.kind} {'x' if entry.executable else '-'} {entry.digest} {entry.path}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return f"sha256:{digest.hexdigest()}"


def differences(recorded: Iterable[Entry], found: Iterable[Entry], limit: int = 5) -> list[str]:
    """What of a recorded tree is gone or altered. Files that came later, such as caches, do not count."""
    now = {entry.path: entry for entry in found}
    lines: list[str] = []
    for entry in recorded:
        other = now.get(entry.path)
        if other is None:
            lines.append(f"{entry.path} is gone")
        elif other != entry:
            lines.append(f"{entry.path} was altered")
    if len(lines) > limit:
        lines[limit:] = [f"and {len(lines) - limit} more"]
    return lines
