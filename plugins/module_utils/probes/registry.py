# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Every probe, by the key that a check uses for it. A new probe is one file beside this one, one function and one line here.

A probe is imported when it is asked for: on a host Ansible unpacks and compiles each file again for each task, so the probes that
no check uses would cost more than the checks. The imports are written out, because Ansible sends a remote module only what it
sees imported, inside functions too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Probe


def _canary() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.canary import CanaryProbe

    return CanaryProbe()


def _command() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.command import CommandProbe

    return CommandProbe()


def _container() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.container import ContainerProbe

    return ContainerProbe()


def _database() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.database import DatabaseProbe

    return DatabaseProbe()


def _env_file() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.env_file import EnvFileProbe

    return EnvFileProbe()


def _file() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.file import FileProbe

    return FileProbe()


def _host() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.host import HostProbe

    return HostProbe()


def _http() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.http_endpoint import HttpProbe

    return HttpProbe()


def _leader() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.leader import LeaderProbe

    return LeaderProbe()


def _load() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.load import LoadProbe

    return LoadProbe()


def _log() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.log import LogProbe

    return LogProbe()


def _metrics() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.metrics import MetricsProbe

    return MetricsProbe()


def _page() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.page import PageProbe

    return PageProbe()


def _process() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.process import ProcessProbe

    return ProcessProbe()


def _promql() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.promql import PromqlProbe

    return PromqlProbe()


def _redis() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.redis import RedisProbe

    return RedisProbe()


def _scenario() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.scenario import ScenarioProbe

    return ScenarioProbe()


def _sse() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.sse import SseProbe

    return SseProbe()


def _tcp() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.tcp import TcpProbe

    return TcpProbe()


def _tls() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.tls import TlsProbe

    return TlsProbe()


def _websocket() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.websocket import WebsocketProbe

    return WebsocketProbe()


def _window() -> Probe:
    from ansible_collections.golive.cutover.plugins.module_utils.probes.window import WindowProbe

    return WindowProbe()


class Registry(Mapping[str, Probe]):
    """Names to probes; the names are known without importing anything."""

    def __init__(self, makers: Mapping[str, Callable[[], Probe]]) -> None:
        self._makers = makers
        self._made: dict[str, Probe] = {}

    def __getitem__(self, name: str) -> Probe:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


PROBES: Mapping[str, Probe] = Registry(
    {
        "canary": _canary,
        "command": _command,
        "container": _container,
        "database": _database,
        "env_file": _env_file,
        "file": _file,
        "host": _host,
        "http": _http,
        "leader": _leader,
        "load": _load,
        "log": _log,
        "metrics": _metrics,
        "page": _page,
        "process": _process,
        "promql": _promql,
        "redis": _redis,
        "scenario": _scenario,
        "sse": _sse,
        "tcp": _tcp,
        "tls": _tls,
        "websocket": _websocket,
        "window": _window,
    }
)
