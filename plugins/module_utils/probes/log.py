# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What stands in a log since a time: how often patterns match, in all and at the most within a stretch of it, the longest
silence between two matches, the age of the newest.

Logs are files (through rotation), the journal of systemd, or what containers write. That a pattern does not match says something
only when there are lines, and when they reach back as far as was asked; otherwise it is missing, with the reason.
"""

from __future__ import annotations

import datetime
import itertools
import json
import os
import re
import selectors
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Optional, Union

from ansible_collections.golive.cutover.plugins.module_utils import commands
from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.patterns import compile_pattern
from ansible_collections.golive.cutover.plugins.module_utils.probes import _docker, _log_files
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe

MOST_MATCHES = 200_000
"""Times of matches of one pattern that are kept, of all logs together."""
_BEAT = 500
"""Lines between two looks at the clock."""
_DISORDER = 60.0
"""Seconds by which neighbouring lines may be out of order before their times are not believed."""
_FAMILIES: Mapping[str, str] = {"count": "count", "sources": "count", "peak": "count", "gap": "time", "age": "time"}
_TIMED = ("peak", "gap", "age")
"""Those that need to know when each line was written."""


def _absolute(value: Any) -> str:
    path = opt.text(value)
    if not path.startswith("/"):
        raise ValueError(f"expected an absolute path, got {path!r}")
    return path


def _compiled(value: Any) -> re.Pattern[str]:
    return compile_pattern(opt.text(value))


def _patterns(value: Any) -> dict[str, re.Pattern[str]]:
    clean: dict[str, re.Pattern[str]] = opt.map_of(_compiled)(value)
    if not clean:
        raise ValueError("expected a mapping of own names to regular expressions")
    for name in clean:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(f"expected a name of a-z, 0-9 and _, got {name!r}")
    return clean


def _since(value: Any) -> Union[float, datetime.datetime]:
    """A duration before now, as seconds, or a moment with its zone."""
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", value):
        try:
            moment = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            raise ValueError(f"{value!r} is not a time; expected such as 2026-01-31T22:00:00Z") from None
        if moment.tzinfo is None:
            raise ValueError(f"{value!r} has no zone; expected such as 2026-01-31T22:00:00Z")
        return moment
    length = opt.duration(value)
    if length <= 0:
        raise ValueError("must be more than nothing")
    return length


def _timestamp(value: Any) -> str:
    form = opt.text(value)
    if form not in ("iso", "epoch") and "%" not in form:
        raise ValueError(f"expected iso, epoch, or a format such as %d/%b/%Y:%H:%M:%S %z, got {form!r}")
    if "%" in form and not re.search("%[YyGcx]", form):
        raise ValueError(f"{form!r} has no year, so its times would all be of long ago; use tail instead of since")
    return form


def _where(value: Any) -> str:
    if _compiled(value).groups != 1:
        raise ValueError(f"expected a regular expression with one group, which is the time, got {value!r}")
    return str(value)


_JOURNAL: Mapping[str, Option] = {
    "unit": Option(opt.text, "unit of systemd"),
    "identifier": Option(opt.text, "name under which the program writes (SYSLOG_IDENTIFIER)"),
    "directory": Option(_absolute, "directory with the files of the journal, instead of that of this host"),
}


def _read(schema: Mapping[str, Option]) -> opt.Reader:
    def read(value: Any) -> dict[str, Any]:
        found: list[Problem] = []
        clean = opt.read_options(value, schema, "", found)
        if found:
            raise ValueError("; ".join(f"{one.where.lstrip('.')}: {one.message}" if one.where else one.message for one in found))
        return clean

    return read


def _journal(value: Any) -> dict[str, Any]:
    clean: dict[str, Any] = _read(_JOURNAL)(value)
    for key in ("unit", "identifier"):
        if clean[key] is not None and not re.fullmatch(r"[A-Za-z0-9:_.@\\][A-Za-z0-9:_.@\\ -]*", clean[key]):
            raise ValueError(f"{key}: {clean[key]!r} is not a name")
    if clean["unit"] is None and clean["identifier"] is None:
        raise ValueError("expected unit or identifier")
    return clean


def _containers(value: Any) -> dict[str, Any]:
    clean: dict[str, Any] = _read(_docker.OPTIONS)(value)
    found = _docker.problems(clean)
    if found:
        raise ValueError("; ".join(map(str, found)))
    return clean


class Line(NamedTuple):
    """One line, and when it was written, in Unix seconds."""

    at: float
    text: str


@dataclass
class Source:
    """One log: what to read, and in the end how far back it reaches, and whether that is far enough."""

    name: str
    read: Callable[[], Iterator[Line]]
    lines: int = 0
    covered: Optional[float] = None
    """From when on all lines were there to be read; None when nobody knows."""
    whole: bool = False
    """Whether it is proven that it had no line in that time before ``covered``."""
    note: str = ""
    doubt: str = ""
    """Why its lines are no evidence, however far they reach."""


@dataclass
class Matches:
    """What one pattern matched."""

    count: int = 0
    times: list[float] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)


class LogProbe(Probe):
    """Counts the matches of patterns in the lines of one or several logs since a time."""

    name = "log"
    options: ClassVar[Mapping[str, Option]] = {
        "file": Option(opt.list_of(_absolute), "log files; what was rotated away from them is read too"),
        "journal": Option(_journal, "journal of systemd: {unit: …} or {identifier: …}"),
        "container": Option(_containers, "logs of containers: name, or project and service, as for the probe container"),
        "patterns": Option(_patterns, "own name of each pattern to its regular expression, searched in each line", required=True),
        "since": Option(_since, "how far back, as a duration, or from when on, as a time with its zone"),
        "tail": Option(opt.size, "for a file whose lines have no time: how many of its last bytes, instead of since"),
        "timestamp": Option(
            _timestamp, "how the lines of a file tell the time: iso, epoch, or a format of strptime", default="iso"
        ),
        "where": Option(_where, "regular expression whose one group is the time; else the line begins with it"),
        "zone": Option(opt.choice("utc", "local"), "zone of times without one", default="utc"),
        "over": Option(opt.duration, "length of the stretch of time within which the most matches are a peak"),
        "since_created": Option(
            opt.flag, "a container that was created in that time is judged from then on, else it does not reach back", default=False
        ),
        "quiet": Option(
            opt.flag, "a log without a line in that time counts as silent, where it is known to reach back", default=False
        ),
        "max_bytes": Option(opt.size, "most bytes that are read of all logs together", default=256_000_000),
    }
    measures: ClassVar[Mapping[str, str]] = {**{f"{name}.*": kind for name, kind in _FAMILIES.items()}, "lines": "count"}

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        found = []
        kinds = [key for key in ("file", "journal", "container") if options[key]]
        if len(kinds) != 1:
            found.append(
                Problem("file", f"give one of file, journal and container{', not ' + ' and '.join(kinds) if kinds else ''}")
            )
        if (options["since"] is None) == (options["tail"] is None):
            found.append(Problem("since", "give either since, or tail for a file whose lines have no time"))
        if options["tail"] is not None and kinds != ["file"]:
            found.append(Problem("tail", "goes with file"))
        if options["tail"] == 0:
            found.append(Problem("tail", "must be more than nothing"))
        if options["over"] is not None and options["over"] <= 0:
            found.append(Problem("over", "must be more than nothing"))
        if options["over"] is not None and options["tail"] is not None:
            found.append(Problem("over", "goes with since"))
        if options["since_created"] and kinds != ["container"]:
            found.append(Problem("since_created", "goes with container"))
        if "file" not in kinds:
            found += [
                Problem(key, "goes with file")
                for key in ("timestamp", "where", "zone")
                if options[key] != self.options[key].default
            ]
        return found

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        left_out = _TIMED if options["tail"] is not None else ("peak",) if options["over"] is None else ()
        families = [name for name in _FAMILIES if name not in left_out]
        return {**{f"{name}.{one}": _FAMILIES[name] for one in options["patterns"] for name in families}, "lines": "count"}

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        now = context.now()
        seen = Observation()
        matches = {name: Matches() for name in options["patterns"]}
        if options["tail"] is not None:
            _tails(options, matches, seen, context)
            return seen
        since = options["since"]
        begin = since.timestamp() if isinstance(since, datetime.datetime) else now - since
        if begin >= now:
            raise ProbeError("the time under since is not over yet")
        limit = _log_files.Limit(options["max_bytes"], context.over)
        if options["container"]:
            with _docker.engine(options["container"], context) as client:
                sources = _of_containers(options, client, begin, limit, context)
                why = _search(options, sources, matches, begin, limit, context)
        else:
            if options["journal"]:
                sources = [_of_journal(options["journal"], begin, limit, context)]
            else:
                sources = [_of_file(path, options, begin, limit) for path in options["file"]]
            why = _search(options, sources, matches, begin, limit, context)
        seen.proof.update({"lines": sum(one.lines for one in sources), "bytes": limit.read})
        seen.proof["window"] = 0.0 if why else round(_window(sources, begin, now), 3)
        if len(sources) > 1:
            seen.proof["lines_of"] = {one.name: one.lines for one in sources}
        notes = [f"{one.name}: {one.note}" for one in sources if one.note]
        if notes:
            seen.proof["notes"] = notes
        seen.measures["lines"] = seen.proof["lines"]
        first = min((one.covered for one in sources if one.covered is not None), default=begin)
        _judge(seen, matches, max(begin, first), now, why or _uncovered(options, sources, begin, now), options["over"])
        return seen


def _window(sources: Sequence[Source], begin: float, now: float) -> float:
    """Seconds before now of which all lines of all logs were there to be read."""
    reached = [now if one.covered is None else one.covered for one in sources]
    return max(now - max([begin, *reached]), 0.0)


def _uncovered(options: Mapping[str, Any], sources: Sequence[Source], begin: float, now: float) -> Optional[str]:
    """Why the lines do not prove what did not happen, if they do not."""
    for one in sources:
        if one.doubt:
            return f"{one.name}: {one.doubt}"
        if not one.lines and not options["quiet"]:
            return f"{one.name} has no line in the last {units.show(round(now - begin), 'time')}"
        if not one.whole:
            return f"{one.name} does not reach back {units.show(round(now - begin), 'time')}{': ' + one.note if one.note else ''}"
    return None


def _search(
    options: Mapping[str, Any],
    sources: Sequence[Source],
    matches: Mapping[str, Matches],
    begin: float,
    limit: _log_files.Limit,
    context: Context,
) -> Optional[str]:
    """Read all logs; what kept them from being read to their ends, if anything did."""
    for source in sources:
        try:
            for line in source.read():
                if line.at < begin:
                    continue
                source.lines += 1
                if not source.lines % _BEAT and context.over():
                    return f"the time ran out after {source.lines} lines of {source.name}"
                _match(options["patterns"], line, source.name, matches)
        except _log_files.TooMuch:
            size = units.show(limit.size, "size")
            return f"there is more than {size} to read; raise max_bytes, or shorten since"
        except _log_files.OutOfTime:
            return f"the time ran out after {source.lines} lines of {source.name}"
    return None


def _match(patterns: Mapping[str, re.Pattern[str]], line: Line, source: str, matches: Mapping[str, Matches]) -> None:
    for name, pattern in patterns.items():
        if pattern.search(line.text):
            one = matches[name]
            one.count += 1
            one.sources.add(source)
            if len(one.times) <= MOST_MATCHES:
                one.times.append(line.at)


def _judge(
    seen: Observation, matches: Mapping[str, Matches], begin: float, now: float, why: Optional[str], over: Optional[float]
) -> None:
    timed = [family for family in _TIMED if family != "peak" or over is not None]
    for name, one in matches.items():
        if why is not None:
            for family in ("count", "sources", *timed):
                seen.missing[f"{family}.{name}"] = why
            if one.count:
                seen.proof.setdefault("matches_so_far", {})[name] = one.count
            continue
        seen.measures[f"count.{name}"] = one.count
        seen.measures[f"sources.{name}"] = len(one.sources)
        if not one.count:
            seen.missing[f"gap.{name}"] = seen.missing[f"age.{name}"] = "no line matches"
            if over is not None:
                seen.measures[f"peak.{name}"] = 0
            continue
        newest = max(one.times)
        if len(one.times) > MOST_MATCHES:
            seen.missing.update({f"{family}.{name}": f"more than {MOST_MATCHES} lines match" for family in timed})
        elif newest > now + 1.0:
            seen.missing.update({f"{family}.{name}": f"a match is from {newest - now:.0f} s in the future" for family in timed})
        else:
            times = sorted([min(begin, now), *one.times, now])
            seen.measures[f"gap.{name}"] = max(later - earlier for earlier, later in zip(times, times[1:]))
            seen.measures[f"age.{name}"] = max(now - newest, 0.0)
            if over is not None:
                seen.measures[f"peak.{name}"] = _peak(sorted(one.times), over)


def _peak(times: Sequence[float], over: float) -> int:
    """The most of these times, which are sorted, that lie within any ``over`` seconds."""
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] > over:
            first += 1
        most = max(most, last - first + 1)
    return most


# -- files -------------------------------------------------------------------------------------------------------------


def _tails(options: Mapping[str, Any], matches: Mapping[str, Matches], seen: Observation, context: Context) -> None:
    """The last bytes of files whose lines have no time: counts alone, and the proof says how far they reach."""
    lines = 0
    reach: dict[str, int] = {}
    why: Optional[str] = None
    for path in options["file"]:
        part = _log_files.parts(path)[0]
        own = 0
        for raw in _log_files.tail(part, options["tail"]):
            own += 1
            if not own % _BEAT and context.over():
                why = f"the time ran out after {own} lines of {path}"
                break
            _match(options["patterns"], Line(0.0, raw.decode("utf-8", "replace").rstrip("\r\n")), path, matches)
        reach[path] = min(part.size, options["tail"])
        if not own and not options["quiet"]:
            why = why or f"{path} has no line"
        lines += own
    seen.proof.update({"lines": lines, "bytes": sum(reach.values()), "files": len(reach), "window": "bytes"})
    seen.measures["lines"] = lines
    for name, one in matches.items():
        if why is not None:
            seen.missing[f"count.{name}"] = seen.missing[f"sources.{name}"] = why
        else:
            seen.measures[f"count.{name}"] = one.count
            seen.measures[f"sources.{name}"] = len(one.sources)


def _of_file(path: str, options: Mapping[str, Any], begin: float, limit: _log_files.Limit) -> Source:
    when = _log_files.clock(options["timestamp"], options["where"], options["zone"] == "local")
    source = Source(path, lambda: iter(()))

    def read() -> Iterator[Line]:
        own, *older = _log_files.parts(path)
        # What was last written before that time has no line of it, and proves nothing either: it may be left from long ago.
        needed = [own, *itertools.takewhile(lambda part: part.changed >= begin, older)]
        latest: Optional[float] = None
        before = behind = 0  # lines without a time: before the first that tells one, and behind the last
        for part in reversed(needed):
            for at, raw in _log_files.since(part, begin, when, limit):
                if at is None:
                    if latest is None:
                        before += 1
                        continue
                    behind += 1  # and it belongs to the line before, as in a stack trace
                else:
                    behind = 0
                    if at < begin:
                        source.covered, source.whole = begin, True
                        if latest is not None and latest >= begin and at < begin - _DISORDER:
                            source.doubt = "its times go back, to before that time"
                    elif latest is None:
                        source.covered = at
                        if before:
                            source.doubt = f"{before} lines before its first line with a time tell none"
                    latest = at
                yield Line(latest, raw.decode("utf-8", "replace").rstrip("\r\n"))
        if latest is None and before:
            raise ProbeError(f"no line of {path} tells the time as {options['timestamp']}; say timestamp and where, or tail")
        if latest is None and own.changed < begin:
            source.covered, source.whole = begin, True
            source.note = "is empty, and was in all that time"
        elif behind and not source.doubt and latest is not None and latest < begin <= own.changed:
            source.doubt = f"its last {behind} lines tell no time, and it was written to in that time"
        if not source.whole:
            source.note = "nothing older is left of it"
        elif len(needed) > 1:
            source.note = f"{len(needed)} files"

    source.read = read
    return source


# -- journal -----------------------------------------------------------------------------------------------------------


_OF_SYSTEM = ("_PID=1", "+", "_TRANSPORT=kernel")
"""What only those see who may read the journal of the system. Others are shown their own entries, without a word about it."""


def _of_journal(journal: Mapping[str, Any], begin: float, limit: _log_files.Limit, context: Context) -> Source:
    where = ["--directory", journal["directory"]] if journal["directory"] else []
    # Without --all the JSON has null for a message of more than 4096 bytes.
    line = ["journalctl", *where, "--quiet", "--no-pager", "--all", "--output=json", "--output-fields=MESSAGE,__REALTIME_TIMESTAMP"]
    chosen = []
    if journal["unit"] is not None:
        chosen.append(f"--unit={journal['unit']}")
    if journal["identifier"] is not None:
        chosen.append(f"--identifier={journal['identifier']}")
    source = Source(journal["unit"] or journal["identifier"], lambda: iter(()))

    def read() -> Iterator[Line]:
        def of_system(*more: str) -> bool:
            return any(_entries([*line, "--reverse", "--lines=1", *more, *_OF_SYSTEM], _log_files.Limit(10_000_000), context))

        if of_system(f"--until=@{begin:.6f}"):
            source.covered, source.whole = begin, True
        elif of_system():
            source.note = "the journal has no older entry of the system"
        else:
            source.doubt = "no entry of the system can be seen in the journal; its reader needs the group systemd-journal"
        for at, message in _entries([*line, *chosen, f"--since=@{begin:.6f}"], limit, context):
            text = _text(message)
            if text is None:
                source.doubt = "the message of an entry cannot be read"
            yield Line(at, text or "")

    source.read = read
    return source


def _entries(line: Sequence[str], limit: _log_files.Limit, context: Context) -> Iterator[tuple[float, Any]]:
    """Entries of the journal as they come: when, in Unix seconds, and the message as it stands in JSON.

    Raises ProbeError when journalctl fails or does not end.
    """
    try:
        process = commands.start(line, own_group=True)
    except OSError as error:
        raise ProbeError(f"journalctl cannot be run: {error.strerror or error}") from error
    try:
        if process.stdout is None or process.stderr is None:
            raise ProbeError("journalctl cannot be read")
        rest = b""
        complaints = b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            selector.register(process.stderr, selectors.EVENT_READ)
            while selector.get_map():
                if context.over():
                    raise ProbeError("journalctl did not end within the time")
                for key, _events in selector.select(min(context.remaining(), 0.1)):
                    piece = os.read(key.fd, 1 << 18)
                    if not piece:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is process.stderr:
                        complaints = (complaints + piece)[:10_000]
                    else:
                        limit.take(len(piece))
                        *whole, rest = (rest + piece).split(b"\n")
                        for one in whole:
                            yield from _entry(one)
        try:
            code = process.wait(context.remaining())
        except subprocess.TimeoutExpired:
            raise ProbeError("journalctl did not end within the time") from None
        if code or complaints:
            said = complaints.decode(errors="replace").strip().splitlines()
            raise ProbeError(f"journalctl: {said[0] if said else f'ended with {code}'}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _entry(raw: bytes) -> Iterator[tuple[float, Any]]:
    if not raw.strip():
        return
    try:
        entry = json.loads(raw)
        at = int(entry["__REALTIME_TIMESTAMP"]) / 1e6
    except (ValueError, KeyError, TypeError):
        raise ProbeError("journalctl wrote something that is no entry") from None
    yield at, entry.get("MESSAGE", "")  # some entries have none, and so nothing that could match


def _text(message: Any) -> Optional[str]:
    if isinstance(message, list) and all(isinstance(one, int) and 0 <= one < 256 for one in message):
        return bytes(message).decode("utf-8", "replace")  # what is not text is told byte by byte
    return message if isinstance(message, str) else None


# -- containers --------------------------------------------------------------------------------------------------------


def _of_containers(
    options: Mapping[str, Any], client: Any, begin: float, limit: _log_files.Limit, context: Context
) -> list[Source]:
    found, absent = _docker.containers(options["container"], client, context)
    if absent:
        raise ProbeError(absent[0])
    return [_of_container(one, options, client, begin, limit, context) for one in found]


def _of_container(
    raw: Mapping[str, Any], options: Mapping[str, Any], client: Any, begin: float, limit: _log_files.Limit, context: Context
) -> Source:
    source = Source(_docker.shown_name(raw), lambda: iter(()))

    def read() -> Iterator[Line]:
        settings = (raw.get("HostConfig") or {}).get("LogConfig") or {}
        created = _docker.moment(raw.get("Created"))
        older = client.logs(raw["Id"], timestamps=True, tail=1, until=begin)
        driver = settings.get("Type") or "unknown"
        if older:
            source.covered, source.whole = begin, True
        elif driver != "json-file":
            source.note = f"the driver {driver} may drop what is old, and nothing older is left"
        elif (settings.get("Config") or {}).get("max-size"):
            source.note = "its log is cut at a size, and nothing older is left"
        elif created is None:
            source.note = "the engine does not tell when it was created, and nothing older is left"
        else:
            source.covered = max(begin, created)
            source.whole = created <= begin or options["since_created"]
            if created > begin:
                # Another may have been there before it under the same name, and took its log along.
                judged = "is judged from then on" if source.whole else "has no older line"
                source.note = f"was created within that time, and {judged}"
        rest = b""
        for piece in client.logs(raw["Id"], timestamps=True, stream=True, follow=False, since=begin):
            limit.take(len(piece))
            if context.over():
                raise ProbeError(f"the time ran out while the log of {source.name} was read")
            *whole, rest = (rest + piece).split(b"\n")
            for one in whole:
                yield from _stamped(one)
        yield from _stamped(rest)

    source.read = read
    return source


def _stamped(raw: bytes) -> Iterator[Line]:
    stamp, space, text = raw.decode("utf-8", "replace").rstrip("\r").partition(" ")
    at = _docker.moment(stamp)
    if space and at is not None:
        yield Line(at, text)
