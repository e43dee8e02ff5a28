# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What a report is made from: one run, as the roles hand it over, read into records. Every mistake is reported."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, TypeVar

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.report.scrub import scrubber

STATUSES = ("fail", "inconclusive", "warn", "skip", "pass")
"""What can become of a check, worst first."""

STEP_STATUSES = ("failed", "not_run", "over", "ok")
"""What can become of a step, worst first."""

ROLLBACK_CHECKS = "checks"
"""The last part of a rollback: the checks, asked when the strategy was carried out and its services were seen."""

STATES = ("pending", "running", "done", "failed", "lost")
KINDS = ("cutover", "rollback", "verify", "hypercare", "watch", "remediation")
"""What a run does: cut over, roll back on its own, only look, look at a checkpoint of the watch, watch live, or remedy an
incident."""
LOOKS = ("verify", "hypercare", "watch")
"""The kinds that change nothing, unless a watch ends with an emergency stop."""

DECISIONS = ("no_go", "go")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,127}\Z")
_Record = TypeVar("_Record")


@dataclass(frozen=True)
class Step:
    """A named part of the run on one host. ``seconds`` and ``budget`` are None where there are none."""

    name: str
    status: str
    seconds: float | None = None
    budget: float | None = None
    started: str = ""
    error: str = ""


@dataclass(frozen=True)
class Measure:
    value: Any
    unit: str = ""


@dataclass(frozen=True)
class Artefact:
    """What a check kept as evidence. ``file`` is beside the report, empty when it was not kept; ``content`` None when not read."""

    name: str
    media_type: str
    size: int
    sha256: str = ""
    file: str = ""
    content: bytes | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Verdict:
    """What became of one check on one host. ``duration`` in seconds; ``expected``: level to measure to condition."""

    host: str
    id: str
    status: str
    title: str = ""
    probe: str = ""
    required: bool = True
    reason: str = ""
    measures: Mapping[str, Measure] = field(default_factory=dict)
    expected: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    proof: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 1
    started: str = ""
    duration: float | None = None
    tags: Sequence[str] = ()
    artefacts: Sequence[Artefact] = ()

    @property
    def blocks(self) -> bool:
        """Whether it speaks against the release: what could not be measured blocks like what failed."""
        return self.required and self.status in ("fail", "inconclusive")


@dataclass(frozen=True)
class Failure:
    """What ended a host's run."""

    step: str
    task: str
    message: str


@dataclass(frozen=True)
class Host:
    name: str
    state: str
    changed: bool
    steps: Sequence[Step]
    verdicts: Sequence[Verdict]
    failed: Failure | None


@dataclass(frozen=True)
class Criterion:
    """One line of the go/no-go table. ``met`` is None when it could not be judged."""

    name: str
    required: bool
    met: bool | None
    detail: str = ""


@dataclass(frozen=True)
class Attempt:
    """One strategy of several that were tried, until one was verified."""

    strategy: str
    verified: bool
    seconds: float | None
    error: str


@dataclass(frozen=True)
class RollbackHost:
    """``back``: what the strategy does was done and its services were seen; an error is then one of the checks after it."""

    name: str
    verdicts: Sequence[Verdict]
    verified: bool
    error: str
    back: bool = False
    attempts: Sequence[Attempt] = ()


@dataclass(frozen=True)
class Rollback:
    strategy: str
    to: str
    seconds: float | None
    budget: float | None
    verified: bool
    hosts: Sequence[RollbackHost]
    reason: str

    @property
    def errors(self) -> list[RollbackHost]:
        """Hosts on which the strategy itself failed."""
        return [host for host in self.complaints if not host.back]

    @property
    def complaints(self) -> list[RollbackHost]:
        """Hosts that have something to say: the strategy failed, or what was looked at after it."""
        return [host for host in self.hosts if host.error]

    @property
    def verdicts(self) -> list[Verdict]:
        return [verdict for host in self.hosts for verdict in host.verdicts]

    @property
    def given_up(self) -> list[tuple[str, Attempt]]:
        """The strategies that were tried before the last one, with their hosts."""
        return [(host.name, one) for host in self.hosts for one in host.attempts[:-1]]


@dataclass(frozen=True)
class StepOverHosts:
    """A step over all hosts: the worst status and the longest time, with the hosts that had them."""

    name: str
    status: str
    seconds: float | None
    budget: float | None
    started: str
    error: str
    host: str
    worst: tuple[str, ...]


@dataclass(frozen=True)
class Notification:
    """What became of one message to one channel. ``status``: sent, already, failed or would_send."""

    event: str
    channel: str
    status: str
    kind: str = ""
    host: str = ""
    subject: str = ""
    reason: str = ""
    attempts: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class Figure:
    """One figure of DORA. ``value`` None: there was too little to say, and ``reason`` says how little. Others in ``more``."""

    name: str
    value: float | None
    unit: str = ""
    count: int | None = None
    reason: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dora:
    """The figures of DORA over a window, or why there are none."""

    figures: Sequence[Figure] = ()
    since: str = ""
    until: str = ""
    error: str = ""


@dataclass(frozen=True)
class Run:
    id: str
    kind: str
    environment: str
    reason: str
    release: str
    previous_release: str
    operator: str
    controller: str
    started: str
    ended: str
    command: str
    decision: str
    reasons: Sequence[str]
    criteria: Sequence[Criterion]
    hosts: Sequence[Host]
    lost_hosts: Sequence[str]
    rollback: Rollback | None
    problems: Sequence[str] = ()
    notifications: Sequence[Notification] = ()
    dora: Dora | None = None

    @property
    def verdicts(self) -> list[Verdict]:
        """The verdicts of the release over all hosts, in the order asked. Those of the rollback are the rollback's."""
        return [verdict for host in self.hosts for verdict in host.verdicts]

    @property
    def seconds(self) -> float | None:
        """How long the run took, or None where a time is missing."""
        started, ended = parse_time(self.started), parse_time(self.ended)
        return max(0.0, (ended - started).total_seconds()) if started and ended else None

    @property
    def steps(self) -> list[StepOverHosts]:
        """Each step once, in the order of the first host that knows it, as it went on the worst host."""
        by_name: dict[str, list[tuple[str, Step]]] = {}
        for host in self.hosts:
            for step in host.steps:
                by_name.setdefault(step.name, []).append((host.name, step))
        return [_over_hosts(name, found) for name, found in by_name.items()]


def _over_hosts(name: str, found: Sequence[tuple[str, Step]]) -> StepOverHosts:
    status = min((step.status for _host, step in found), key=STEP_STATUSES.index)
    slowest_host, slowest = max(found, key=lambda one: -1.0 if one[1].seconds is None else one[1].seconds)
    budgets = [step.budget for _host, step in found if step.budget is not None]
    return StepOverHosts(
        name=name,
        status=status,
        seconds=slowest.seconds,
        budget=min(budgets) if budgets else None,
        started=min((step.started for _host, step in found if step.started), default=""),
        error=next((step.error for _host, step in found if step.error), ""),
        host=slowest_host,
        worst=tuple(host for host, step in found if step.status == status) if status != "ok" else (),
    )


def parse_time(text: str) -> datetime | None:
    """An ISO time as UTC; a time without a zone is UTC. None where it is not a time."""
    try:
        # Python before 3.11 does not read the letter Z.
        when = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return when.astimezone(timezone.utc) if when.tzinfo else when.replace(tzinfo=timezone.utc)


def worst_first(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Verdicts with the worst first; what blocks comes before what does not; the order asked is kept among equals."""
    return sorted(verdicts, key=lambda one: (STATUSES.index(one.status), not one.blocks))


class _Reader:
    """Reads values out of mappings and remembers every mistake with the path of its key.

    Every value that somebody else wrote goes through ``clean``; the words of our own (statuses, states) do not.
    """

    def __init__(self, clean: Callable[[Any], Any], evidence: Callable[[str], bytes | None]) -> None:
        self.problems: list[Problem] = []
        self.clean = clean
        self.evidence = evidence

    def refuse(self, where: str, message: str) -> None:
        self.problems.append(Problem(where, message))

    def mapping(self, raw: Any, where: str) -> Mapping[str, Any]:
        if isinstance(raw, Mapping):
            return raw
        self.refuse(where, f"expected a mapping, got {_short(raw)}")
        return {}

    def items(self, raw: Any, where: str) -> list[Any]:
        if raw is None:
            return []
        if isinstance(raw, (list, tuple)):
            return list(raw)
        self.refuse(where, f"expected a list, got {_short(raw)}")
        return []

    def text(self, raw: Mapping[str, Any], key: str, where: str, required: bool = False) -> str:
        value = raw.get(key)
        if value is None or value == "":
            if required:
                self.refuse(f"{where}.{key}", "is missing")
            return ""
        if isinstance(value, (Mapping, list, tuple)):
            self.refuse(f"{where}.{key}", f"expected a text, got {_short(value)}")
            return ""
        return str(self.clean(str(value)))

    def choice(self, raw: Mapping[str, Any], key: str, where: str, allowed: Sequence[str]) -> str:
        value = raw.get(key)
        if value in allowed:
            return str(value)
        message = f"expected one of {', '.join(allowed)}, got {_short(value)}" if value else "is missing"
        self.refuse(f"{where}.{key}", message)
        return allowed[0]

    def flag(self, raw: Mapping[str, Any], key: str, where: str, default: bool) -> bool:
        value = raw.get(key)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "yes", "false", "no"):
            return value.lower() in ("true", "yes")
        self.refuse(f"{where}.{key}", f"expected true or false, got {_short(value)}")
        return default

    def number(self, raw: Mapping[str, Any], key: str, where: str) -> float | None:
        """A number, also as a text, because a template may have made one of it; None where there is none."""
        value = raw.get(key)
        if value is None or value == "":
            return None
        try:
            if isinstance(value, bool):
                raise ValueError
            number = float(value)
            if not 0 <= number < 1e9:
                raise ValueError
        except (TypeError, ValueError):
            self.refuse(f"{where}.{key}", f"expected a number of at least 0, got {_short(value)}")
            return None
        return number

    def texts(self, raw: Any, where: str) -> list[str]:
        return [str(self.clean(str(one))) for one in self.items(raw, where)]

    def name(self, raw: Any) -> str:
        """A key of a mapping, as a name."""
        return str(self.clean(str(raw)))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _read_step(read: _Reader, raw: Any, where: str) -> Step:
    raw = read.mapping(raw, where)
    return Step(
        name=read.text(raw, "name", where, required=True),
        status=read.choice(raw, "status", where, STEP_STATUSES),
        seconds=read.number(raw, "seconds", where),
        budget=read.number(raw, "budget", where),
        started=read.text(raw, "started", where),
        error=read.text(raw, "error", where),
    )


def _read_measure(read: _Reader, raw: Any) -> Measure:
    if isinstance(raw, Mapping) and "value" in raw:
        return Measure(read.clean(raw["value"]), str(raw.get("unit") or ""))
    return Measure(read.clean(raw))


def _read_artefact(read: _Reader, raw: Any, where: str) -> Artefact:
    raw = read.mapping(raw, where)
    size = read.number(raw, "bytes", where)
    file, sha256 = read.text(raw, "file", where), read.text(raw, "sha256", where)
    content = read.evidence(file) if file else None
    if content is not None and sha256 and hashlib.sha256(content).hexdigest() != sha256:
        content = None  # what lies there is not what the check has seen
    return Artefact(
        name=read.text(raw, "name", where, required=True),
        media_type=read.text(raw, "media_type", where),
        size=int(size or 0),
        sha256=sha256,
        file=file,
        content=content,
    )


def _read_verdict(read: _Reader, raw: Any, host: str, where: str) -> Verdict:
    raw = read.mapping(raw, where)
    measures = read.mapping(raw.get("measures") or {}, f"{where}.measures")
    expected = read.mapping(raw.get("expected") or {}, f"{where}.expected")
    attempts = read.number(raw, "attempts", where)
    return Verdict(
        host=host,
        id=read.text(raw, "id", where, required=True),
        status=read.choice(raw, "status", where, STATUSES),
        title=read.text(raw, "title", where),
        probe=read.text(raw, "probe", where),
        required=read.flag(raw, "required", where, True),
        reason=read.text(raw, "reason", where),
        measures={read.name(name): _read_measure(read, one) for name, one in measures.items()},
        expected={
            str(level): {
                read.name(name): read.name(one) for name, one in read.mapping(said or {}, f"{where}.expected.{level}").items()
            }
            for level, said in expected.items()
        },
        proof=read.clean(dict(read.mapping(raw.get("proof") or {}, f"{where}.proof"))),
        attempts=1 if attempts is None else int(attempts),
        started=read.text(raw, "started", where),
        duration=read.number(raw, "duration", where),
        tags=tuple(read.texts(raw.get("tags"), f"{where}.tags")),
        artefacts=tuple(_read_artefact(read, one, at) for at, one in _each(read, raw.get("artefacts"), f"{where}.artefacts")),
    )


def _read_verdicts(read: _Reader, raw: Mapping[str, Any], host: str, where: str) -> tuple[Verdict, ...]:
    found = read.items(raw.get("verdicts"), f"{where}.verdicts")
    return tuple(_read_verdict(read, one, host, f"{where}.verdicts[{index}]") for index, one in enumerate(found))


def _read_host(read: _Reader, name: str, raw: Any, where: str) -> Host:
    raw = read.mapping(raw, where)
    failed = raw.get("failed")
    failure: Failure | None = None
    if failed:
        failed = read.mapping(failed, f"{where}.failed")
        failure = Failure(
            step=read.text(failed, "step", f"{where}.failed"),
            task=read.text(failed, "task", f"{where}.failed"),
            message=read.text(failed, "message", f"{where}.failed"),
        )
    steps = read.items(raw.get("steps"), f"{where}.steps")
    return Host(
        name=name,
        state=read.choice(raw, "state", where, STATES),
        # A host that does not say whether it was changed may have been.
        changed=read.flag(raw, "changed", where, True),
        steps=tuple(_read_step(read, one, f"{where}.steps[{index}]") for index, one in enumerate(steps)),
        verdicts=_read_verdicts(read, raw, name, where),
        failed=failure,
    )


def _read_criterion(read: _Reader, raw: Any, where: str) -> Criterion:
    raw = read.mapping(raw, where)
    return Criterion(
        name=read.text(raw, "name", where, required=True),
        required=read.flag(raw, "required", where, True),
        met=None if raw.get("met") is None else read.flag(raw, "met", where, False),
        detail=read.text(raw, "detail", where),
    )


def _read_attempt(read: _Reader, raw: Any, where: str) -> Attempt:
    raw = read.mapping(raw, where)
    return Attempt(
        strategy=read.text(raw, "strategy", where, required=True),
        verified=read.flag(raw, "verified", where, False),
        seconds=read.number(raw, "seconds", where),
        error=read.text(raw, "error", where),
    )


def _read_rollback_host(read: _Reader, name: str, raw: Any, where: str, verified: bool) -> RollbackHost:
    """``verified`` is what is said of the whole rollback; it stands for a host that says nothing of itself."""
    raw = read.mapping(raw, where)
    steps = [_read_step(read, one, at) for at, one in _each(read, raw.get("steps"), f"{where}.steps")]
    return RollbackHost(
        name=read.name(name),
        back=bool(steps) and steps[-1].name == ROLLBACK_CHECKS and all(step.status == "ok" for step in steps[:-1]),
        verdicts=_read_verdicts(read, raw, read.name(name), where),
        verified=read.flag(raw, "verified", where, verified),
        error=read.text(raw, "error", where),
        attempts=tuple(_read_attempt(read, one, at) for at, one in _each(read, raw.get("attempts"), f"{where}.attempts")),
    )


def _read_rollback(read: _Reader, raw: Any, where: str) -> Rollback:
    raw = read.mapping(raw, where)
    hosts = read.mapping(raw.get("hosts") or {}, f"{where}.hosts")
    verified = read.flag(raw, "verified", where, False)
    return Rollback(
        strategy=read.text(raw, "strategy", where, required=True),
        to=read.text(raw, "to", where),
        seconds=read.number(raw, "seconds", where),
        budget=read.number(raw, "budget", where),
        verified=verified,
        hosts=tuple(_read_rollback_host(read, str(name), one, f"{where}.hosts.{name}", verified) for name, one in hosts.items()),
        reason=read.text(raw, "reason", where),
    )


def _each(read: _Reader, raw: Any, where: str) -> list[tuple[str, Any]]:
    return [(f"{where}[{index}]", one) for index, one in enumerate(read.items(raw, where))]


def _read_notification(read: _Reader, raw: Any, where: str) -> Notification:
    raw = read.mapping(raw, where)
    attempts = read.number(raw, "attempts", where)
    texts = {key: read.text(raw, key, where) for key in ("kind", "host", "subject", "reason")}
    return Notification(
        event=read.text(raw, "event", where, required=True),
        channel=read.text(raw, "channel", where) or "-",
        status=read.text(raw, "status", where, required=True),
        attempts=int(attempts or 0),
        seconds=read.number(raw, "seconds", where),
        **texts,
    )


def _read_figure(read: _Reader, name: str, raw: Any, where: str) -> Figure:
    raw = read.mapping(raw, where)
    count = read.number(raw, "count", where)
    known = ("value", "unit", "count", "reason")
    return Figure(
        name=read.name(name),
        value=read.number(raw, "value", where),
        unit=read.text(raw, "unit", where),
        count=None if count is None else int(count),
        reason=read.text(raw, "reason", where),
        more={read.name(key): read.clean(value) for key, value in raw.items() if key not in known},
    )


def _read_dora(read: _Reader, raw: Any, where: str) -> Dora:
    raw = read.mapping(raw, where)
    window = read.mapping(raw.get("window") or {}, f"{where}.window")
    figures = read.mapping(raw.get("figures") or {}, f"{where}.figures")
    return Dora(
        figures=tuple(_read_figure(read, str(name), one, f"{where}.figures.{name}") for name, one in figures.items()),
        since=read.text(window, "since", f"{where}.window"),
        until=read.text(window, "until", f"{where}.window"),
        error=read.text(raw, "error", where),
    )


def _no_evidence(_run_id: str, _file: str) -> bytes | None:
    return None


def read_run(raw: Any, secrets: Iterable[str] = (), evidence: Callable[[str, str], bytes | None] = _no_evidence) -> Run:
    """Read a run, with every secret taken out. Raises InputError with every mistake, each with the path of its key.

    Secrets go before anything is rendered: once a value is escaped for HTML or XML, it can no longer be found.
    Keys that a report does not need are ignored: the run is written by the roles, which may know more. ``evidence`` gives the
    content of the file of an artefact, by the id of the run and its name.
    """
    run_id = str(raw.get("id") or "") if isinstance(raw, Mapping) else ""
    sound = bool(_RUN_ID.match(run_id))
    read = _Reader(scrubber(secrets), lambda file: evidence(run_id, file) if sound else None)
    raw = read.mapping(raw, "run")
    if not run_id:
        read.refuse("run.id", "is missing")
    # The id becomes the name of a directory.
    if run_id and (not _RUN_ID.match(run_id) or run_id == "latest"):
        read.refuse("run.id", f"expected letters, digits and . _ : + - (and not 'latest'), got {run_id!r}")
    hosts = read.mapping(raw.get("hosts") or {}, "run.hosts")
    rollback = raw.get("rollback")
    decision = read.choice(raw, "decision", "run", DECISIONS)
    kind = read.choice({"kind": raw.get("kind") or "cutover"}, "kind", "run", KINDS)
    if decision == "go" and rollback and kind != "rollback":
        read.refuse("run.rollback", "a run that was rolled back cannot have ended in go")
    run = Run(
        id=run_id,
        kind=kind,
        reason=read.text(raw, "reason", "run"),
        problems=tuple(read.texts(raw.get("problems"), "run.problems")),
        environment=read.text(raw, "environment", "run", required=True),
        release=read.text(raw, "release", "run"),
        previous_release=read.text(raw, "previous_release", "run"),
        operator=read.text(raw, "operator", "run"),
        controller=read.text(raw, "controller", "run"),
        started=read.text(raw, "started", "run"),
        ended=read.text(raw, "ended", "run"),
        command=read.text(raw, "command", "run"),
        decision=decision,
        reasons=tuple(read.texts(raw.get("reasons"), "run.reasons")),
        criteria=tuple(_read_criterion(read, one, where) for where, one in _each(read, raw.get("criteria"), "run.criteria")),
        hosts=tuple(_read_host(read, read.name(name), one, f"run.hosts.{name}") for name, one in hosts.items()),
        lost_hosts=tuple(read.texts(raw.get("lost_hosts"), "run.lost_hosts")),
        rollback=_read_rollback(read, rollback, "run.rollback") if rollback else None,
        notifications=tuple(
            _read_notification(read, one, where) for where, one in _each(read, raw.get("notifications"), "run.notifications")
        ),
        dora=_read_dora(read, raw["dora"], "run.dora") if raw.get("dora") else None,
    )
    if read.problems:
        raise InputError(read.problems)
    return run
