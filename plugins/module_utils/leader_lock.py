# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The lock of a leader election: whose it is, and whether it is one that nobody will ever let go.

A lock is deleted only when it is proven that no living leader holds it, and then by one script that compares and deletes: what
was looked at is what is deleted, to the byte, and a time to live that somebody has started anew meanwhile is a sign of life.

What proves that a holder does not lead: over the whole look it either answers and says itself that it does not, or nobody listens
at any of its addresses. Silence is no proof. A process that hangs may go on, and then it still believes in its lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional
from urllib.parse import urlsplit

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import resolve_secrets
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, InputError, ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option, read_options
from ansible_collections.golive.cutover.plugins.module_utils.probes import _net, leader, redis
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context

LED, FREE, EXPIRING, STALE, UNCERTAIN = "led", "free", "expiring", "stale", "uncertain"
FINDINGS = (LED, FREE, EXPIRING, STALE, UNCERTAIN)
"""One instance leads and holds the lock; nobody holds it and nobody leads; nobody leads and it ends by itself; nobody leads and it
does not end; what is the case is not certain."""

_FOREVER = -1
"""What Redis says of a key without a time to live; -2 is a key that is not there."""

_RELEASE = """
local value = redis.call('GET', KEYS[1])
if not value then return 'gone' end
if value ~= ARGV[1] then return 'changed' end
local left = redis.call('PTTL', KEYS[1])
if ARGV[2] == '-1' then
  if left ~= -1 then return 'renewed' end
elseif left < 0 or left > tonumber(ARGV[2]) then
  return 'renewed'
end
redis.call('DEL', KEYS[1])
return 'deleted'
"""
_PROBE = leader.LeaderProbe()
_OWN: Mapping[str, Option] = {
    "refused": Option(
        opt.choice("uncertain", "dead"),
        "what it means when all addresses of an instance refuse connections: dead only where nobody else refuses in its name",
        default="uncertain",
    ),
}


class LockHeld(CutoverError):
    """The lock is not released, because it is or may be that of a living leader. ``result`` is what was seen."""

    def __init__(self, message: str, result: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.result = dict(result)


@dataclass(frozen=True)
class Sight:
    """The lock at one moment. ``value`` is None when it is free; ``left`` are milliseconds, None when it never expires."""

    value: Optional[bytes] = None
    left: Optional[int] = None


@dataclass
class Instance:
    """What one instance showed over the whole look."""

    leads: bool = False
    answers: bool = True
    """Each of its sources said in each round whether it leads."""
    refused: bool = True
    """In each round nobody listened at any of its addresses."""
    why: str = ""
    """The first silence."""


@dataclass(frozen=True)
class Finding:
    """What is the case, in one of FINDINGS and in words. ``proof``: why the holder is known not to lead."""

    state: str
    reason: str
    holder: Optional[str] = None
    proof: str = ""


@dataclass
class Look:
    """What was seen: the lock before each round and after the last, and what the instances said."""

    sights: list[Sight] = field(default_factory=list)
    instances: dict[str, Instance] = field(default_factory=dict)
    leaders: list[set[str]] = field(default_factory=list)
    """Those who said in a round that they lead."""
    window: float = 0.0
    whole: bool = False
    """It took as long as it should."""


def read(raw: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """The options, which are those of the probe ``leader`` and ``refused``. Raises InputError with every mistake."""
    problems: list[Problem] = []
    known = {**_PROBE.options, **_OWN}
    options = read_options(resolve_secrets(raw, secrets, "leader", problems), known, "leader", problems)
    if not problems:
        problems += [Problem(f"leader.{one.where}", one.message) for one in _PROBE.problems(options)]
    if not problems and options["lock"] is None:
        problems.append(Problem("leader.lock", "is required: it is the lock that this is about"))
    if not problems and not options["hold"]:
        problems.append(Problem("leader.hold", "is required: one look does not show whether the lock is renewed"))
    if problems:
        raise InputError(problems)
    return options


# -- looking -----------------------------------------------------------------------------------------------------------


def time_for(options: Mapping[str, Any]) -> float:
    """Seconds that a look takes at the most."""
    return float(options["hold"] + 2 * options["patience"] + options["every"] + 2)


def look(options: Mapping[str, Any], context: Context) -> Look:
    """Watch lock and instances for ``hold``. Raises ProbeError when Redis cannot be asked: then nothing is known of the lock."""
    seen = Look(instances={name: Instance() for name in options["instances"]})
    alone = {**options, "lock": None}
    begun = context.clock()
    until = begun + options["hold"]
    while True:
        seen.sights.append(_sight(options, context))
        this = leader.ask_all(alone, context)
        seen.leaders.append(this.leaders())
        for name, one in seen.instances.items():
            _add(one, name, this, options, context)
        seen.window = context.clock() - begun
        if context.clock() >= until:
            seen.whole = True
            break
        if context.over():
            break
        context.sleep(max(min(options["every"], until - context.clock()), 0.0))
    seen.sights.append(_sight(options, context))
    return seen


def _patient(options: Mapping[str, Any], context: Context) -> Context:
    """The time that one source may take."""
    until = min(context.deadline, context.clock() + options["patience"])
    return Context(until, context.clock, context.now, context.sleep, context.stop)


def _sight(options: Mapping[str, Any], context: Context) -> Sight:
    mine = Context(
        min(context.deadline, context.clock() + options["patience"]), context.clock, context.now, context.sleep, context.stop
    )
    key = options["lock"]["key"]
    with redis.opened(leader.lock_options(options["lock"]), mine) as server:
        try:
            # The time to live first: of a value that is renewed in between, the later one is seen in the next round.
            left, value = server.ask("PTTL", key), server.ask("GET", key)
        except redis.Refused as error:
            raise ProbeError(f"Redis said of {key}: {error}") from None
    if not isinstance(value, bytes):
        return Sight()
    return Sight(value, None if left == _FOREVER else max(int(left), 0))


def _add(one: Instance, name: str, this: leader.Round, options: Mapping[str, Any], context: Context) -> None:
    one.leads = one.leads or name in this.leaders()
    silent = [why for (of, _source), why in this.silent.items() if of == name]
    if not silent:
        one.refused = False
        return
    one.answers = False
    one.why = one.why or silent[0]
    addresses = [url for url in options["instances"][name].values() if url is not None]
    # A firewall, a proxy or the service of a cluster refuses connections in the name of one that lives.
    if options["refused"] != "dead" or options["proxy"]:
        one.refused = False
        return
    one.refused = one.refused and len(silent) == len(addresses) and all(_nobody_listens(url, options, context) for url in addresses)


def _nobody_listens(url: str, options: Mapping[str, Any], context: Context) -> bool:
    """Whether every address of a name refuses a connection, and none is silent."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    mine = Context(
        min(context.deadline, context.clock() + options["patience"]), context.clock, context.now, context.sleep, context.stop
    )
    try:
        addresses = _net.resolve(str(parts.hostname), port, mine)
    except (OSError, ProbeError):
        return False
    for _family, address in addresses:
        try:
            _net.connect(str(address[0]), port, mine).close()
        except ConnectionRefusedError:
            continue
        except (OSError, ProbeError):
            return False  # silence, or no way there: nobody knows who listens
        return False
    return bool(addresses)


# -- judging -----------------------------------------------------------------------------------------------------------


def judge(options: Mapping[str, Any], seen: Look, expires_within: float) -> Finding:
    """What is the case. See FINDINGS."""
    key, last = options["lock"]["key"], seen.sights[-1]
    holder = leader.holder_of(options, last.value.decode("utf-8", "replace")) if last.value is not None else None
    named = [name for name, one in seen.instances.items() if one.leads]
    if named:
        return _with_leaders(key, seen, holder)
    if not seen.whole:
        return Finding(UNCERTAIN, f"the look was cut off after {units.show(seen.window, 'time')}", holder)
    lost = [name for name, one in seen.instances.items() if not one.answers and not one.refused]
    if lost:
        one = seen.instances[lost[0]]
        return Finding(UNCERTAIN, f"{lost[0]} may lead: it does not say whether it does ({one.why})", holder)
    if last.value is None:
        return Finding(FREE, f"nobody holds {key}, and no instance leads")
    signs = _signs_of_life(seen.sights)
    if signs:
        return Finding(UNCERTAIN, f"no instance says that it leads, but {key} {signs}", holder)
    whose = holder or last.value.decode("utf-8", "replace")
    if last.left is not None and last.left / 1000 <= expires_within:
        return Finding(EXPIRING, f"{key} of {whose} ends by itself in {units.show(last.left / 1000, 'time')}", holder)
    if holder not in seen.instances:
        return Finding(UNCERTAIN, f"{key} is held by {whose}, which is none of those that were asked: it may be alive", holder)
    window = units.show(seen.window, "time")
    if seen.instances[holder].answers:
        proof = f"{holder} answers and says in each of {len(seen.leaders)} rounds over {window} that it does not lead"
    else:
        proof = f"nobody listens at the addresses of {holder}, in {len(seen.leaders)} rounds over {window}"
    ends = "never expires" if last.left is None else f"has {units.show(last.left / 1000, 'time')} left and is not renewed"
    return Finding(STALE, f"{key} of {holder} {ends}, and no instance leads", holder, proof)


def _with_leaders(key: str, seen: Look, holder: Optional[str]) -> Finding:
    several = next((leading for leading in seen.leaders if len(leading) > 1), None)
    if several:
        return Finding(
            UNCERTAIN, f"{' and '.join(sorted(several))} lead at the same time: that is not a matter of this lock", holder
        )
    leading = seen.leaders[-1]
    if leading == {holder}:
        return Finding(LED, f"{holder} leads and holds {key}", holder)
    if leading:
        name, *_rest = leading
        held = f"{holder or 'somebody unknown'} holds {key}" if seen.sights[-1].value is not None else f"{key} is free"
        return Finding(UNCERTAIN, f"{name} says that it leads, but {held}", holder)
    former = ", ".join(name for name, one in seen.instances.items() if one.leads)
    return Finding(UNCERTAIN, f"{former} led at the beginning of the look and not at its end: look again", holder)


def _signs_of_life(sights: Sequence[Sight]) -> str:
    """What somebody has done to the lock during the look; empty when nobody has touched it."""
    for before, after in zip(sights, sights[1:]):
        if before.value != after.value:
            return "changed hands during the look"
        if after.left is not None and (before.left is None or after.left > before.left):
            return "was renewed during the look"
        if before.left is not None and after.left is None:
            return "was made to last for ever during the look"
    return ""


# -- letting go --------------------------------------------------------------------------------------------------------


def release(options: Mapping[str, Any], sight: Sight, context: Context) -> str:
    """Delete the lock if it is still what was seen; says what became of it: ``deleted``, ``gone``, ``changed`` or ``renewed``."""
    key = options["lock"]["key"]
    with redis.opened(leader.lock_options(options["lock"]), context) as server:
        try:
            said = server.ask("EVAL", _RELEASE, 1, key, sight.value, _FOREVER if sight.left is None else sight.left)
        except redis.Refused as error:
            raise CutoverError(f"Redis did not delete {key}: {error}") from None
    return bytes(said).decode()


def record(options: Mapping[str, Any], seen: Look, finding: Finding) -> dict[str, Any]:
    """What was seen, for people and for the ledger."""
    last = seen.sights[-1]
    value = last.value.decode("utf-8", "replace") if last.value is not None else None
    return {
        "finding": finding.state,
        "reason": finding.reason,
        "proof": finding.proof,
        "lock": {
            "key": options["lock"]["key"],
            "held": last.value is not None,
            "value": value,
            "holder": finding.holder,
            "ttl": None if last.left is None else last.left / 1000,
            "expires": last.left is not None,
        },
        "instances": {
            name: {"leads": one.leads, "answers": one.answers, "refused": one.refused, "why": one.why}
            for name, one in seen.instances.items()
        },
        "rounds": len(seen.leaders),
        "window": round(seen.window, 3),
    }


def run(
    options: Mapping[str, Any], context: Context, *, state: str, value: Optional[str], expires_within: float, check: bool
) -> dict[str, Any]:
    """Look, and with ``state`` ``released`` let a stale lock go. Raises LockHeld, ProbeError, CutoverError."""
    try:
        seen = look(options, context)
    except ProbeError as error:
        if state == "released":
            raise
        return {
            "changed": False,
            "finding": UNCERTAIN,
            "reason": str(error),
            "proof": "",
            "lock": {"key": options["lock"]["key"], "held": None, "value": None, "holder": None, "ttl": None, "expires": None},
            "instances": {},
            "rounds": 0,
            "window": 0.0,
        }
    finding, last = judge(options, seen, expires_within), seen.sights[-1]
    if value is not None and last.value is not None and last.value.decode("utf-8", "replace") != value:
        finding = Finding(UNCERTAIN, f"the lock is no longer that of {value}, which was looked at before", finding.holder)
    result = {"changed": False, **record(options, seen, finding)}
    if state != "released" or finding.state in (FREE, EXPIRING):
        return result
    if finding.state != STALE:
        raise LockHeld(f"the lock is left alone: {finding.reason}", result)
    key = options["lock"]["key"]
    said = "deleted" if check else release(options, last, context)
    if said in ("changed", "renewed"):
        raise LockHeld(f"the lock is left alone: {key} was {said} after the look, so somebody is alive", result)
    shown = result["lock"]["value"]
    return {**result, "changed": said == "deleted", "diff": {"before": f"{key}: {shown}\n", "after": ""}}
