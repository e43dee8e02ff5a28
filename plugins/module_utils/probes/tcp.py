# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Whether a TCP port accepts a connection, and how quickly."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe


class TcpProbe(Probe):
    """Opens one TCP connection and closes it.

    A refused connection is an answer (``open`` is false); a name that does not resolve, or no answer in time, is one too.
    """

    name = "tcp"
    options: ClassVar[Mapping[str, Option]] = {
        "host": Option(opt.text, "name or address to connect to", default="127.0.0.1"),
        "port": Option(opt.integer(1, 65535), "port to connect to", required=True),
    }
    measures: ClassVar[Mapping[str, str]] = {"open": "flag", "latency": "time"}

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        begun = context.clock()
        observation = Observation(proof={"connections": 1})
        try:
            with socket.create_connection((options["host"], options["port"]), timeout=context.remaining()):
                observation.measures = {"open": True, "latency": context.clock() - begun}
        except OSError as error:
            observation.measures = {"open": False}
            observation.missing = {"latency": f"no connection: {error.strerror or error}"}
            observation.proof["error"] = str(error.strerror or error)
        return observation
