# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Release directories on disk: reading a tree, staging it so that a half copy is never a release, and looking whether
it is whole.

A release is complete when its manifest ``.golive/release.json`` is there. It is written into ``<id>.partial``, which
is renamed when all of it is on disk. Whatever the moment at which this is killed, the same call again ends in the
same place.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ansible_collections.golive.cutover.plugins.module_utils.core import tree, units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError
from ansible_collections.golive.cutover.plugins.module_utils.core.tree import Entry

MANIFEST = f"{tree.OWN}/release.json"
_BLOCK = 1 << 20
_SPARE = 64 * 1000 * 1000
"""Bytes that are left free on the disk beside the copy."""


class ReleaseError(CutoverError):
    """A release cannot be staged, read or removed."""


def _hash(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := stream.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def scan_directory(root: str | Path, exclude: Sequence[str]) -> list[Entry]:
    """The files and links below a directory. Raises ReleaseError for what a release cannot hold, such as a socket."""
    base = Path(root)
    entries: list[Entry] = []

    def visit(directory: Path, prefix: str) -> None:
        for child in sorted(os.scandir(directory), key=lambda one: one.name):
            path = f"{prefix}{child.name}"
            if tree.excluded(path, exclude):
                continue
            if child.is_symlink():
                entries.append(Entry(path, "link", False, tree.check_link(path, os.readlink(child.path))))
            elif child.is_dir():
                visit(Path(child.path), f"{path}/")
            elif child.is_file():
                about = child.stat()
                with open(child.path, "rb") as stream:
                    entries.append(Entry(path, "file", bool(about.st_mode & 0o100), _hash(stream), about.st_size))
            else:
                raise ReleaseError(f"{child.path} is neither a file, a directory nor a link; it cannot be part of a release")

    try:
        visit(base, "")
    except (OSError, ValueError) as error:
        raise ReleaseError(f"the source {base} cannot be read: {error}") from error
    return entries


def _members(archive: tarfile.TarFile, exclude: Sequence[str]) -> Iterator[tuple[str, tarfile.TarInfo]]:
    for member in archive:
        path = tree.check_path(member.name)
        if member.isdir() or path == "." or tree.excluded(path, exclude):
            continue
        if not (member.isfile() or member.issym()):
            raise ReleaseError(f"{member.name} in {archive.name!r} is neither a file, a directory nor a symbolic link")
        yield path, member


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(member)
    if stream is None:
        raise ValueError(f"{member.name} has no content")
    return stream


def scan_archive(path: str | Path, exclude: Sequence[str]) -> list[Entry]:
    """The files and links in a tar archive, compressed or not; the same entries as those of the directory that was
    packed."""
    entries: dict[str, Entry] = {}
    try:
        with tarfile.open(path) as archive:
            for name, member in _members(archive, exclude):
                if member.issym():
                    entries[name] = Entry(name, "link", False, tree.check_link(name, member.linkname))
                    continue
                stream = _content(archive, member)
                entries[name] = Entry(name, "file", bool(member.mode & 0o100), _hash(stream), member.size)
    except (OSError, EOFError, ValueError, tarfile.TarError) as error:
        raise ReleaseError(f"the archive {path} cannot be read: {error}") from error
    return list(entries.values())


def scan(source: str | Path, exclude: Sequence[str]) -> list[Entry]:
    """The entries of a directory or of a tar archive."""
    path = Path(source)
    if path.is_dir():
        return scan_directory(path, exclude)
    if path.is_file():
        return scan_archive(path, exclude)
    raise ReleaseError(f"the source {path} does not exist")


def with_files(entries: Sequence[Entry], files: Mapping[str, str]) -> list[Entry]:
    """Entries with rendered files laid over them."""
    merged = {entry.path: entry for entry in entries}
    for path, content in files.items():
        try:
            clean = tree.check_path(path)
        except ValueError as error:
            raise ReleaseError(str(error)) from error
        if tree.excluded(clean, ()):
            raise ReleaseError(
                f"{path!r} is not a place for a rendered file: {tree.OWN} and {tree.ENV_FILE} are the collection's own"
            )
        merged[clean] = tree.file_entry(clean, content.encode("utf-8"))
    return list(merged.values())


def pack(source: str | Path, entries: Sequence[Entry], target: str | Path) -> None:
    """Write the entries of a directory into a tar archive, to be sent to a host."""
    base = Path(source)
    with tarfile.open(target, "w:gz", compresslevel=1) as archive:
        for entry in entries:
            archive.add(str(base / entry.path), arcname=entry.path, recursive=False)


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of a release directory; None when it is not a complete release."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        entries = [Entry(*one) for one in manifest["entries"]]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"the manifest {path / MANIFEST} cannot be read: {error}") from error
    return {**manifest, "entries": entries}


def altered(path: Path, manifest: Mapping[str, Any]) -> list[str]:
    """What of a release directory is not as it was staged. Only what was staged is read: services write caches beside
    it."""
    found: list[Entry] = []
    for entry in manifest["entries"]:
        where = path / entry.path
        try:
            about = where.lstat()
            if stat.S_ISLNK(about.st_mode):
                found.append(Entry(entry.path, "link", False, os.readlink(where)))
            elif stat.S_ISREG(about.st_mode):
                with where.open("rb") as stream:
                    found.append(Entry(entry.path, "file", bool(about.st_mode & 0o100), _hash(stream), about.st_size))
        except OSError:
            continue
    return tree.differences(manifest["entries"], found)


def write_atomically(path: Path, content: str, mode: int = 0o644) -> bool:
    """Write a file by rename; returns whether its content was another. The mode is set in any case."""
    data = content.encode("utf-8")
    with contextlib.suppress(OSError):
        if path.read_bytes() == data:
            if stat.S_IMODE(path.stat().st_mode) != mode:
                path.chmod(mode)
                return True
            return False
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    return True


class Releases:
    """The directory that holds the releases of a host."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def path(self, release: str) -> Path:
        try:
            return self.root / tree.check_release_id(release)
        except ValueError as error:
            raise ReleaseError(str(error)) from error

    def _partial(self, release: str) -> Path:
        return self.path(release).with_name(f"{release}.partial")

    def _replaced(self, release: str) -> Path:
        return self.path(release).with_name(f"{release}.replaced")

    def look(self, release: str) -> dict[str, Any]:
        """What is known of a release: ``complete``, its ``digest`` and what of it was ``altered``."""
        path = self.path(release)
        if not path.exists() and self._replaced(release).exists():
            path = self._replaced(release)
        manifest = read_manifest(path)
        if manifest is None:
            return {"complete": False, "digest": None, "altered": []}
        return {"complete": True, "digest": manifest["digest"], "altered": altered(path, manifest)}

    def room(self, size: int) -> list[str]:
        """Why a copy of ``size`` bytes cannot be written here."""
        parent = self.root
        while not parent.exists() and parent != parent.parent:
            parent = parent.parent
        if not parent.is_dir():
            return [f"{parent} is not a directory, so {self.root} cannot be made"]
        if not os.access(parent, os.W_OK | os.X_OK):
            return [f"{parent} is not writable for this user"]
        free = shutil.disk_usage(parent).free
        if free < size + _SPARE:
            return [
                f"the disk of {self.root} has {units.show(free, 'size')} free, and the release needs "
                f"{units.show(size, 'size')} with {units.show(_SPARE, 'size')} to spare"
            ]
        return []

    def stage(
        self,
        release: str,
        source: str | Path | None,
        entries: Sequence[Entry],
        files: Mapping[str, str],
        exclude: Sequence[str],
    ) -> None:
        """Make the release directory from a source and rendered files. Settings that are already in it are kept."""
        target, partial, replaced = self.path(release), self._partial(release), self._replaced(release)
        self.root.mkdir(parents=True, exist_ok=True)
        if replaced.exists() and not target.exists():
            os.rename(replaced, target)
        for leftover in (partial, replaced):
            if leftover.exists():
                shutil.rmtree(leftover)
        partial.mkdir()
        if source is not None:
            self._copy(Path(source), partial, entries, set(files), exclude)
        for path, content in files.items():
            where = partial / tree.check_path(path)
            where.parent.mkdir(parents=True, exist_ok=True)
            where.write_text(content, encoding="utf-8")
        found = tree.tree_digest(scan_directory(partial, ()))
        wanted = tree.tree_digest(entries)
        if found != wanted:
            raise ReleaseError(
                f"the copy of release {release} has the digest {found}, expected {wanted}; the source changed meanwhile"
            )
        kept = target.exists()
        if kept:
            self._keep(target, partial)
            partial.chmod(stat.S_IMODE(target.stat().st_mode))
        rows = [[one.path, one.kind, one.executable, one.digest, one.size] for one in entries]
        manifest = {"release": release, "digest": wanted, "entries": rows}
        write_atomically(partial / MANIFEST, json.dumps(manifest) + "\n")
        if kept:
            os.rename(target, replaced)
        os.rename(partial, target)
        if kept:
            shutil.rmtree(replaced)

    @staticmethod
    def _copy(source: Path, partial: Path, entries: Sequence[Entry], overlaid: set[str], exclude: Sequence[str]) -> None:
        def place(entry: Entry) -> Path:
            where = partial / entry.path
            where.parent.mkdir(parents=True, exist_ok=True)
            return where

        wanted = {entry.path: entry for entry in entries if entry.path not in overlaid}
        try:
            if source.is_dir():
                for entry in wanted.values():
                    where = place(entry)
                    if entry.kind == "link":
                        where.symlink_to(os.readlink(source / entry.path))
                    else:
                        shutil.copyfile(source / entry.path, where, follow_symlinks=False)
                        where.chmod(0o755 if entry.executable else 0o644)
                return
            with tarfile.open(source) as archive:
                for path, member in _members(archive, exclude):
                    wanted_entry = wanted.get(path)
                    if wanted_entry is None:
                        continue
                    where = place(wanted_entry)
                    if where.is_symlink() or where.exists():
                        where.unlink()
                    if member.issym():
                        where.symlink_to(tree.check_link(path, member.linkname))
                        continue
                    stream = _content(archive, member)
                    with where.open("wb") as out:
                        shutil.copyfileobj(stream, out, _BLOCK)
                    where.chmod(0o755 if wanted_entry.executable else 0o644)
        except (OSError, EOFError, ValueError, tarfile.TarError) as error:
            raise ReleaseError(f"the release cannot be copied from {source}: {error}") from error

    @staticmethod
    def _keep(old: Path, new: Path) -> None:
        """Take over what stands in an old directory and is not part of the old or new content, above all the
        settings."""
        manifest = read_manifest(old)
        content = {entry.path.split("/")[0] for entry in manifest["entries"]} if manifest else set()
        for child in sorted(old.iterdir()):
            target = new / child.name
            if child.name == tree.OWN:
                shutil.copytree(child, target, dirs_exist_ok=True)
                with contextlib.suppress(OSError):
                    (new / MANIFEST).unlink()
            elif child.name in content or target.exists():
                continue
            elif child.is_dir() and not child.is_symlink():
                shutil.copytree(child, target, symlinks=True)
            else:
                shutil.copy2(child, target, follow_symlinks=False)

    def remove(self, release: str) -> bool:
        """Remove a release and what a killed run left of it; returns whether there was anything."""
        target, partial, replaced = self.path(release), self._partial(release), self._replaced(release)
        there = [path for path in (partial, replaced, target) if path.exists()]
        for path in (partial, replaced):
            if path.exists():
                shutil.rmtree(path)
        if target.exists():
            # A rename first: a half removed directory must not look like a release.
            os.rename(target, partial)
            shutil.rmtree(partial)
        return bool(there)
