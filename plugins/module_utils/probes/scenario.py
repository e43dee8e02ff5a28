# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Several HTTP requests that belong together: create, read back, delete. One connection, one client, in order.

What a step makes is cleaned up whatever happens in between, so that a check leaves nothing behind in production.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import units
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import LibraryMissing, ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.probes import _http, _net
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe
from ansible_collections.golive.cutover.plugins.module_utils.probes.http_endpoint import ask

_VARIABLE = re.compile(r"\{([A-Za-z_]\w*)\}")
_NAME = re.compile(r"[A-Za-z_]\w*\Z")


def _step_name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.match(value):
        raise ValueError(f"expected a name of letters, digits and underscores, got {value!r}")
    return value


STEP: Mapping[str, Option] = {
    "name": Option(_step_name, "the name of the step, which its measures carry", required=True),
    "method": Option(opt.choice(*_net.METHODS), "request method", default="GET"),
    "path": Option(opt.text, "path below base_url; {name} stands for a value that an earlier step kept"),
    "url": Option(opt.url("http", "https"), "whole address, instead of base_url and path"),
    "json": Option(opt.anything, "request body as data, sent as JSON"),
    "keep": Option(opt.map_of(opt.text), "values to keep for later steps: name to JMESPath over the answer", default={}),
    "cleanup": Option(opt.flag, "also make this request when a step before it failed", default=False),
}


def _step(value: Any) -> dict[str, Any]:
    problems: list[Problem] = []
    clean = opt.read_options(value, STEP, "step", problems)
    if not problems and (clean["path"] is None) == (clean["url"] is None):
        problems.append(Problem("step", "expected either path or url"))
    if problems:
        raise ValueError("; ".join(str(problem) for problem in problems))
    return clean


class ScenarioProbe(Probe):
    """Makes the requests of its steps in order. A step whose answer lacks what it should keep ends the scenario.

    The steps marked ``cleanup`` are made all the same, as far as what they need was kept. The JSON document that own measures
    look into is a mapping of step name to the JSON that the step got.
    """

    name = "scenario"
    yields_document = True
    options: ClassVar[Mapping[str, Option]] = {
        "base_url": Option(opt.url("http", "https"), "address that the paths of the steps are put behind"),
        "steps": Option(opt.list_of(_step), "the requests, in order", required=True),
        **_http.OPTIONS,
        "max_body": Option(opt.size, "largest body that is read", default=10_000_000),
    }
    measures: ClassVar[Mapping[str, str]] = {"status.*": "count", "latency.*": "time", "latency": "time", "steps": "count"}

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        found = _http.problems(options)
        known: set[str] = set()
        names: set[str] = set()
        if not options["steps"]:
            found.append(Problem("steps", "has no step"))
        for step in options["steps"]:
            where = f"steps[{step['name']}]"
            if step["name"] in names:
                found.append(Problem(where, "the name stands twice"))
            names.add(step["name"])
            if step["path"] is not None and options["base_url"] is None:
                found.append(Problem(where, "has a path, but there is no base_url"))
            unknown = sorted(set(_VARIABLE.findall(step["path"] or "")) - known)
            if unknown:
                found.append(Problem(where, f"{{{unknown[0]}}} was not kept by an earlier step"))
            known |= set(step["keep"])
        return found

    def writes(self, options: Mapping[str, Any]) -> bool:
        return any(step["method"] not in _net.SAFE for step in options["steps"])

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        names = [step["name"] for step in options["steps"]]
        statuses = {f"status.{name}": "count" for name in names}
        return {**statuses, **{f"latency.{name}": "time" for name in names}, "latency": "time", "steps": "count"}

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        seen = Observation(proof={"requests": 0}, document={})
        kept: dict[str, str] = {}
        broken: str | None = None
        with _net.Guard(context) as guard, contextlib.closing(_http.Client(options, context, guard)) as client:
            for step in options["steps"]:
                if broken is not None and not step["cleanup"]:
                    self._missing(seen, step, f"not asked, because {broken}")
                    continue
                needed = [name for name in _VARIABLE.findall(step["path"] or "") if name not in kept]
                if needed:
                    self._missing(seen, step, f"not asked, because {needed[0]} was not kept")
                    continue
                try:
                    self._take(client, options, context, step, kept, seen)
                except ProbeError as error:
                    self._missing(seen, step, str(error))
                    broken = broken or f"the step {step['name']} failed: {error}"
        asked = [value for name, value in seen.measures.items() if name.startswith("latency.")]
        seen.measures["steps"] = len(asked)
        if broken is not None:
            seen.proof["error"] = broken
            seen.missing["latency"] = broken
        else:
            seen.measures["latency"] = sum(float(value) for value in asked)
        return seen

    @staticmethod
    def _missing(seen: Observation, step: Mapping[str, Any], why: str) -> None:
        for measure in (f"status.{step['name']}", f"latency.{step['name']}"):
            if measure not in seen.measures:
                seen.missing[measure] = why

    @staticmethod
    def _take(
        client: _http.Client,
        options: Mapping[str, Any],
        context: Context,
        step: Mapping[str, Any],
        kept: dict[str, str],
        seen: Observation,
    ) -> None:
        """One step: ask, note what came back, keep what later steps need. Raises ProbeError when the scenario cannot go on."""
        url = step["url"]
        if url is None:
            path = _VARIABLE.sub(lambda found: quote(kept[found.group(1)], safe=""), step["path"])
            url = options["base_url"].rstrip("/") + "/" + path.lstrip("/")
        asked = {**options, "method": step["method"], "url": url, "json": step["json"], "body": None, "follow": False}
        answer = ask(client, asked, context)
        seen.proof["requests"] += 1
        seen.measures[f"status.{step['name']}"] = answer.status
        seen.measures[f"latency.{step['name']}"] = answer.latency
        document = None
        with contextlib.suppress(ValueError, RecursionError):
            document = json.loads(answer.body)
            seen.document[step["name"]] = document
        if not step["keep"]:
            return
        try:
            import jmespath
        except ImportError as error:
            raise LibraryMissing("jmespath") from error
        for name, expression in step["keep"].items():
            try:
                value = jmespath.search(expression, document)
            except jmespath.exceptions.JMESPathError as error:
                raise ProbeError(f"{expression!r}: {str(error).splitlines()[0]}") from error
            if value is None or isinstance(value, (dict, list)):
                raise ProbeError(f"the answer (status {answer.status}) has no {expression!r} to keep as {name}")
            kept[name] = units.show(value) if not isinstance(value, str) else value
