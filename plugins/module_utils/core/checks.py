# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Checks, as their author writes them: read, refused with every mistake at once, and made into `Check` records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.comparison import CONFIDENCE
from ansible_collections.golive.cutover.plugins.module_utils.core.conditions import Condition, parse_condition
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option, Secret
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Probe, kind_of_measure

DEFAULT_TIMEOUT = 10.0
"""Seconds that one look may take, on top of the time that the probe is asked to hold or sample."""

THRESHOLDS = ("expect", "warn", "critical")


@dataclass(frozen=True)
class Retry:
    """Look again for ``window`` seconds, ``every`` seconds, until it passes twice, ``settle`` seconds apart."""

    window: float
    every: float
    settle: float


@dataclass(frozen=True)
class Check:
    """One question put to the running system. Durations in seconds."""

    id: str
    title: str
    probe: str
    options: Mapping[str, Any]
    expressions: Mapping[str, str]
    thresholds: Mapping[str, Mapping[str, tuple[Condition, ...]]]
    kinds: Mapping[str, str]
    required: bool
    timeout: float
    retry: Retry | None
    tags: tuple[str, ...]
    skip: str | None
    lane: str | None = None
    confidence: float = CONFIDENCE
    writes: bool = False

    def judged(self) -> set[str]:
        """The measures that thresholds are about."""
        return {measure for rows in self.thresholds.values() for measure in rows}

    def expected(self) -> dict[str, dict[str, str]]:
        """The thresholds as they were written, for reports."""
        return {
            column: {measure: " and ".join(c.source for c in conditions) for measure, conditions in rows.items()}
            for column, rows in self.thresholds.items()
            if rows
        }


RETRY_OPTIONS: Mapping[str, Option] = {
    "for": Option(opt.duration, "how long to look again", required=True),
    "every": Option(opt.duration, "pause between two looks", default=1.0),
    "settle": Option(opt.duration, "pause between the first pass and the one that confirms it"),
}


def _confidence(value: Any) -> float:
    found = opt.share(value)
    if not 0.5 <= found < 1:
        raise ValueError(f"expected a confidence of at least 50% and less than 100%, such as 98%, got {value!r}")
    return found


CHECK_OPTIONS: Mapping[str, Option] = {
    "id": Option(opt.text, "a short name that is unique among the checks", required=True),
    "title": Option(opt.text, "what is asked, in words"),
    "expect": Option(opt.anything, "thresholds that must hold"),
    "warn": Option(opt.anything, "thresholds that warn when they hold"),
    "critical": Option(opt.anything, "thresholds that fail the check when they hold"),
    "measures": Option(opt.map_of(opt.text), "own measures: name to a JMESPath expression over the JSON that the probe got"),
    "required": Option(opt.flag, "whether the check can block", default=True),
    "timeout": Option(opt.duration, "how long one look may take"),
    "retry": Option(opt.anything, "look again until it passes twice"),
    "confidence": Option(_confidence, "how sure a difference to the samples before the change must be"),
    "lane": Option(opt.text, "checks with the same word take turns, as they use something of which there is little"),
    "writes": Option(opt.flag, "whether asking may change something, so that check mode does not ask; else the probe knows"),
    "tags": Option(opt.list_of(opt.text), "words by which steps and gates choose checks", default=[]),
    "skip": Option(opt.text, "why the check is not asked here; only for checks that are not required"),
}


def resolve_secrets(raw: Any, secrets: Mapping[str, str], where: str, problems: list[Problem]) -> Any:
    """Put `Secret` values where ``{secret: NAME}`` stands, at any depth."""
    if isinstance(raw, Mapping):
        if set(raw) == {"secret"}:
            name = raw["secret"]
            if isinstance(name, str) and name in secrets:
                return Secret(str(secrets[name]))
            known = ", ".join(sorted(secrets)) or "none"
            problems.append(Problem(where, f"there is no secret named {name!r}; the names are: {known}"))
            return Secret("")
        return {key: resolve_secrets(value, secrets, f"{where}.{key}", problems) for key, value in raw.items()}
    if isinstance(raw, list):
        return [resolve_secrets(value, secrets, f"{where}[{index}]", problems) for index, value in enumerate(raw)]
    return raw


def _read_expressions(expressions: Mapping[str, str], probe: Probe, where: str, problems: list[Problem]) -> None:
    if not expressions:
        return
    if not probe.yields_document:
        problems.append(Problem(where, f"the probe {probe.name} yields no JSON document that own measures could look into"))
        return
    try:
        import jmespath
    except ImportError:
        return  # the expressions are looked at where the library is; without it the measures are reported as missing
    for name, expression in expressions.items():
        try:
            jmespath.compile(expression)
        except jmespath.exceptions.JMESPathError as error:
            message = str(error).splitlines()[0]
            problems.append(Problem(f"{where}.{name}", f"{expression!r} is not a JMESPath expression: {message}"))


def _read_column(raw: Any, kinds: Mapping[str, str], where: str, problems: list[Problem]) -> dict[str, tuple[Condition, ...]]:
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        problems.append(Problem(where, f"expected a mapping of measure to condition, got {raw!r}"))
        return {}
    column: dict[str, tuple[Condition, ...]] = {}
    for measure, sources in raw.items():
        kind = kind_of_measure(str(measure), kinds)
        if kind is None:
            problems.append(Problem(f"{where}.{measure}", opt.unknown_key(str(measure), kinds, "measure")))
            continue
        written = sources if isinstance(sources, list) else [sources]
        if not written:
            problems.append(Problem(f"{where}.{measure}", "has no condition"))
        conditions = []
        for source in written:
            try:
                conditions.append(parse_condition(source, kind))
            except ValueError as error:
                problems.append(Problem(f"{where}.{measure}", str(error)))
        column[str(measure)] = tuple(conditions)
    return column


def _read_retry(raw: Any, where: str, problems: list[Problem]) -> Retry | None:
    if raw is None:
        return None
    clean = opt.read_options(raw, RETRY_OPTIONS, where, problems)
    if clean["for"] is None:
        return None
    every = max(float(clean["every"]), 0.01)
    settle = every if clean["settle"] is None else float(clean["settle"])
    return Retry(window=float(clean["for"]), every=every, settle=settle)


def _read_timeout(given: float | None, at_least: float, where: str, problems: list[Problem]) -> float:
    if given is None:
        return DEFAULT_TIMEOUT + at_least
    if given <= at_least:
        problems.append(
            Problem(f"{where}.timeout", f"{given:g}s is not longer than the {at_least:g}s that the probe is asked to take")
        )
    return given


def _read_check(
    raw: Mapping[str, Any], where: str, probes: Mapping[str, Probe], secrets: Mapping[str, str], problems: list[Problem]
) -> Check | None:
    keys = [str(key) for key in raw if str(key) in probes]
    strange = [str(key) for key in raw if str(key) not in probes and str(key) not in CHECK_OPTIONS]
    problems.extend(Problem(f"{where}.{key}", opt.unknown_key(key, [*CHECK_OPTIONS, *probes])) for key in strange)
    common = opt.read_options({key: raw[key] for key in raw if key in CHECK_OPTIONS}, CHECK_OPTIONS, where, problems)
    if len(keys) != 1:
        found = f"got {' and '.join(keys)}" if keys else "got none"
        problems.append(Problem(where, f"expected exactly one probe ({', '.join(sorted(probes))}), {found}"))
        return None
    probe = probes[keys[0]]
    place = f"{where}.{probe.name}"
    before = len(problems)
    options = opt.read_options(
        resolve_secrets({} if raw[probe.name] is None else raw[probe.name], secrets, place, problems),
        probe.options,
        place,
        problems,
    )
    sound = len(problems) == before
    if sound:
        problems.extend(Problem(f"{place}.{p.where}" if p.where else place, p.message) for p in probe.problems(options))
        sound = len(problems) == before
    expressions: Mapping[str, str] = common["measures"] or {}
    _read_expressions(expressions, probe, f"{where}.measures", problems)
    kinds = {**(probe.measures_for(options) if sound else probe.measures), **dict.fromkeys(expressions, "any")}
    if sound:
        thresholds = {column: _read_column(common[column], kinds, f"{where}.{column}", problems) for column in THRESHOLDS}
    else:
        # Which measures exist depends on the options: with those refused, only complain of what is certain.
        thresholds = {column: {} for column in THRESHOLDS}
    if not any(common[column] for column in THRESHOLDS):
        problems.append(Problem(where, "has no threshold under expect, warn or critical, so it could not fail"))
    several = any(one.kind == "samples" for rows in thresholds.values() for many in rows.values() for one in many)
    if common["confidence"] is not None and sound and not several:
        problems.append(Problem(f"{where}.confidence", "has no meaning without a threshold on samples, such as latencies"))
    if common["skip"] is not None and common["required"]:
        problems.append(Problem(f"{where}.skip", "a required check cannot be skipped; make it required: false"))
    return Check(
        id=str(common["id"] or ""),
        title=str(common["title"] or common["id"] or ""),
        probe=probe.name,
        options=options,
        expressions=expressions,
        thresholds=thresholds,
        kinds=kinds,
        required=bool(common["required"]),
        timeout=_read_timeout(common["timeout"], probe.at_least(options) if sound else 0.0, where, problems),
        retry=_read_retry(common["retry"], f"{where}.retry", problems),
        tags=tuple(common["tags"]),
        skip=common["skip"],
        lane=common["lane"],
        confidence=CONFIDENCE if common["confidence"] is None else common["confidence"],
        writes=(sound and probe.writes(options)) if common["writes"] is None else common["writes"],
    )


def read_checks(raw: Iterable[Any], probes: Mapping[str, Probe], secrets: Mapping[str, str] | None = None) -> list[Check]:
    """Read a list of checks. Raises InputError with every mistake, each naming the check and the key."""
    problems: list[Problem] = []
    checks: list[Check] = []
    seen: dict[str, int] = {}
    for index, one in enumerate(raw):
        if not isinstance(one, Mapping):
            problems.append(Problem(f"checks[{index}]", f"expected a mapping, got {one!r}"))
            continue
        name = one.get("id")
        where = str(name) if isinstance(name, str) and name else f"checks[{index}]"
        if isinstance(name, str) and name in seen:
            problems.append(Problem(where, f"the id stands twice, at checks[{seen[name]}] and checks[{index}]"))
        elif isinstance(name, str):
            seen[name] = index
        check = _read_check(one, where, probes, secrets or {}, problems)
        if check is not None:
            checks.append(check)
    if problems:
        raise InputError(problems)
    return checks


def select(checks: Iterable[Check], tags: Iterable[str]) -> list[Check]:
    """The checks that carry at least one of the tags; all of them when no tag is given."""
    wanted = set(tags)
    return [check for check in checks if not wanted or wanted & set(check.tags)]
