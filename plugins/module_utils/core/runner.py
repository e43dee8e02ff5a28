# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The runner: all checks at once, each in bounded time, all of them within one deadline.

A look runs in a thread of its own, so that a probe that hangs is left behind at its timeout instead of holding up the rest; such
threads are daemons and end with the process. A check that was cut off, or never begun, is inconclusive.
"""

from __future__ import annotations

import datetime
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import artefacts
from ansible_collections.golive.cutover.plugins.module_utils.core.baseline import Baseline, Measured
from ansible_collections.golive.cutover.plugins.module_utils.core.checks import Check, Retry
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Secret
from ansible_collections.golive.cutover.plugins.module_utils.core.verdicts import (
    GOOD,
    Judgement,
    evaluate_expressions,
    judge,
    verdict,
)
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe

DEFAULT_CONCURRENCY = 64
DEFAULT_DEADLINE = 600.0
GRACE = 0.25
"""Seconds that a look gets beyond its timeout to report by itself what it has, before it is left behind."""


@dataclass
class Clock:
    """Time, as the runner uses it; tests hand in their own."""

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


@dataclass
class _Look:
    """One look in its thread."""

    observation: Observation | None = None
    error: str | None = None
    done: threading.Event = field(default_factory=threading.Event)


def _utc(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def secrets_of(value: Any) -> set[str]:
    """Every secret value in the options of a check, at any depth."""
    if isinstance(value, Secret):
        return {value.reveal()} if value.reveal() else set()
    if isinstance(value, Mapping):
        return set().union(*(secrets_of(one) for one in value.values()))
    if isinstance(value, (list, tuple)):
        return set().union(*(secrets_of(one) for one in value))
    return set()


def redact(value: Any, secrets: set[str]) -> Any:
    """Replace the secrets in every text of a record by ``***``."""
    if isinstance(value, str):
        for secret in sorted(secrets, key=len, reverse=True):
            value = value.replace(secret, "***")
        return value
    if isinstance(value, Mapping):
        return {redact(key, secrets): redact(one, secrets) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(one, secrets) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    return value


class _Asking:
    """One check being asked: looks, retries, and the verdict in the end."""

    def __init__(
        self, check: Check, probe: Probe, clock: Clock, deadline: float, baseline: Mapping[str, Measured] | None = None
    ) -> None:
        self.check = check
        self.baseline = baseline
        self.probe = probe
        self.secrets = secrets_of(check.options)
        self.clock = clock
        self.deadline = deadline
        self.stop = threading.Event()
        self.attempts = 0
        self.begun = clock.monotonic()
        self.started = clock.now()
        self.latest: tuple[Judgement, Observation] | None = None
        self.record: dict[str, Any] | None = None
        self.kept: list[artefacts.Kept] = []
        self.samples: dict[str, list[float]] = {}

    def _hide(self, text: str) -> str:
        return str(redact(text, self.secrets))

    def _look(self, context: Context, look: _Look) -> None:
        try:
            look.observation = self.probe.look(self.check.options, context)
        except CutoverError as error:
            look.error = str(error)
        except Exception as error:  # a probe that trips over something unforeseen could not measure; it must not pass
            look.error = f"{type(error).__name__}: {error}"
        finally:
            look.done.set()

    def _attempt(self) -> tuple[Judgement, Observation]:
        self.attempts += 1
        begun = self.clock.monotonic()
        until = min(begun + self.check.timeout, self.deadline)
        context = Context(until, self.clock.monotonic, self.clock.now, self.clock.sleep, self.stop)
        look = _Look()
        threading.Thread(target=self._look, args=(context, look), daemon=True).start()
        if not look.done.wait(max(until - begun, 0.0) + GRACE):
            took = self.clock.monotonic() - begun
            which = "its timeout" if until < self.deadline else "the deadline of all checks"
            return self._unmeasured(f"it was cut off at {which} after {took:.1f} s")
        if look.observation is None:
            return self._unmeasured(str(look.error))
        evaluate_expressions(self.check, look.observation)
        return judge(self.check, look.observation, self._hide, self.baseline), look.observation

    @staticmethod
    def _unmeasured(why: str) -> tuple[Judgement, Observation]:
        return Judgement("inconclusive", f"could not be measured, because {why}"), Observation()

    def _retried(self, retry: Retry) -> tuple[Judgement, Observation]:
        window_ends = min(self.begun + retry.window, self.deadline)
        in_a_row = 0
        while True:
            self.latest = judgement, observation = self._attempt()
            in_a_row = in_a_row + 1 if judgement.status in GOOD else 0
            now = self.clock.monotonic()
            if in_a_row >= 2:
                return judgement, observation
            # A first pass at the very end of the window may still be confirmed; the deadline of all checks may not be passed.
            pause = retry.settle if in_a_row else retry.every
            if now + pause >= self.deadline or (not in_a_row and now + pause > window_ends):
                break
            self.clock.sleep(pause)
        elapsed = self.clock.monotonic() - self.begun
        tries = f"after {self.attempts} attempts in {elapsed:.1f} s"
        if judgement.status in GOOD:
            reason = f"passed once but could not be confirmed before the deadline, {tries}: {judgement.reason}"
            return Judgement("inconclusive", reason), observation
        return Judgement(judgement.status, f"{judgement.reason} ({tries})"), observation

    def ask(self) -> None:
        check = self.check
        self.begun, self.started = self.clock.monotonic(), self.clock.now()
        if check.skip is not None:
            self.latest = (Judgement("skip", check.skip), Observation())
        elif check.retry is None:
            self.latest = self._attempt()
        else:
            self.latest = self._retried(check.retry)
        self.record = self._verdict(*self.latest)

    def _verdict(self, judgement: Judgement, observation: Observation) -> dict[str, Any]:
        record = verdict(
            self.check,
            judgement,
            observation,
            attempts=self.attempts,
            started=_utc(self.started),
            duration=max(self.clock.monotonic() - self.begun, 0.0),
            hide=self._hide,
            baseline=self.baseline,
        )
        clean: dict[str, Any] = redact(record, self.secrets)
        self.samples = {name: many for name, many in observation.samples.items() if name in self.check.judged()}
        if observation.artefacts:
            self.kept, refused = artefacts.take(self.check.id, observation.artefacts, self._hide)
            if self.kept:
                clean["artefacts"] = [one.record() for one in self.kept]
            if refused:
                clean["proof"]["not_kept"] = refused
        return clean

    def cut_off(self, seconds: float) -> dict[str, Any]:
        """The verdict of a check that did not end before the deadline."""
        self.stop.set()
        what = "it was not begun" if not self.attempts else f"it was cut off in attempt {self.attempts}"
        reason = f"could not be measured, because {what} when the deadline of {seconds:g} s for all checks was over"
        if self.latest is not None:
            reason += f"; the last look said: {self.latest[0].reason}"
        return self._verdict(Judgement("inconclusive", reason), Observation())


def _in_lanes(askings: Sequence[_Asking]) -> list[list[_Asking]]:
    """What is asked one after another: a check for itself, or all that share a lane, where the first of them stands."""
    lanes: dict[Any, list[_Asking]] = {}
    for index, asking in enumerate(askings):
        lanes.setdefault(index if asking.check.lane is None else asking.check.lane, []).append(asking)
    return list(lanes.values())


def run_checks(
    checks: Sequence[Check],
    probes: Mapping[str, Probe],
    *,
    deadline: float = DEFAULT_DEADLINE,
    concurrency: int = DEFAULT_CONCURRENCY,
    clock: Clock | None = None,
    kept: list[artefacts.Kept] | None = None,
    baseline: Baseline | None = None,
    samples: dict[str, dict[str, list[float]]] | None = None,
) -> list[dict[str, Any]]:
    """Ask all checks and return their verdicts in the order asked. ``deadline`` in seconds from now, for all of them together.

    ``baseline``: what the measures of each check were before the change, for thresholds such as ``<= +10%``.
    ``samples``: receives the samples that checks were judged by, check id to measure to samples, for a baseline.
    What the probes keep as evidence is appended to ``kept``, with what is not kept left out when there is too much of it.
    """
    clock = clock or Clock()
    ends = clock.monotonic() + deadline
    askings = [_Asking(check, probes[check.probe], clock, ends, (baseline or {}).get(check.id)) for check in checks]
    waiting = iter(_in_lanes(askings))
    taking = threading.Lock()

    def work() -> None:
        while True:
            with taking:
                lane = next(waiting, None)
            if lane is None:
                return
            for asking in lane:
                if clock.monotonic() >= ends:
                    return
                asking.ask()

    workers = [threading.Thread(target=work, daemon=True) for _number in range(max(1, min(concurrency, len(askings))))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(max(ends + 2 * GRACE - clock.monotonic(), 0.0))
    verdicts = [asking.record if asking.record is not None else asking.cut_off(deadline) for asking in askings]
    if kept is not None:
        kept.extend(artefacts.bounded(one for asking in askings for one in asking.kept))
    if samples is not None:
        samples.update({asking.check.id: asking.samples for asking in askings if asking.samples})
    return verdicts
