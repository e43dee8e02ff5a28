# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""One file of Prometheus or Alertmanager, placed as one change: its own tool tests it, the running server takes it, or what was
there is back.

The file is tested beside its place under a name that no server reads, so a bad one never stands there. What only the server sees (a
rule file that no ``rule_files`` names, a whole that does not fit together) is found after the reload, and the change is taken back.

A run that dies half way leaves a file that was tested. The next one sees that the server is older than the file, and reloads it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlencode

from ansible_collections.golive.cutover.plugins.module_utils._files import FileState, put_file, read_file, same_file
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError
from ansible_collections.golive.cutover.plugins.module_utils.monitoring.loaded import Rule, difference, read_groups

_POLL = 0.1
_LONGEST = 2000
"""Characters of a tool's complaint that are told."""

_NEVER = (400, 404, 405)
"""Answers of a server that does not know the question, or not the expression, and will not later."""

TOOLS = {"prometheus": "promtool", "alertmanager": "amtool"}


class Refused(CutoverError):
    """The file was not taken. What was there before is there."""


class NotNow(CutoverError):
    """The server gave no answer that counts. It may give one when it is asked again."""


class Loaded(NamedTuple):
    """What a server says of its last reload: whether it succeeded, and when the last one that did was, in Unix seconds."""

    successful: bool
    at: float


@dataclass(frozen=True)
class Server:
    """A Prometheus or Alertmanager on this host.

    ``run`` takes a command line and returns its exit code, output and error output, or raises OSError. ``fetch`` takes a method and
    an address and returns status and text, or raises CutoverError. ``kill`` is `os.kill`.
    """

    kind: str
    run: Callable[[list[str]], tuple[int, str, str]]
    fetch: Callable[[str, str], tuple[int, str]]
    kill: Callable[[int, int], None]
    tool: str
    config: str | None = None
    url: str | None = None
    reload: str = "http"
    pid_file: str | None = None

    def test(self, path: str, shown: str) -> None:
        """Have the file tested by the server's own tool; ``shown`` is what it is called in the complaint. Raises Refused."""
        words = ["check", "rules"] if self.kind == "prometheus" else ["check-config"]
        self._ask([*words, path], shown, path)

    def test_whole(self) -> None:
        """Have the configuration tested that the file is a part of, where it is known. Raises Refused."""
        if self.config is not None:
            self._ask(["check", "config", self.config] if self.kind == "prometheus" else ["check-config", self.config], self.config)

    def _ask(self, words: Sequence[str], shown: str, path: str | None = None) -> None:
        try:
            code, output, errors = self.run([self.tool, *words])
        except OSError as error:
            raise CutoverError(f"{self.tool} cannot be run: {error.strerror}; nothing was changed") from error
        if code != 0:
            text = "\n".join(line.rstrip() for line in (output + errors).splitlines() if line.strip())
            text = text.replace(path, shown) if path else text
            raise Refused(f"{os.path.basename(self.tool)} refuses {shown}: {text[:_LONGEST]}")

    def loaded(self) -> Loaded:
        """When the running server last took its configuration. Raises Refused when it does not say so."""
        status, text = self.fetch("GET", f"{self.url}/metrics")
        found = {}
        for what in ("successful", "success_timestamp_seconds"):
            match = re.search(rf"^{self.kind}_config_last_reload_{what} (\S+)$", text, re.MULTILINE) if status == 200 else None
            if match is None:
                raise Refused(f"{self.url} does not say whether {self.kind} took its configuration (status {status})")
            found[what] = float(match[1])
        return Loaded(found["successful"] == 1, found["success_timestamp_seconds"])

    def tell(self) -> None:
        """Tell the server to reload. Raises Refused when it answers that it did not."""
        if self.reload == "signal":
            self.kill(self._pid(), signal.SIGHUP)
            return
        status, text = self.fetch("POST", f"{self.url}/-/reload")
        if status in (403, 404, 405):
            more = "; start it with --web.enable-lifecycle, or reload by signal" if self.kind == "prometheus" else ""
            raise Refused(f"{self.kind} does not take a reload at {self.url}/-/reload (status {status}){more}")
        if status != 200:
            raise Refused(f"{self.kind} refuses to reload: {' '.join(text.split())[:_LONGEST]}")

    def _pid(self) -> int:
        try:
            with open(self.pid_file or "", encoding="ascii") as file:
                return int(file.read().strip())
        except (OSError, ValueError) as error:
            raise Refused(f"{self.pid_file} does not hold the number of a process, so nothing can be told to reload") from error

    def groups(self) -> list[tuple[str, list[Rule]]]:
        """The rule groups that Prometheus evaluates, with their rules. Raises Refused."""
        status, text = self.fetch("GET", f"{self.url}/api/v1/rules")
        try:
            return read_groups(json.loads(text))
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(f"{self.url} does not say which rules it has (status {status})") from error

    def formatted(self, expression: str) -> str | None:
        """An expression as Prometheus prints it; None where it prints none, such as before 2.39. Raises NotNow."""
        status, text = self.fetch("GET", f"{self.url}/api/v1/format_query?{urlencode({'query': expression})}")
        if status in _NEVER:
            return None
        try:
            if status == 200:
                return str(json.loads(text)["data"])
        except (ValueError, KeyError, TypeError):
            pass
        raise NotNow(f"it does not say how it prints {expression} (status {status})")


@dataclass
class Placing:
    """One change. ``clock`` and ``sleep`` are in seconds; ``groups``: rule groups that must be evaluated afterwards, and
    ``rules``: what each of them must be, where that is known."""

    server: Server
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    timeout: float = 15.0
    groups: Sequence[str] = ()
    rules: Mapping[str, Sequence[Rule]] = field(default_factory=dict)
    _printed: dict[str, str | None] = field(default_factory=dict)

    def test(self, path: str, state: FileState) -> None:
        """Have the content tested without placing it. Raises Refused."""
        directory = os.path.dirname(path)
        where = directory if os.access(directory, os.W_OK) else None
        handle, beside = tempfile.mkstemp(prefix=".golive-", suffix=".new", dir=where)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(state.data)
            self.server.test(beside, path)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(beside)

    def apply(self, path: str, state: FileState | None) -> tuple[bool, bool]:
        """Make the file what it shall be (None: absent). Returns whether it changed and whether the server was reloaded.

        Raises Refused or another CutoverError; then the file is as it was.
        """
        before = read_file(path)
        changed = not same_file(before, state)
        if changed and state is not None:
            self.test(path, state)
        if changed:
            put_file(path, state)
        try:
            self.server.test_whole()
            reloaded = self._take(path, changed)
        except BaseException as error:
            if changed:
                self._put_back(path, before, error)
            raise
        return changed, reloaded

    def _put_back(self, path: str, before: FileState | None, error: BaseException) -> None:
        try:
            put_file(path, before)
        except CutoverError as worse:
            raise CutoverError(f"{error}; and what was there before could NOT be put back: {worse}") from error
        if self.server.reload != "none":
            # It may have taken the file, or may take it late: what runs shall be what lies on the disk.
            with contextlib.suppress(CutoverError, OSError):
                self.server.tell()
        if isinstance(error, Refused):
            raise Refused(f"{error}\nwhat was there before is back") from error

    def _take(self, path: str, changed: bool) -> bool:
        """Have the running server take the file, unless it has it. Returns whether it was reloaded."""
        if self.server.reload == "none":
            return False
        earlier = self.server.loaded()
        if not changed and earlier.successful and earlier.at >= _written(path) and not self._missing():
            return False
        self.server.tell()
        end = self.clock() + self.timeout
        while True:
            now = self.server.loaded()
            if now.successful and now.at > earlier.at and not self._missing():
                return True
            if self.clock() > end:
                break
            self.sleep(_POLL)
        if not now.successful:
            raise Refused(f"{self.server.kind} did not take its configuration; its log says why")
        missing = self._missing()
        if missing:
            raise Refused(
                f"{self.server.kind} was reloaded, and {missing}; "
                f"its configuration needs a line such as: rule_files: [{os.path.dirname(path)}/*.yml]"
            )
        raise Refused(f"{self.server.kind} was told to reload and did not within {self.timeout:g} s")

    def _missing(self) -> str:
        """What is missing of the rules that must be evaluated. A group of that name is not enough: another file may have it."""
        if not self.groups and not self.rules:
            return ""
        there = self.server.groups()
        names = [name for name, _rules in there]
        absent = [name for name in sorted(self.groups) if name not in names]
        if absent:
            return f"it does not evaluate the group {absent[0]}"
        try:
            return difference(self.rules, there, self._formatted)
        except NotNow as error:  # not known to be the same, so not taken for it; and asked again
            return str(error)

    def _formatted(self, expression: str) -> str | None:
        if expression not in self._printed:
            self._printed[expression] = self.server.formatted(expression)
        return self._printed[expression]


def _written(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
