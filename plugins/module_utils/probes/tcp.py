# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Whether a TCP port accepts a connection, and how quickly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import ProbeError
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.probes import _net
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Context, Observation, Probe


class TcpProbe(Probe):
    """Opens one TCP connection and closes it.

    A refused connection is an answer: ``open`` is false. Silence, a name that does not resolve or a host without a
    route are not: a check that wants a port closed must not pass because the network is broken.
    """

    name = "tcp"
    options: ClassVar[Mapping[str, Option]] = {
        "host": Option(opt.text, "name or address to connect to", default="127.0.0.1"),
        "port": Option(opt.integer(1, 65535), "port to connect to", required=True),
    }
    measures: ClassVar[Mapping[str, str]] = {"open": "flag", "latency": "time"}

    def look(self, options: Mapping[str, Any], context: Context) -> Observation:
        begun = context.clock()
        where = f"{options['host']}:{options['port']}"
        try:
            connection = _net.connect(options["host"], options["port"], context)
        except ConnectionRefusedError:
            return Observation(
                measures={"open": False},
                proof={"connections": 1, "answer": "refused"},
                missing={"latency": "no connection: refused"},
            )
        except OSError as error:
            raise ProbeError(f"{where}: {_net.describe(error)}") from error
        latency = context.clock() - begun
        peer = connection.getpeername()
        connection.close()
        return Observation(
            measures={"open": True, "latency": latency},
            proof={"connections": 1, "answer": "accepted", "address": str(peer[0])},
        )
