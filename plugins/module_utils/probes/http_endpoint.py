# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What an HTTP endpoint answers: status, headers, body, and how quickly, once or many times."""

from __future__ import annotations

import contextlib
import json
import math
import queue
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Optional

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import percentiles
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option, Secret, reveal
from ansible_collections.golive.cutover.plugins.module_utils.probes import _http, _net
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe


@dataclass
class Answer:
    """One whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    size: int
    charset: Optional[str]
    url: str
    latency: float
    first_byte: float
    redirects: int


class HttpProbe(Probe):
    """Asks an HTTP endpoint, once or ``requests`` times, and reads the whole answer.

    An endpoint that cannot be reached, does not answer completely in time or sends a larger body than ``max_body``
    could not be measured. With several requests a failed one is counted in ``error_ratio``, as is a status of 500 or
    more.
    """

    name = "http"
    yields_document = True
    options: ClassVar[Mapping[str, Option]] = {
        "url": Option(opt.url("http", "https"), "address, http:// or https://", required=True),
        "method": Option(opt.choice(*_net.METHODS), "request method", default="GET"),
        **_http.OPTIONS,
        "body": Option(opt.secret_text, "request body as a text; may be {secret: NAME}"),
        "json": Option(opt.anything, "request body as data, sent as JSON; values in it may be {secret: NAME}"),
        "follow": Option(opt.flag, "follow redirects", default=False),
        "requests": Option(opt.integer(1, 100_000), "how many requests to make", default=1),
        "concurrency": Option(opt.integer(1, 256), "how many of them at the same time", default=1),
        "max_body": Option(opt.size, "largest body that is read", default=10_000_000),
    }
    measures: ClassVar[Mapping[str, str]] = {
        "status": "count",
        "latency": "time",
        "first_byte": "time",
        "size": "size",
        "redirects": "count",
        "url": "text",
        "location": "text",
        "body": "text",
        "json": "flag",
        "completed": "count",
        "error_ratio": "ratio",
        **{f"p{percent}": "time" for percent in percentiles.USUAL},
        "max": "time",
        "latencies": "samples",
        "header.*": "text",
        "header_number.*": "count",
    }

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        found = _http.problems(options)
        if options["body"] is not None and options["json"] is not None:
            found.append(Problem("json", "give either body or json"))
        if options["concurrency"] > options["requests"]:
            found.append(Problem("concurrency", f"is {options['concurrency']}, but only {options['requests']} requests are made"))
        return found

    def writes(self, options: Mapping[str, Any]) -> bool:
        return options["method"] not in _net.SAFE

    def measures_for(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        """One request has a latency, several have percentiles: a latency of which one would be a guess."""
        several = [f"p{percent}" for percent in percentiles.USUAL] + ["max", "latencies"]
        unfit = ["latency", "first_byte"] if options["requests"] > 1 else several
        return {name: kind for name, kind in self.measures.items() if name not in unfit}

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        with _net.Guard(context) as guard:
            if options["requests"] == 1:
                with contextlib.closing(_http.Client(options, context, guard)) as client:
                    answer = ask(client, options, context)
                seen = self._one(answer, context)
                seen.measures.update({"latency": answer.latency, "first_byte": answer.first_byte})
                seen.measures.update({"completed": 1, "error_ratio": float(answer.status >= 500)})
                return seen
            return self._many(options, context, guard)

    def _one(self, answer: Answer, context: Context) -> Observation:
        """What one answer says."""
        text = answer.body.decode(_charset(answer), errors="replace")
        seen = Observation(
            measures={
                "status": answer.status,
                "size": answer.size,
                "redirects": answer.redirects,
                "url": answer.url,
                "body": text,
                "json": False,
            },
            proof={"requests": 1, "bytes": answer.size},
        )
        with contextlib.suppress(ValueError, RecursionError):
            seen.document = json.loads(answer.body)
            seen.measures["json"] = True
        for name, value in answer.headers.items():
            seen.measures[f"header.{name}"] = value
            number = _number(value)
            if number is not None:
                seen.measures[f"header_number.{name}"] = number
        if "location" in answer.headers:
            seen.measures["location"] = answer.headers["location"]
        else:
            seen.missing["location"] = "the answer has no header Location"
        with contextlib.suppress(KeyError, ValueError, TypeError):
            seen.proof["age"] = round(context.now() - parsedate_to_datetime(answer.headers["date"]).timestamp(), 1)
        return seen

    def _many(self, options: Mapping[str, Any], context: Context, guard: _net.Guard) -> Observation:
        """Several requests:

        Everything that is judged is over all of them, and an answer that differs is said to differ.
        """
        wanted = int(options["requests"])
        answers, errors = _rounds(options, context, guard)
        if len(answers) + len(errors) < wanted:
            raise ProbeError(
                f"{options['url']}: {len(answers)} of {wanted} requests had been answered when the time ran out"
                + (f"; {len(errors)} failed, the last one: {errors[-1]}" if errors else "")
            )
        seen = self._one(answers[-1], context) if answers else Observation()
        seen.proof.update({"requests": wanted, "completed": len(answers), "bytes": sum(answer.size for answer in answers)})
        seen.measures["completed"] = len(answers)
        seen.measures["error_ratio"] = (len(errors) + sum(answer.status >= 500 for answer in answers)) / wanted
        statuses = Counter(answer.status for answer in answers)
        if errors:
            seen.proof["error"] = errors[-1]
        if errors or len(statuses) > 1:
            seen.measures.pop("status", None)
            shown = [f"{count} x {status}" for status, count in sorted(statuses.items())]
            shown += [f"{len(errors)} without an answer"] if errors else []
            seen.missing["status"] = f"the answers differ: {', '.join(shown)}"
            seen.proof["statuses"] = {str(status): count for status, count in sorted(statuses.items())}
        self._percentiles(seen, [answer.latency for answer in answers], len(errors))
        return seen

    @staticmethod
    def _percentiles(seen: Observation, latencies: list[float], failed: int) -> None:
        """Percentiles over all requests.

        One without an answer counts as the slowest of all, so that failing does not look fast.
        """
        seen.proof.update({"samples": len(latencies), "method": percentiles.METHOD})
        samples = [*latencies, *([math.inf] * failed)]
        unanswered = f"{failed} of {len(samples)} requests had no answer"
        known, unknown = percentiles.percentiles(samples, percentiles.USUAL, unanswered)
        seen.measures.update(known)
        seen.missing.update(unknown)
        if failed:
            seen.missing["max"] = seen.missing["latencies"] = unanswered
        else:
            seen.measures["max"] = max(samples)
            seen.sampled("latencies", samples)


def ask(client: _http.Client, options: Mapping[str, Any], context: Context) -> Answer:
    """One request with these options, and its whole answer."""
    headers = {}
    body: Optional[bytes] = None
    if options["json"] is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(_revealed(options["json"])).encode()
    elif options["body"] is not None:
        body = reveal(options["body"]).encode()
    begun = context.clock()
    with client.request(options["method"], options["url"], headers, body, options["follow"]) as reply:
        content = reply.body(options["max_body"])
        return Answer(
            status=reply.status,
            headers=reply.headers,
            body=content,
            size=len(content),
            charset=reply.charset,
            url=reply.url,
            latency=context.clock() - begun,
            first_byte=reply.first_byte,
            redirects=reply.redirects,
        )


def _rounds(options: Mapping[str, Any], context: Context, guard: _net.Guard) -> tuple[list[Answer], list[str]]:
    """All requests, ``concurrency`` at a time, each worker on connections of its own.

    The last answer is the last in time.
    """
    turns: queue.SimpleQueue[None] = queue.SimpleQueue()
    for _number in range(options["requests"]):
        turns.put(None)
    lock = threading.Lock()
    answers: list[Answer] = []
    errors: list[str] = []
    broken: list[Exception] = []

    def work() -> None:
        try:
            with contextlib.closing(_http.Client(options, context, guard)) as client:
                for _turn in _drain(turns):
                    if context.over() or broken:
                        return
                    try:
                        answer = ask(client, options, context)
                    except ProbeError as error:
                        # What was cut off at the deadline is not a failure of the endpoint: there was no time to know.
                        if guard.cut or context.over():
                            return
                        with lock:
                            errors.append(str(error))
                        continue
                    with lock:
                        if answers:
                            # Only the last body is looked at; holding all of them would hold the memory of all of them.
                            answers[-1].body = b""
                        answers.append(answer)
        except Exception as error:
            broken.append(error)

    workers = [threading.Thread(target=work, name="http", daemon=True) for _number in range(options["concurrency"])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if broken:
        raise broken[0]
    return answers, errors


def _drain(turns: queue.SimpleQueue[None]) -> Iterator[None]:
    while True:
        try:
            yield turns.get_nowait()
        except queue.Empty:
            return


def _revealed(value: Any) -> Any:
    """Data with the secrets in it opened, at any depth."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {str(key): _revealed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_revealed(one) for one in value]
    return value


def _charset(answer: Answer) -> str:
    """The encoding of a body: what its header says, else UTF-8."""
    named = answer.charset if "charset" in answer.headers.get("content-type", "").lower() else None
    with contextlib.suppress(LookupError):
        b"".decode(named or "utf-8")
        return named or "utf-8"
    return "utf-8"


def _number(text: str) -> Optional[float]:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None
