# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Whether exactly one of several instances leads, whether all who know say the same, and whether it stays so.

Three sources know: the lock in Redis names its holder, the metrics page of an instance has a gauge, its health endpoint a field.
One of them alone can be wrong in the way that matters: a lock has one holder also while two instances lead. So all are read at
the same time, round after round, and held against each other.

What is known for certain is reported whatever else is not: two leaders are two leaders, also when a third instance is silent. What
an instance without an answer could change is missing: it may lead, too.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import units, windows
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, LibraryMissing, ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.patterns import compile_pattern
from ansible_collections.golive.cutover.plugins.module_utils.core.windows import CannotMeasure, Point
from ansible_collections.golive.cutover.plugins.module_utils.probes import _http, _net
from ansible_collections.golive.cutover.plugins.module_utils.probes._selection import SELECTION
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe
from ansible_collections.golive.cutover.plugins.module_utils.probes.http_endpoint import ask
from ansible_collections.golive.cutover.plugins.module_utils.probes.metrics import MetricsProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.redis import RedisProbe

MOST_ROUNDS = 1000
_GRACE = 0.2
"""Seconds beyond its time in which a source may still say why it has no answer."""
_LOCK = ("", "lock")
_SHOWN = 5
"""Readings without an answer, and rounds with two opinions, that are told in the proof."""

_METRICS = MetricsProbe()
_REDIS = RedisProbe()
_LOCK_OPTIONS: Mapping[str, Option] = {
    "key": Option(opt.text, "key of the lock", required=True),
    **{name: _REDIS.options[name] for name in ("url", "host", "port", "socket", "db", "username", "password", "tls", "verify")},
}
_INSTANCE: Mapping[str, Option] = {
    "metrics": Option(opt.url("http", "https"), "address of its metrics page"),
    "health": Option(opt.url("http", "https"), "address of its health endpoint"),
}


def _read(value: Any, schema: Mapping[str, Option]) -> dict[str, Any]:
    problems: list[Problem] = []
    clean = opt.read_options(value, schema, "", problems)
    if problems:
        raise ValueError("; ".join(f"{one.where.lstrip('.')}: {one.message}" if one.where else one.message for one in problems))
    return clean


def _lock(value: Any) -> dict[str, Any]:
    clean = _read(value, _LOCK_OPTIONS)
    found = _REDIS.problems(lock_options(clean))
    if found:
        raise ValueError("; ".join(map(str, found)))
    return clean


def lock_options(lock: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the probe ``redis`` that reads the lock."""
    defaults = {name: option.default for name, option in _REDIS.options.items()}
    return {**defaults, **{name: value for name, value in lock.items() if name != "key"}, "lock": lock["key"], "pings": 1}


def _instances(value: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"expected a mapping of the names of the instances to {{metrics: URL, health: URL}}, got {value!r}")
    clean: dict[str, dict[str, Any]] = {}
    for name, raw in value.items():
        try:
            clean[str(name)] = _read(raw, _INSTANCE)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        if not any(clean[str(name)].values()):
            raise ValueError(f"{name}: has neither metrics nor health")
    return clean


def _pattern(value: Any) -> str:
    compiled = compile_pattern(opt.text(value))
    if compiled.groups != 1:
        raise ValueError(f"expected a regular expression with one group, which is the name of the instance, got {value!r}")
    return str(value)


def _expression(value: Any) -> str:
    text = opt.text(value)
    try:
        import jmespath
    except ImportError:
        return text  # it is looked at where the library is
    try:
        jmespath.compile(text)
    except jmespath.exceptions.JMESPathError as error:
        raise ValueError(f"{text!r} is not a JMESPath expression: {str(error).splitlines()[0]}") from error
    return text


@dataclass
class Round:
    """What was heard in one round. ``says``: (instance, source) to whether it leads, or why nobody knows."""

    at: float
    says: dict[tuple[str, str], bool] = field(default_factory=dict)
    silent: dict[tuple[str, str], str] = field(default_factory=dict)
    elections: dict[str, Optional[float]] = field(default_factory=dict)
    """For each instance whose page was read, the elections that it won; None while the series is not there."""
    lock: Optional[str] = None
    """The value of the lock; None when it is free."""
    lock_known: bool = True
    ttl: Optional[float] = None
    forever: bool = False
    statuses: dict[str, int] = field(default_factory=dict)

    def leaders(self) -> set[str]:
        return {name for (name, _source), leads in self.says.items() if leads}

    def open(self) -> set[str]:
        """Instances that may lead without our knowing."""
        return {name for name, _source in self.silent if name} - self.leaders()


class LeaderProbe(Probe):
    """Reads lock, metrics and health of all instances at the same time, every so often as long as ``hold`` says."""

    name = "leader"
    options: ClassVar[Mapping[str, Option]] = {
        "instances": Option(_instances, "name of each instance to {metrics: URL, health: URL}", required=True),
        "lock": Option(_lock, "where the lock is: key, and url or the other options of the probe redis for the connection"),
        "holder": Option(
            _pattern, "regular expression whose one group is the name of the instance in the value of the lock", default=r"([^:]+)"
        ),
        "metric": Option(SELECTION["name"].read, "gauge that is 1 while the instance leads, else 0", default="leader"),
        "labels": Option(SELECTION["labels"].read, "labels that the gauge must have"),
        "elections": Option(SELECTION["name"].read, "counter of the elections that an instance won"),
        "field": Option(_expression, "JMESPath over the health document: true while the instance leads", default="leader"),
        "identity": Option(_expression, "JMESPath over the health document: the name that the instance gives itself"),
        "hold": Option(opt.duration, "how long to look", default=0.0),
        "every": Option(opt.duration, "pause between two rounds", default=1.0),
        "patience": Option(opt.duration, "how long one source may take to answer", default=2.0),
        **_http.OPTIONS,
    }
    measures: ClassVar[Mapping[str, str]] = {
        "leaders": "count",
        "leader": "text",
        "agree": "flag",
        "changes": "count",
        "elections": "count",
        "holder": "text",
        "lock_held": "flag",
        "lock_ttl": "time",
        "instances": "count",
        "unanswered": "count",
        "rounds": "count",
    }

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        found = _http.problems(options)
        hold, every = options["hold"], options["every"]
        if every <= 0 or (hold and every > hold):
            found.append(Problem("every", "is not shorter than hold" if every > 0 else "must be more than nothing"))
        elif hold / every > MOST_ROUNDS:
            found.append(Problem("every", f"is so short that there would be more than {MOST_ROUNDS} rounds"))
        if options["patience"] <= 0:
            found.append(Problem("patience", "must be more than nothing"))
        instances = options["instances"]
        if options["elections"] is not None:
            if not hold:
                found.append(Problem("elections", "needs hold: elections are counted from the first to the last round"))
            found += [
                Problem("elections", f"{name} has no metrics page to count them on")
                for name, one in instances.items()
                if one["metrics"] is None
            ]
        if options["identity"] is not None and all(one["health"] is None for one in instances.values()):
            found.append(Problem("identity", "is looked for in the health document, and no instance has one"))
        addresses = [url for one in instances.values() for url in one.values() if url is not None]
        if len(set(addresses)) < len(addresses):
            found.append(Problem("instances", "an address stands twice"))
        return found

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        absent = set()
        if options["lock"] is None:
            absent |= {"holder", "lock_held", "lock_ttl"}
        if not _comparable(options):
            absent.add("agree")
        if not options["hold"]:
            absent.add("changes")
        if options["elections"] is None:
            absent.add("elections")
        return {name: kind for name, kind in self.measures.items() if name not in absent}

    def at_least(self, options: Mapping[str, Any]) -> float:
        return float(options["hold"])

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        rounds = [ask_all(options, context)]
        ends = rounds[0].at + options["hold"]
        whole = not options["hold"]
        while not whole:
            until = min(rounds[-1].at + options["every"], ends)
            while context.clock() < until and not context.over():
                context.sleep(min(max(until - context.clock(), 0.0), 0.2))
            if context.over():
                break
            latest = ask_all(options, context)
            if latest.silent and context.over() and len(latest.leaders()) < 2:
                break  # it was cut off by the end of the look, which says nothing about who was silent
            rounds.append(latest)
            whole = latest.at >= ends
        return judge(options, rounds, whole)


def _comparable(options: Mapping[str, Any]) -> bool:
    """Whether there are two who can be of different opinions."""
    return options["lock"] is not None or any(all(one.values()) for one in options["instances"].values())


# -- one round ---------------------------------------------------------------------------------------------------------


def ask_all(options: Mapping[str, Any], context: Context) -> Round:
    """Ask all sources at the same time, each in the time that one may take."""
    this = Round(at=context.clock())
    until = min(context.deadline, this.at + options["patience"])
    lock = threading.Lock()
    answered: set[tuple[str, str]] = set()
    closed = False

    def asking(name: str, source: str) -> None:
        mine = Context(until, context.clock, context.now, context.sleep, context.stop)
        heard = Round(at=this.at)
        try:
            if source == "lock":
                _ask_lock(options, mine, heard)
            elif source == "metrics":
                _ask_metrics(options, name, mine, heard)
            else:
                _ask_health(options, name, mine, heard)
        except CutoverError as error:
            heard.silent[name, source] = str(error)
        except Exception as error:  # whatever it was, it is no answer
            heard.silent[name, source] = f"{type(error).__name__}: {error}"
        with lock:
            if not closed:
                answered.add((name, source))
                _add(this, heard)

    wanted = [(name, source) for name, one in options["instances"].items() for source, url in one.items() if url is not None]
    if options["lock"] is not None:
        wanted.append(_LOCK)
    threads = [threading.Thread(target=asking, args=key, name="leader", daemon=True) for key in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(until + _GRACE - context.clock(), 0.0))
    with lock:
        closed = True
        this.silent.update({key: "no answer within the time" for key in wanted if key not in answered})
    this.lock_known = _LOCK in wanted and _LOCK not in this.silent
    return this


def _add(this: Round, heard: Round) -> None:
    this.says.update(heard.says)
    this.silent.update(heard.silent)
    this.elections.update(heard.elections)
    this.statuses.update(heard.statuses)
    if heard.lock is not None:
        this.lock, this.ttl, this.forever = heard.lock, heard.ttl, heard.forever


def _ask_lock(options: Mapping[str, Any], context: Context, heard: Round) -> None:
    seen = _REDIS.look(lock_options(options["lock"]), context)
    if "lock_held" not in seen.measures:
        raise ProbeError(seen.missing.get("lock_held", "Redis does not say who holds the lock"))
    if not seen.measures["lock_held"]:
        return
    if "lock_holder" not in seen.measures:
        if "expired meanwhile" in seen.missing.get("lock_holder", ""):
            return
        raise ProbeError(seen.missing.get("lock_holder", "Redis does not say who holds the lock"))
    heard.lock = str(seen.measures["lock_holder"])
    if "lock_ttl" in seen.measures:
        heard.ttl = float(seen.measures["lock_ttl"])
    else:
        heard.forever = True


def _ask_metrics(options: Mapping[str, Any], name: str, context: Context, heard: Round) -> None:
    plain = {key: option.default for key, option in SELECTION.items()}
    select = {"leader": {**plain, "name": options["metric"], "labels": options["labels"]}}
    if options["elections"] is not None:
        select["elections"] = {**plain, "name": options["elections"], "reduce": "sum"}
    asked = {
        **{key: option.default for key, option in _METRICS.options.items()},
        **{key: options[key] for key in _http.OPTIONS},
        "url": [options["instances"][name]["metrics"]],
        "select": select,
    }
    seen = _METRICS.look(asked, context)
    if "elections" in select:
        if "elections" in seen.measures:
            heard.elections[name] = float(seen.measures["elections"])
        elif not seen.measures["series.elections"]:
            heard.elections[name] = None
    if float(seen.measures["series.leader"]) > 1:
        raise ProbeError(f"{seen.measures['series.leader']} series match {options['metric']}; say labels that only one of them has")
    if "leader" not in seen.measures:
        raise ProbeError(seen.missing["leader"])
    value = seen.measures["leader"]
    if value not in (0, 1):
        raise ProbeError(f"{options['metric']} is {units.show(value)}, expected 0 or 1")
    heard.says[name, "metrics"] = value == 1


def _ask_health(options: Mapping[str, Any], name: str, context: Context, heard: Round) -> None:
    try:
        import jmespath
    except ImportError as error:
        raise LibraryMissing("jmespath") from error
    url = options["instances"][name]["health"]
    asked = {**options, "method": "GET", "url": url, "json": None, "body": None, "follow": False, "max_body": 1_000_000}
    with _net.Guard(context) as guard, contextlib.closing(_http.Client(asked, context, guard)) as client:
        answer = ask(client, asked, context)
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise ProbeError(f"{url}: the answer (status {answer.status}) is not JSON") from None
    if answer.status != 200:
        heard.statuses[name] = answer.status
    if options["identity"] is not None:
        itself = jmespath.search(options["identity"], document)
        if itself != name:
            raise ProbeError(f"{url}: {itself if isinstance(itself, str) else 'nobody with a name'} answered, and not {name}")
    leads = jmespath.search(options["field"], document)
    if not isinstance(leads, bool):
        raise ProbeError(f"{url}: {options['field']} is {json.dumps(leads)[:40]} (status {answer.status}), expected true or false")
    heard.says[name, "health"] = leads


# -- all rounds --------------------------------------------------------------------------------------------------------


def judge(options: Mapping[str, Any], rounds: Sequence[Round], whole: bool) -> Observation:
    """What the rounds say together. ``whole``: they cover the time that was asked for."""
    names = list(options["instances"])
    silences = [(number, *key, why) for number, one in enumerate(rounds, 1) for key, why in one.silent.items()]
    window = rounds[-1].at - rounds[0].at
    answering = set(names) - {name for _number, name, _source, _why in silences}
    seen = Observation(
        measures={"rounds": len(rounds), "unanswered": len(silences), "instances": len(answering)},
        proof={"rounds": len(rounds), "readings": sum(len(one.says) + one.lock_known for one in rounds), "instances": len(names)},
    )
    if options["hold"]:
        seen.proof["window"] = round(window, 3)
    if silences:
        seen.proof["unanswered"] = [
            f"round {number}, {f'{name} ' if name else ''}{source}: {why}" for number, name, source, why in silences[:_SHOWN]
        ]
    statuses = {name: status for one in rounds for name, status in one.statuses.items()}
    if statuses:
        seen.proof["health_status"] = statuses
    gap: Optional[str] = None
    if silences:
        _number, name, source, why = silences[0]
        who = f"the {source} of {name}" if name else f"the {source}"
        gap = f"{who} gave no answer in {sum(one[1:3] == (name, source) for one in silences)} of {len(rounds)} rounds: {why}"
    elif not whole:
        asked = units.show(options["hold"], "time")
        gap = f"the time ran out after {units.show(window, 'time')} of the {asked} that it should hold"
    _leaders(seen, rounds, whole, gap)
    if options["lock"] is not None:
        _lock_measures(seen, options, rounds, whole, gap)
    if _comparable(options):
        _agreement(seen, options, rounds, gap)
    if options["hold"]:
        _changes(seen, rounds, gap)
    if options["elections"] is not None:
        _elections(seen, names, rounds, gap)
    return seen


def _leaders(seen: Observation, rounds: Sequence[Round], whole: bool, gap: Optional[str]) -> None:
    """The number of leaders in the worst round: two are worse than none, none is worse than one."""
    most = max(len(one.leaders()) for one in rounds)
    none = sum(not one.leaders() and not one.open() for one in rounds)
    several = sum(len(one.leaders()) > 1 for one in rounds)
    if none:
        seen.proof["rounds_without"] = none
    if several:
        seen.proof["rounds_with_several"] = several
    if most > 1:
        seen.measures["leaders"] = most
    elif none:
        seen.measures["leaders"] = 0
    elif not whole or any(one.open() for one in rounds):
        seen.missing["leaders"] = gap or "not all instances answered"
    else:
        seen.measures["leaders"] = 1
    last = rounds[-1]
    leading = sorted(last.leaders())
    if len(leading) == 1 and not last.open():
        seen.measures["leader"] = leading[0]
    else:
        seen.missing["leader"] = (
            f"{' and '.join(leading)} lead" if len(leading) > 1 else gap if last.open() and gap else "no instance leads"
        )


def holder_of(options: Mapping[str, Any], value: str) -> Optional[str]:
    found = re.match(options["holder"], value)
    return found.group(1) if found else None


def _lock_measures(seen: Observation, options: Mapping[str, Any], rounds: Sequence[Round], whole: bool, gap: Optional[str]) -> None:
    known = [one for one in rounds if one.lock_known]
    free = sum(one.lock is None for one in known)
    complete = whole and len(known) == len(rounds)
    key = options["lock"]["key"]
    if free:
        seen.measures["lock_held"] = False
        seen.proof["rounds_lock_free"] = free
    elif complete:
        seen.measures["lock_held"] = True
    else:
        seen.missing["lock_held"] = gap or "the lock was not read"
    last = rounds[-1]
    holder = holder_of(options, last.lock) if last.lock_known and last.lock is not None else None
    if holder is not None:
        seen.measures["holder"] = holder
    elif not last.lock_known:
        seen.missing["holder"] = gap or "the lock was not read"
    elif last.lock is None:
        seen.missing["holder"] = f"nobody holds {key}"
    else:
        seen.missing["holder"] = f"the value of {key} does not match {options['holder']!r}"
    lives = [one.ttl for one in known if one.ttl is not None]
    if any(one.forever for one in known):
        seen.missing["lock_ttl"] = f"{key} never expires"
    elif free:
        seen.missing["lock_ttl"] = f"nobody holds {key}" + (f" in {free} of {len(rounds)} rounds" if lives else "")
    elif complete and lives:
        seen.measures["lock_ttl"] = min(lives)
    else:
        seen.missing["lock_ttl"] = gap or "the lock was not read"


def _agreement(seen: Observation, options: Mapping[str, Any], rounds: Sequence[Round], gap: Optional[str]) -> None:
    """Whether in every round all sources name the same leader, or all say that there is none."""
    differences = []
    for number, one in enumerate(rounds, 1):
        for name in options["instances"]:
            opinions = {source: leads for (of, source), leads in one.says.items() if of == name}
            if len(set(opinions.values())) > 1:
                yes, no = (next(source for source, leads in opinions.items() if leads is want) for want in (True, False))
                differences.append(f"round {number}: {name} leads by its {yes} and does not by its {no}")
        if options["lock"] is None or not one.lock_known:
            continue
        holder = holder_of(options, one.lock) if one.lock is not None else None
        for name in sorted(one.leaders() - {holder}):
            by = f"{holder or 'somebody unknown'} holds the lock" if one.lock is not None else "the lock is free"
            differences.append(f"round {number}: {name} leads, but {by}")
        if one.lock is not None and holder not in one.leaders() | one.open():
            who = f"{holder}, which does not lead" if holder in options["instances"] else "none of the instances"
            differences.append(f"round {number}: the lock is held by {who}")
    if differences:
        seen.measures["agree"] = False
        seen.proof["differences"] = differences[:_SHOWN]
    elif gap is not None:
        seen.missing["agree"] = gap
    else:
        seen.measures["agree"] = True


def _changes(seen: Observation, rounds: Sequence[Round], gap: Optional[str]) -> None:
    """How often the leader or the value of the lock changed from one round to the next."""
    changes = 0
    for before, after in zip(rounds, rounds[1:]):
        moved = before.leaders() != after.leaders() and not before.silent and not after.silent
        passed = before.lock_known and after.lock_known and before.lock != after.lock
        changes += moved or passed
    if changes or gap is None:
        seen.measures["changes"] = changes
    else:
        seen.missing["changes"] = gap


def _elections(seen: Observation, names: Sequence[str], rounds: Sequence[Round], gap: Optional[str]) -> None:
    """How many elections were won from the first round to the last, also those between two rounds."""
    if gap is not None:
        seen.missing["elections"] = gap
        return
    total = 0.0
    try:
        for name in names:
            points = [Point(one.at, one.elections[name]) for one in rounds if name in one.elections]
            if len(points) < len(rounds):
                raise CannotMeasure("the counter could not be read in every round")
            total += windows.increase(points).amount
    except CannotMeasure as error:
        seen.missing["elections"] = f"{name}: {error}"
        return
    seen.measures["elections"] = total
