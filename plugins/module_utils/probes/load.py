# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""How an endpoint stands a load: a number of requests, or a time of them, from so many connections or at a constant rate."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core import percentiles, units
from ansible_collections.golive.cutover.plugins.module_utils.core.enough import ERRORS as ERROR_SHARE
from ansible_collections.golive.cutover.plugins.module_utils.core.enough import PERCENTILE, Behind
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError, Problem
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option, reveal
from ansible_collections.golive.cutover.plugins.module_utils.probes import _connections as net
from ansible_collections.golive.cutover.plugins.module_utils.probes import _net
from ansible_collections.golive.cutover.plugins.module_utils.probes._load import (
    ERRORS,
    MOST_SAMPLES,
    Generator,
    Plan,
    Tally,
    Target,
)
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe

MOST_RATE = 50_000.0
RESERVED = ("connection", "content-length", "expect", "transfer-encoding")


def _rate(value: Any) -> float:
    quantity = units.parse_quantity(value) if isinstance(value, str) else None
    if quantity is None or quantity[1] != "rate" or not 0 < quantity[0] <= MOST_RATE:
        raise ValueError(f"expected a rate with its unit, such as 50/s or 600/min, of at most {MOST_RATE:g}/s, got {value!r}")
    return quantity[0]


class LoadProbe(Probe):
    """Puts an endpoint under load and counts what comes of it.

    Each answer is read as a whole. A request that finds no connection, has no whole answer in time, is broken off or is answered
    with another status than wanted is an error; it counts as the slowest of all.
    """

    name = "load"
    options: ClassVar[Mapping[str, Option]] = {
        "url": Option(opt.url("http", "https"), "address, http:// or https://", required=True),
        "method": Option(opt.choice(*_net.METHODS), "request method", default="GET"),
        **net.OPTIONS,
        "body": Option(opt.secret_text, "request body as a text; may be {secret: NAME}"),
        "requests": Option(opt.integer(1, 10_000_000), "how many requests to make"),
        "duration": Option(opt.duration, "for how long to make requests"),
        "concurrency": Option(opt.integer(1, 1000), "how many connections at the same time", default=10),
        "rate": Option(_rate, "at which rate requests are due, whether or not earlier ones were answered"),
        "warm_up": Option(opt.duration, "for how long to make requests before those that count", default=0.0),
        "keep_alive": Option(opt.flag, "use a connection for more than one request", default=False),
        "request_timeout": Option(opt.duration, "within which time a request must have its whole answer", default=5.0),
        "least": Option(opt.integer(1), "so many requests are taken to be enough, where a threshold would need more"),
        "accept": Option(opt.list_of(opt.integer(200, 599)), "status that is no error, or a list; 200 to 299 if left out"),
    }
    measures: ClassVar[Mapping[str, str]] = {
        **{f"p{percent}": "time" for percent in percentiles.USUAL},
        "max": "time",
        "mean": "time",
        "error_ratio": "ratio",
        "errors": "count",
        **{f"errors.{kind}": "count" for kind in ERRORS},
        "throughput": "rate",
        "completed": "count",
        "latencies": "samples",
    }

    def problems(self, options: Mapping[str, Any]) -> list[Problem]:
        found = net.problems(options, RESERVED)
        requests, duration = options["requests"], options["duration"]
        if (requests is None) == (duration is None):
            found.append(Problem("requests", "give either requests or duration"))
        if duration is not None and duration <= 0:
            found.append(Problem("duration", "expected more than 0s"))
        if requests is not None and options["concurrency"] > requests:
            found.append(Problem("concurrency", f"is {options['concurrency']}, but only {requests} requests are made"))
        if options["request_timeout"] <= 0:
            found.append(Problem("request_timeout", "expected more than 0s"))
        return found

    def writes(self, options: Mapping[str, Any]) -> bool:
        return options["method"] not in _net.SAFE

    def at_least(self, options: Mapping[str, Any]) -> float:
        if options["duration"] is not None:
            counted = options["duration"]
        else:
            counted = options["requests"] / options["rate"] if options["rate"] else 0.0
        return float(options["warm_up"] + counted)

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        net.allow_files(options["concurrency"])
        tally = Generator(_plan(options), _target(options, context), context).run()
        failed = sum(tally.errors.values())
        if not tally.whole:
            wanted = f" of {options['requests']}" if options["requests"] else ""
            text = f"{options['url']}: {tally.completed}{wanted} requests had been answered when the time ran out"
            raise ProbeError(text + (f"; {failed} failed: {_errors(tally)}" if failed else ""))
        if not tally.begun:
            raise ProbeError(f"{options['url']}: no request could begin, all connections waited for answers of the warm-up")
        seen = Observation()
        seen.proof.update(
            {
                "requests": tally.begun,
                "completed": tally.completed,
                "samples": len(tally.latencies.kept),
                "method": percentiles.METHOD,
                "model": "closed" if options["rate"] is None else "open",
                "concurrency": options["concurrency"],
                "connections": tally.connections,
                "window": round(tally.window, 3),
                "bytes": tally.size,
                "statuses": {str(status): count for status, count in sorted(tally.statuses.items())},
                "busy": round(tally.busy, 2),
            }
        )
        if tally.latencies.count > MOST_SAMPLES:
            seen.proof["sampled_from"] = tally.latencies.count
        if options["warm_up"]:
            seen.proof["warm_up"] = {"requests": tally.warm, "errors": tally.warm_errors}
        if options["rate"] is not None:
            seen.proof.update({"rate": options["rate"], "queued": tally.queued, "longest_wait": round(tally.late, 4)})
        if failed:
            seen.proof["error"] = _errors(tally)
        seen.measures.update({f"errors.{kind}": tally.errors[kind] for kind in ERRORS})
        seen.measures.update(
            {
                "errors": failed,
                "error_ratio": failed / tally.begun,
                "completed": tally.completed,
                "throughput": tally.good / tally.window,
            }
        )
        seen.behind["error_ratio"] = Behind(tally.begun, "requests", ERROR_SHARE, least=options["least"])
        kept = len(tally.latencies.kept)
        for percent in percentiles.USUAL:
            seen.behind[f"p{percent}"] = Behind(kept, "requests", PERCENTILE, percent=percent, least=options["least"])
        _latencies(seen, tally, failed)
        # One that failed took as long as it may take, so that failing does not look fast.
        seen.sampled("latencies", (min(one, options["request_timeout"]) for one in tally.latencies.kept))
        return seen


def _latencies(seen: Observation, tally: Tally, failed: int) -> None:
    why = f"{failed} of {tally.begun} requests failed"
    known, unknown = percentiles.percentiles(tally.latencies.kept, percentiles.USUAL, why)
    seen.measures.update(known)
    seen.missing.update(unknown)
    if failed:
        seen.missing.update({"max": why, "mean": why})
    else:
        seen.measures.update({"max": tally.slowest, "mean": tally.total / tally.good})


def _errors(tally: Tally) -> str:
    """What went wrong, with one example of each kind."""
    return "; ".join(f"{tally.errors[kind]} {kind} ({tally.examples[kind]})" for kind in ERRORS if tally.errors[kind])


def _plan(options: Mapping[str, Any]) -> Plan:
    accept = options["accept"]
    wanted = frozenset(accept) if accept else frozenset(range(200, 300))
    return Plan(
        request=_request(options),
        bodiless=options["method"] == "HEAD",
        requests=options["requests"],
        duration=options["duration"],
        concurrency=options["concurrency"],
        rate=options["rate"],
        warm_up=options["warm_up"],
        timeout=options["request_timeout"],
        keep_alive=options["keep_alive"],
        wanted=wanted.__contains__,
    )


def _request(options: Mapping[str, Any]) -> bytes:
    """The request, the same each time."""
    parts = urlsplit(options["url"])
    try:
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host.encode("idna").decode("ascii")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        target = path.encode("utf-8").decode("latin-1").replace(" ", "%20")
    except UnicodeError as error:
        raise ProbeError(f"{options['url']}: the address has characters that are not allowed") from error
    standard = 443 if parts.scheme == "https" else 80
    lines = {
        "Host": host if parts.port in (None, standard) else f"{host}:{parts.port}",
        "Accept": "*/*",
        "User-Agent": "golive.cutover",
        "Connection": "keep-alive" if options["keep_alive"] else "close",
    }
    body = reveal(options["body"]).encode() if options["body"] is not None else b""
    if body or options["method"] in ("POST", "PUT", "PATCH"):
        lines["Content-Length"] = str(len(body))
    own = net.own_headers(options)
    given = {name.lower() for name in own}
    lines = {**{name: value for name, value in lines.items() if name.lower() not in given}, **own}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{options['method']} {target} HTTP/1.1\r\n{text}\r\n".encode("latin-1") + body


def _target(options: Mapping[str, Any], context: Context) -> Target:
    """Where the requests go: one address for all of them. Raises ProbeError when the name has none."""
    parts = urlsplit(options["url"])
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    addresses = _net.resolve(host, parts.port or (443 if secure else 80), context)
    chosen = addresses[0]
    if len(addresses) > 1:
        # With one address alone nothing is tried, so that the service sees the requests of the plan and nothing else.
        chosen = next((one for one in addresses if _accepts(one, context)), chosen)
    tls = net.tls_context(options["verify"]) if secure else None
    return Target(int(chosen[0]), chosen[1], tls, host)


def _accepts(address: _net.Address, context: Context) -> bool:
    with socket.socket(address[0], socket.SOCK_STREAM) as trial:
        trial.settimeout(min(context.remaining(), 1.0))
        return trial.connect_ex(address[1]) == 0
