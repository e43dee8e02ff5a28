# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Drop-in files of nginx, placed as one change: the whole tree is tested, taken by the running nginx, or nothing has changed.

What was there is saved before the first file is touched, with a marker that says so. The marker is removed after the running
nginx was seen to work with the new files. A run that finds the marker of another one puts the saved files back and starts
from there, so it does not matter where that one died.

Below the state directory::

    lock                one run at a time
    pending             the name of the run that has not come to its end
    journal/            the files as they were before that change, to be put back when it dies
    loaded.json         what the running nginx was last seen to have loaded
    releases.json       which run changed files for which release, the oldest first
    <run>/manifest.json the files as they were before that run: path, whether it was there, mode, owner
    <run>/<number>      their bytes
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ansible_collections.golive.cutover.plugins.module_utils import _nginx
from ansible_collections.golive.cutover.plugins.module_utils._files import (
    FileState,
    put_file,
    read_file,
    same_file,
    write_file,
)
from ansible_collections.golive.cutover.plugins.module_utils._nginx import Nginx
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, InputError, Problem

_POLL = 0.05
_JOURNAL = "journal"
_RELEASES = "releases.json"
_NAMES = ("lock", "pending", "loaded.json", _RELEASES, _JOURNAL)


class Wanted(NamedTuple):
    """A file as it shall be; ``state`` None means absent. An owner or group of -1 keeps what is there."""

    path: str
    state: FileState | None


class Placed(NamedTuple):
    """What became of one file: created, changed, removed or same."""

    path: str
    state: str


class NginxRefused(CutoverError):
    """nginx did not take the change. The previous files are back."""


def digest(wanted: Sequence[Wanted]) -> str:
    """Names the content of all files at once."""
    text = json.dumps(
        [
            [one.path, None if one.state is None else base64.b64encode(one.state.data).decode("ascii")]
            for one in sorted(wanted, key=lambda one: one.path)
        ]
    )
    return hashlib.sha256(text.encode()).hexdigest()


def read_run(name: str) -> str:
    """The name of a run, which becomes the name of a directory. Raises ValueError."""
    if not name or name.startswith(".") or set(name) & set("/\0") or name in _NAMES:
        raise ValueError(f"{name!r} cannot be the name of a directory")
    return name


# ---------------------------------------------------------------------------------------------------------------------
# What was there before


@dataclass(frozen=True)
class Saved:
    """The state directory."""

    home: str

    def _path(self, *names: str) -> str:
        return os.path.join(self.home, *names)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One run at a time. Raises CutoverError when another one is at work."""
        try:
            os.makedirs(self.home, mode=0o700, exist_ok=True)
            handle = os.open(self._path("lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise CutoverError(f"{self.home} cannot be written: {error.strerror}") from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CutoverError(f"another run is changing nginx on this host ({self._path('lock')} is held)") from None
            yield
        finally:
            os.close(handle)

    def pending(self) -> str | None:
        found = read_file(self._path("pending"))
        return None if found is None else found.data.decode("utf-8").strip() or None

    def mark(self, run: str, before: Sequence[Wanted]) -> None:
        """From here on, and until `unmark`, whoever comes next puts these files back."""
        shutil.rmtree(self._path(_JOURNAL), ignore_errors=True)
        self.save(_JOURNAL, before)
        write_file(self._path("pending"), run.encode(), 0o600)

    def unmark(self) -> None:
        put_file(self._path("pending"), None)
        shutil.rmtree(self._path(_JOURNAL), ignore_errors=True)

    def has(self, run: str) -> bool:
        return os.path.exists(self._path(run, "manifest.json"))

    def files(self, run: str) -> list[Wanted]:
        """The files of a run as they were before it. Raises CutoverError when nothing was saved."""
        manifest = read_file(self._path(run, "manifest.json"))
        if manifest is None:
            raise CutoverError(f"nothing was saved by a run {run} below {self.home}")
        found = []
        for entry in json.loads(manifest.data):
            state = None
            if entry["saved"] is not None:
                kept = read_file(self._path(run, entry["saved"]))
                if kept is None:
                    raise CutoverError(f"{self._path(run, entry['saved'])} is gone, which was a copy of {entry['path']}")
                state = FileState(kept.data, entry["mode"], entry["uid"], entry["gid"])
            found.append(Wanted(entry["path"], state))
        return found

    def save(self, run: str, before: Sequence[Wanted]) -> None:
        """Save files as they are before a run. What the same run saved earlier stays: it is older."""
        os.makedirs(self._path(run), mode=0o700, exist_ok=True)
        manifest = read_file(self._path(run, "manifest.json"))
        entries: list[dict[str, Any]] = [] if manifest is None else json.loads(manifest.data)
        known = {entry["path"] for entry in entries}
        for one in before:
            if one.path in known:
                continue
            name = None
            if one.state is not None:
                name = str(len(entries))
                write_file(self._path(run, name), one.state.data, 0o600)
            mode, uid, gid = (one.state.mode, one.state.uid, one.state.gid) if one.state else (0, -1, -1)
            entries.append({"path": one.path, "saved": name, "mode": mode, "uid": uid, "gid": gid})
        write_file(self._path(run, "manifest.json"), json.dumps(entries, indent=1).encode(), 0o600)

    def _noted(self) -> list[tuple[str, str]]:
        found = read_file(self._path(_RELEASES))
        return [] if found is None else [(str(release), str(run)) for release, run in json.loads(found.data)]

    def _note(self, noted: Sequence[tuple[str, str]]) -> None:
        write_file(self._path(_RELEASES), json.dumps(noted, indent=1).encode(), 0o600)

    def note_release(self, release: str, run: str) -> None:
        """Remember that a run changes files for a release, so that it can be undone without knowing the run."""
        noted = self._noted()
        if not self.runs_of(release):
            # Another release came in between: what was there before this one then is not what is there now.
            noted = [one for one in noted if one[0] != release]
        if (release, run) not in noted:
            self._note([*noted, (release, run)])

    def runs_of(self, release: str) -> list[str]:
        """The runs that have changed files for a release, the oldest first; none when another release has changed them since."""
        runs: list[str] = []
        for noted, run in reversed(self._noted()):
            if noted != release:
                break
            runs.append(run)
        return runs[::-1]

    def forget_release(self, release: str) -> None:
        noted = self._noted()
        kept = [one for one in noted if one[0] != release]
        if kept != noted:
            self._note(kept)

    def loaded(self) -> Mapping[str, Any]:
        found = read_file(self._path("loaded.json"))
        try:
            return dict(json.loads(found.data)) if found is not None else {}
        except ValueError:
            return {}

    def note_loaded(self, what: str, master: _nginx.Worker) -> None:
        write_file(self._path("loaded.json"), json.dumps({"digest": what, "master": list(master)}).encode(), 0o600)


# ---------------------------------------------------------------------------------------------------------------------
# The change


@dataclass
class Change:
    """One change. ``clock`` and ``sleep`` are in seconds; ``reload`` says whether a running nginx must take the files.

    ``release`` is what it is made for: then it can be undone by naming the release.
    """

    nginx: Nginx
    saved: Saved
    run: str
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    reload: bool = True
    timeout: float = 15.0
    release: str | None = None
    _told: bool = False

    def plan(self, wanted: Sequence[Wanted]) -> list[Placed]:
        """What would become of each file. A marker of a run that died counts: its files would be put back first."""
        before = {one.path: read_file(one.path) for one in wanted}
        return [self._placed(one, before[one.path]) for one in wanted]

    @staticmethod
    def _placed(one: Wanted, there: FileState | None) -> Placed:
        if same_file(there, one.state):
            return Placed(one.path, "same")
        if one.state is None:
            return Placed(one.path, "removed")
        return Placed(one.path, "created" if there is None else "changed")

    def restorable(self) -> list[Wanted]:
        """The files that were there before the run, or before the release where one is named. Empty when nothing was changed."""
        runs = self.saved.runs_of(self.release) if self.release else [self.run]
        # Of what several runs have saved of a file, the oldest is what was there before.
        oldest: dict[str, Wanted] = {}
        for run in runs:
            for one in self.saved.files(run) if self.saved.has(run) else []:
                oldest.setdefault(one.path, one)
        return list(oldest.values())

    def restore(self) -> dict[str, Any]:
        """Put the files back that `restorable` names, as one change. What was put back for a release is not put back again."""
        wanted, release = self.restorable(), self.release
        if not wanted:
            return {"changed": False, "reloaded": False, "recovered": None, "files": []}
        # Going back is no change for the release: it must not be found as one.
        self.release = None
        result = self.apply(wanted)
        if release:
            self.saved.forget_release(release)
        return result

    def apply(self, wanted: Sequence[Wanted]) -> dict[str, Any]:
        """Place the files and have the running nginx take them.

        Raises NginxRefused or another CutoverError; then nothing has changed.
        """
        _check(wanted)
        with self.saved.locked():
            recovered = self._recover()
            before = [Wanted(one.path, read_file(one.path)) for one in wanted]
            placed = [self._placed(one, there.state) for one, there in zip(wanted, before)]
            changed = any(one.state != "same" for one in placed)
            what = digest(wanted)
            if changed:
                self.saved.save(self.run, before)
                if self.release:
                    self.saved.note_release(self.release, self.run)
                self.saved.mark(self.run, before)
            reloaded = False
            try:
                if changed:
                    for one in wanted:
                        put_file(one.path, one.state)
                dump = self._tested(wanted)
                if self.reload:
                    reloaded = self._take(dump, what, changed, wanted)
            except BaseException as error:
                if changed:
                    self._put_back(before, error)
                raise
            if changed:
                self.saved.unmark()
        return {
            "changed": changed or reloaded or recovered is not None,
            "reloaded": reloaded,
            "recovered": recovered,
            "files": [one._asdict() for one in placed],
        }

    def _recover(self) -> str | None:
        """Put back the files of a run that died half way. Returns its name."""
        died = self.saved.pending()
        if died is None:
            return None
        for one in self.saved.files(_JOURNAL):
            if not same_file(read_file(one.path), one.state):
                put_file(one.path, one.state)
        self.saved.unmark()
        return died

    def _put_back(self, before: Sequence[Wanted], error: BaseException) -> None:
        try:
            for one in before:
                if not same_file(read_file(one.path), one.state):
                    put_file(one.path, one.state)
        except CutoverError as worse:
            # The marker stays: the next run tries again.
            raise CutoverError(f"{error}; and the previous files could NOT all be put back: {worse}") from error
        if self._told:
            # It may have taken the files late: what runs shall be what lies on the disk.
            with contextlib.suppress(CutoverError):
                self.nginx.ask("-s", "reload")
        self.saved.unmark()

    def _tested(self, wanted: Sequence[Wanted]) -> str:
        """Test the whole tree, and see that it reads our files. Returns the dump, which may hold secrets."""
        answer = self.nginx.ask("-T")
        if answer.code != 0:
            raise NginxRefused(
                f"nginx refuses the configuration, and the previous files are back: {_nginx.complaint(answer.stderr)}"
            )
        loaded = _nginx.loaded_files(answer.stdout)
        missing = [one.path for one in wanted if one.state is not None and os.path.realpath(one.path) not in loaded]
        if missing:
            lines = [f"{path} (the site has no line such as: include {os.path.dirname(path)}/*.conf;)" for path in missing]
            raise NginxRefused(f"nginx does not read {' and '.join(lines)}; the previous files are back")
        return answer.stdout

    def _take(self, dump: str, what: str, changed: bool, wanted: Sequence[Wanted]) -> bool:
        """Have the running nginx take the files, unless it has them. Returns whether it was reloaded."""
        pid_file = self.nginx.pid_file(dump)
        master = _nginx.master(pid_file)
        if master is None:
            raise NginxRefused(
                f"nginx does not run (as {pid_file} says), so nothing can take the change; the previous files are back"
            )
        if not changed and self._has(what, master, wanted):
            self.saved.note_loaded(what, master)
            return False
        before = _nginx.workers(master.pid)
        self._told = True
        answer = self.nginx.ask("-s", "reload")
        if answer.code != 0:
            raise NginxRefused(
                f"nginx cannot be told to reload, and the previous files are back: {_nginx.complaint(answer.stderr)}"
            )
        end = self.clock() + self.timeout
        while True:
            now = _nginx.workers(master.pid)
            if now and not now & before:
                break
            if _nginx.master(pid_file) != master:
                raise NginxRefused("nginx ended during the reload, and the previous files are back")
            if self.clock() > end:
                raise NginxRefused(
                    "nginx was told to reload and has no new workers, so it goes on as before; its error log says why. "
                    "The previous files are back"
                )
            self.sleep(_POLL)
        self.saved.note_loaded(what, master)
        return True

    def _has(self, what: str, master: _nginx.Worker, wanted: Sequence[Wanted]) -> bool:
        """Whether the running nginx has loaded these files: we saw it, or it was started after they were written."""
        loaded = self.saved.loaded()
        if loaded.get("digest") == what and loaded.get("master") == list(master):
            return True
        try:
            written = max((os.stat(one.path).st_mtime for one in wanted if one.state is not None), default=None)
            with open("/proc/stat", encoding="ascii") as file:
                boot = next(float(line.split()[1]) for line in file if line.startswith("btime "))
        except (OSError, StopIteration, ValueError):
            return False
        # The time of boot is known to the second only, hence one second of doubt, in which nginx is reloaded once too often.
        started = boot + master.started / os.sysconf("SC_CLK_TCK")
        return written is not None and started > written + 1.0


def _check(wanted: Sequence[Wanted]) -> None:
    problems = [Problem(one.path, "is not an absolute path") for one in wanted if not os.path.isabs(one.path)]
    paths = [one.path for one in wanted]
    problems += [Problem(path, "is named twice") for path in sorted({path for path in paths if paths.count(path) > 1})]
    problems += [
        Problem(one.path, "is a symbolic link; name the file that it points to") for one in wanted if os.path.islink(one.path)
    ]
    problems += [
        Problem(one.path, "its directory does not exist")
        for one in wanted
        if one.state is not None and os.path.isabs(one.path) and not os.path.isdir(os.path.dirname(one.path))
    ]
    if problems:
        raise InputError(problems)
