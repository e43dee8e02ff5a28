# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Containers of a Docker engine: state, health, restarts, memory and CPU, image, and how many of them are well."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.core.units import Value
from ansible_collections.golive.cutover.plugins.module_utils.probes import _docker
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe

STATES = ("dead", "exited", "removing", "created", "paused", "restarting", "running")
"""From the worst to the best."""
HEALTHS = ("unhealthy", "starting", "healthy")
_REMEMBERED = 256
"""Events that the engine remembers, of all containers together."""
_SHOWN = 20

_COUNTS: Mapping[str, str] = {
    "total": "count",
    "running": "count",
    "healthy": "count",
    "unhealthy": "count",
    "restarting": "count",
}
_OF_ONE: Mapping[str, str] = {
    "state": "text",
    "health": "text",
    "restarts": "count",
    "restarts_since": "count",
    "exit_code": "count",
    "oom_killed": "flag",
    "uptime": "time",
    "cpu": "ratio",
    "memory": "size",
    "memory_ratio": "ratio",
    "pids": "count",
    "image": "text",
    "image_id": "text",
    "digest": "text",
}


def _worst_of(order: Sequence[str]) -> Callable[[Iterable[Any]], Any]:
    return lambda values: min(values, key=lambda value: order.index(value) if value in order else -1)


_WORST: Mapping[str, Callable[[Iterable[Any]], Any]] = {
    "state": _worst_of(STATES),
    "health": _worst_of(HEALTHS),
    "uptime": min,
    "oom_killed": any,
    **dict.fromkeys(("restarts", "restarts_since", "exit_code", "cpu", "memory", "memory_ratio", "pids"), max),
}
_SUMMED = ("restarts", "restarts_since", "cpu", "memory", "pids")


@dataclass
class One:
    """What is known of one container, and why the rest is not."""

    name: str
    known: dict[str, Value] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)


class ContainerProbe(Probe):
    """Asks the engine for the containers that are meant.

    Counts are over all of them; how many are ill is only known when all that are meant are there. What belongs to one container
    is only had from several when ``reduce`` says how.
    """

    name = "container"
    options: ClassVar[Mapping[str, Option]] = {
        **_docker.OPTIONS,
        "reduce": Option(opt.choice("worst", "sum"), "how the values of several containers become one"),
        "over": Option(opt.duration, "time over which the use of CPU is measured"),
        "since": Option(opt.duration, "how far back restarts_since looks"),
    }
    measures: ClassVar[Mapping[str, str]] = {**_COUNTS, **_OF_ONE}

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        found = _docker.problems(options)
        found += [
            Problem(key, "must be more than nothing") for key in ("over", "since") if options[key] is not None and options[key] <= 0
        ]
        return found

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        absent = {"cpu"} if options["over"] is None else set()
        absent |= {"restarts_since"} if options["since"] is None else set()
        if options["reduce"] == "sum":
            absent |= set(_OF_ONE) - set(_SUMMED)
        return {name: kind for name, kind in self.measures.items() if name not in absent}

    def at_least(self, options: Mapping[str, Any]) -> float:
        return float(options["over"] or 0.0)

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        with _docker.engine(options, context) as client:
            found, absent = _docker.containers(options, client, context)
            ones = [_describe(one, client, options, context) for one in found]
            _usage(found, ones, client, options, context)
        states = [one.known.get("state") for one in ones]
        healths = [one.known.get("health") for one in ones]
        seen = Observation(
            measures={
                "total": len(ones),
                "running": states.count("running"),
                "healthy": healths.count("healthy"),
            },
            proof={"containers": len(ones)},
        )
        # Of what is not there nobody can say that it is not ill.
        for name, number in (("unhealthy", healths.count("unhealthy")), ("restarting", states.count("restarting"))):
            if absent:
                seen.missing[name] = absent[0]
            else:
                seen.measures[name] = number
        if absent:
            seen.proof["absent"] = absent
        seen.proof["seen"] = {
            one.name: ", ".join(str(one.known[key]) for key in ("state", "health", "image") if key in one.known)
            for one in ones[:_SHOWN]
        }
        for name in self.measures_for(options):
            if name in _OF_ONE:
                _reduced(seen, name, ones, absent, options["reduce"])
        return seen


def _reduced(seen: Observation, name: str, ones: Sequence[One], absent: Sequence[str], reduce: Optional[str]) -> None:
    """One value of all containers, or why there is none. A container that is not there leaves open what it would have said."""
    if absent:
        seen.missing[name] = absent[0]
        return
    unknown = next((one for one in ones if name not in one.known), None)
    if unknown is not None:
        why = unknown.unknown.get(name, "the engine does not say")
        seen.missing[name] = why if len(ones) == 1 else f"{unknown.name}: {why}"
        return
    values = [one.known[name] for one in ones]
    if len(values) == 1:
        seen.measures[name] = values[0]
    elif reduce is None:
        seen.missing[name] = f"{len(values)} containers are meant; say reduce: worst or sum"
    elif reduce == "sum":
        seen.measures[name] = sum(float(value) for value in values)
    elif name in _WORST:
        seen.measures[name] = _WORST[name](values)
    elif len(set(values)) == 1:
        seen.measures[name] = values[0]
    else:
        seen.missing[name] = f"the containers differ: {', '.join(sorted(str(value) for value in set(values)))[:200]}"


def _describe(raw: Mapping[str, Any], client: Any, options: Mapping[str, Any], context: Context) -> One:
    state = raw["State"]
    one = One(_docker.shown_name(raw))
    known, unknown = one.known, one.unknown
    known["state"] = str(state["Status"])
    health = (state.get("Health") or {}).get("Status")
    if health in HEALTHS:
        known["health"] = str(health)
    else:
        unknown["health"] = "it has no health check"
    known["restarts"] = int(raw.get("RestartCount", 0))
    known["oom_killed"] = bool(state.get("OOMKilled"))
    if known["state"] in ("exited", "dead"):
        known["exit_code"] = int(state["ExitCode"])
    else:
        unknown["exit_code"] = f"it is {known['state']}"
    started = _docker.moment(state.get("StartedAt"))
    if not state.get("Running") or started is None:
        unknown["uptime"] = f"it is {known['state']}"
    elif started > context.now() + 1.0:
        unknown["uptime"] = "it was started in the future: the clocks differ"
    else:
        known["uptime"] = max(context.now() - started, 0.0)
    known["image"] = str(raw["Config"]["Image"])
    known["image_id"] = str(raw["Image"])
    _digest(one, client)
    if options["since"] is not None:
        _restarts_since(one, raw, started, client, options["since"], context)
    return one


def _digest(one: One, client: Any) -> None:
    """The digest under which a registry knows the image."""
    from docker import errors

    try:
        named = client.inspect_image(one.known["image_id"]).get("RepoDigests") or []
    except errors.ImageNotFound:
        one.unknown["digest"] = "its image is not on this host any more"
        return
    digests = {digest for name in named for digest in [str(name).partition("@")[2]] if digest}
    if len(digests) == 1:
        one.known["digest"] = digests.pop()
    else:
        why = f"its image has {len(digests)} digests" if digests else "its image comes from no registry"
        one.unknown["digest"] = why


def _restarts_since(
    one: One, raw: Mapping[str, Any], started: Optional[float], client: Any, since: float, context: Context
) -> None:
    """Starts after the first since a time. A container that was started before it had none. Otherwise the events of the engine are
    counted, of which it remembers few: they count when none of that time, or none of the container's life, can be forgotten."""
    now = context.now()
    begin = now - since
    if started is None or started < begin:
        one.known["restarts_since"] = 0
        return
    events = list(client.events(since=begin, until=now, decode=True))
    # Of a container that was made since, the engine remembers all, if it still remembers the making.
    made = any(_is(event, "create", raw["Id"]) for event in events)
    if len(events) >= _REMEMBERED and not made:
        one.unknown["restarts_since"] = f"it was started since, and the engine remembers only {_REMEMBERED} events"
        return
    starts = sum(_is(event, "start", raw["Id"]) for event in events)
    if not starts:
        one.unknown["restarts_since"] = "it was started since, and the engine has forgotten how often"
        return
    one.known["restarts_since"] = starts - (1 if made else 0)


def _is(event: Mapping[str, Any], action: str, container: str) -> bool:
    return event.get("Type") == "container" and event.get("Action") == action and event["Actor"]["ID"] == container


def _usage(
    found: Sequence[Mapping[str, Any]], ones: Sequence[One], client: Any, options: Mapping[str, Any], context: Context
) -> None:
    """CPU and memory of those that run. CPU is the time that was used between two readings, as a share of one core."""
    running = [(raw, one) for raw, one in zip(found, ones) if one.known["state"] == "running"]
    names = ("cpu", "memory", "memory_ratio", "pids")
    for one in ones:
        if one.known["state"] != "running":
            one.unknown.update(dict.fromkeys(names, f"it is {one.known['state']}"))
    before = {raw["Id"]: _stats(raw["Id"], client, context) for raw, _one in running}
    if options["over"] is not None and running:
        until = context.clock() + options["over"]
        while context.clock() < until:
            if context.over():
                raise ProbeError("the time ran out before the use of CPU was measured")
            context.sleep(min(max(until - context.clock(), 0.0), 0.1))
    for raw, one in running:
        stats = before[raw["Id"]]
        if options["over"] is not None:
            later = _stats(raw["Id"], client, context)
            _cpu(one, stats, later)
            stats = later or stats
        if not stats:
            one.unknown.update(dict.fromkeys(names, "the engine gives no figures of it"))
            continue
        _memory(one, stats, raw)
        pids = (stats.get("pids_stats") or {}).get("current")
        if pids is not None:
            one.known["pids"] = int(pids)


def _stats(identity: str, client: Any, context: Context) -> Optional[dict[str, Any]]:
    from docker import errors

    if context.over():
        raise ProbeError("the time ran out before all containers were measured")
    try:
        stats: dict[str, Any] = client.stats(identity, stream=False, one_shot=True)
    except errors.NotFound:
        return None
    return stats


def _cpu(one: One, before: Optional[Mapping[str, Any]], after: Optional[Mapping[str, Any]]) -> None:
    try:
        used = [float(stats["cpu_stats"]["cpu_usage"]["total_usage"]) for stats in (before or {}, after or {})]
        at = [_docker.moment(stats["read"]) for stats in (before or {}, after or {})]
    except (KeyError, TypeError):
        one.unknown["cpu"] = "the engine gives no figures of its CPU"
        return
    if at[0] is None or at[1] is None or at[1] <= at[0] or used[1] < used[0]:
        one.unknown["cpu"] = "it was restarted while its CPU was measured"
        return
    one.known["cpu"] = (used[1] - used[0]) / 1e9 / (at[1] - at[0])


def _memory(one: One, stats: Mapping[str, Any], raw: Mapping[str, Any]) -> None:
    """Memory without the page cache that can be given up at once, as ``docker stats`` counts it."""
    memory = stats.get("memory_stats") or {}
    usage = memory.get("usage")
    if usage is None:
        one.unknown.update(dict.fromkeys(("memory", "memory_ratio"), "the engine gives no figures of its memory"))
        return
    detail = memory.get("stats") or {}
    cache = detail.get("total_inactive_file", detail.get("inactive_file", 0))
    used = usage - cache if cache < usage else usage
    one.known["memory"] = int(used)
    limit = (raw.get("HostConfig") or {}).get("Memory") or 0
    if limit > 0:
        one.known["memory_ratio"] = used / limit
    else:
        one.unknown["memory_ratio"] = "its memory has no limit"
