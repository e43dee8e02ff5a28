# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Every probe, by the key that a check uses for it. A new probe is one file beside this one and one line here.

The imports are written out, because Ansible sends a remote module only what it sees imported. They are cheap: a probe imports
its protocol library when it looks, not before.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Probe
from ansible_collections.golive.cutover.plugins.module_utils.probes.command import CommandProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.env_file import EnvFileProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.http import HttpProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.metrics import MetricsProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.redis import RedisProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.scenario import ScenarioProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.sse import SseProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.tcp import TcpProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.tls import TlsProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.websocket import WebsocketProbe

PROBES: Mapping[str, Probe] = {
    probe.name: probe
    for probe in (
        CommandProbe(),
        EnvFileProbe(),
        HttpProbe(),
        MetricsProbe(),
        RedisProbe(),
        ScenarioProbe(),
        SseProbe(),
        TcpProbe(),
        WebsocketProbe(),
        TlsProbe(),
    )
}
