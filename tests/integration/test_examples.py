# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of every module are run as they stand, except for the places and names of a machine."""

from __future__ import annotations

import dataclasses
import importlib
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import CACHE, Alertmanager, Nginx, Prometheus, RedisServer, _tool
from tests.integration.notify.conftest import MailStandIn

MODULES = sorted(path.stem for path in (Path(__file__).resolve().parents[2] / "plugins/modules").glob("*.py"))
IN_DOCKER = {"compose_release"}


@dataclasses.dataclass
class Scene:
    """What the examples of a module need: other texts in place of theirs, variables, tasks before, between and after."""

    replace: dict[str, str] = dataclasses.field(default_factory=dict)
    variables: dict[str, Any] = dataclasses.field(default_factory=dict)
    defaults: dict[str, Any] = dataclasses.field(default_factory=dict)
    before: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    between: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    after: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Stage:
    """What a scene is made from."""

    place: Path
    fixture: Callable[[str], Any]
    ended: list[Callable[[], None]] = dataclasses.field(default_factory=list)
    """What is to be ended after the examples."""

    def store(self) -> Scene:
        return Scene({"sqlite:///var/lib/golive/golive.db": f"sqlite://{self.place}/golive.db"})

    ledger = lock = release = store

    def baseline(self) -> Scene:
        redis: RedisServer = self.fixture("redis_server")()
        known = {"ansible.builtin.assert": {"that": "kept.baseline['L-001'].latency > 0"}}
        return Scene({**self.store().replace, "port: 6379": f"port: {redis.port}"}, after=[known])

    def check(self) -> Scene:
        text = "server { listen 127.0.0.1:@PORT@; default_type text/html; location / { return 200 ok; } }"
        server: Nginx = self.fixture("nginx")(text)
        redis: RedisServer = self.fixture("redis_server")()
        good = [
            "look.verdicts | map(attribute='status') | unique == ['pass']",
            "ui.verdicts | map(attribute='status') | unique == ['pass']",
            "(cutover_reports_dir ~ '/shop/run-1/' ~ ui.verdicts[0].artefacts[0].file) is file",
        ]
        _tool("debs.py", "chromium")
        return Scene(
            {"http://127.0.0.1:3000": server.url, "port: 6379": f"port: {redis.port}"},
            {"cutover_reports_dir": str(self.place), "cutover_environment": "shop", "cutover_run": {"id": "run-1"}},
            after=[{"ansible.builtin.assert": {"that": good}}],
            environment={"PATH": f"{CACHE / 'bin'}:{os.environ['PATH']}"},
        )

    def canary(self) -> Scene:
        answer = 'location / { default_type application/json; return 200 \'{"status": "PASS"}\'; }'
        server: Nginx = self.fixture("nginx")(f"server {{ listen 127.0.0.1:@PORT@; {answer} }}")
        good = [
            "canary.verdict.status == 'pass'",
            "gate.verdicts[0].status == 'inconclusive'",
            "(cutover_reports_dir ~ '/shop/run-1/' ~ canary.verdict.artefacts[0].file) is file",
        ]
        return Scene(
            {**self.store().replace, "http://127.0.0.1:3000": server.url},
            {"cutover_reports_dir": str(self.place), "cutover_environment": "shop", "cutover_run": {"id": "run-1"}},
            after=[{"ansible.builtin.assert": {"that": good}}],
        )

    def go_no_go(self) -> Scene:
        return Scene()

    def env_file(self) -> Scene:
        (self.place / ".env.example").write_text("TELEGRAM_CHAT_ID=-100123\nNOTIFY_ALLOWED_HOSTS=a.example,b.example\n")
        return Scene({"/srv/app": str(self.place)}, {"vault_telegram_bot_token": "CANARY-1"})

    def nginx_dropin(self) -> Scene:
        text = "server { listen 127.0.0.1:@PORT@; include golive.d/*.conf; }"
        server: Nginx = self.fixture("nginx")(text, {"golive.d/none.conf": "# nothing\n"})
        how = {"binary": server.binary, "config": str(server.config), "prefix": str(server.directory)}
        places = {"/etc/nginx": str(server.directory), "/var/lib/golive": str(self.place)}
        return Scene(places, {"cutover_run": {"id": "run-1"}}, how)

    def monitoring_config(self) -> Scene:
        rules = self.place / "rules"
        rules.mkdir()
        prometheus: Prometheus = self.fixture("prometheus")(config=f"rule_files: ['{rules}/*.yml']\n")
        alertmanager: Alertmanager = self.fixture("alertmanager")()
        replace = {
            "/etc/prometheus/rules": str(rules),
            "/etc/prometheus/prometheus.yml": str(prometheus.directory / "prometheus.yml"),
            "/etc/prometheus/alertmanager.yml": str(alertmanager.config),
            "http://127.0.0.1:9090": prometheus.url,
            "http://127.0.0.1:9093": alertmanager.url,
        }
        return Scene(replace, environment={"PATH": f"{CACHE / 'bin'}:{os.environ['PATH']}"})

    def notify(self) -> Scene:
        server: Nginx = self.fixture("nginx")("server { listen 127.0.0.1:@PORT@; location / { return 200 ok; } }")
        mails = MailStandIn(None)
        self.ended.append(mails.close)
        replace = {
            "sqlite:///var/lib/golive/golive.db": f"sqlite://{self.place}/golive.db",
            "host: mail.example.org": f"host: localhost\n        port: {mails.port}\n        security: none",
        }
        variables = {
            "notify_allowed_hosts": ["localhost", "api.telegram.org"],
            "notify_secrets": {"slack_webhook": f"http://localhost:{server.port}/", "telegram_bot_token": "1:CANARY"},
        }
        good = {"that": "told.results | map(attribute='status') | list == ['sent', 'sent']"}
        return Scene(replace, variables, after=[{"ansible.builtin.assert": good}])

    def sample(self) -> Scene:
        page = "alerts_active 3\\nnotifications_sent_total 5\\nother 1\\n"
        text = "server { listen 127.0.0.1:@PORT@; default_type text/plain; location / { return 200 '" + page + "'; } }"
        server: Nginx = self.fixture("nginx")(text)
        good = {"that": ["seen.series['executor-1'] == 2", "seen.failed_pages == {}"]}
        replace = {**self.store().replace, "http://127.0.0.1:4001": server.url}
        return Scene(replace, after=[{"ansible.builtin.assert": good}])

    def sampler(self) -> Scene:
        return Scene({**self.sample().replace, "/var/lib/golive": str(self.place)})

    def hypercare(self) -> Scene:
        place = {"store": f"sqlite://{self.place}/golive.db", "environment": "spark-ta"}
        data = {"kind": "cutover", "decision": "go", "release": "1.0.0"}
        go = {"golive.cutover.ledger": {**place, "run": "run-1", "event": "run_ended", "data": data}}
        good = ["watch.chosen.name == 'T+0'", "judged.verdicts | map(attribute='status') == ['inconclusive']"]
        return Scene(self.store().replace, before=[go], after=[{"ansible.builtin.assert": {"that": good}}])

    def leader_lock(self) -> Scene:
        redis: RedisServer = self.fixture("redis_server")()
        replace = {"redis://127.0.0.1:6379/0": redis.url}
        for number in (1, 2):
            health = f'location /health {{ return 200 \'{{"instance": "executor-{number}", "leader": false}}\'; }}'
            metrics = 'location /metrics { return 200 "leader 0\\n"; }'
            text = f"server {{ listen 127.0.0.1:@PORT@; default_type text/plain; {health} {metrics} }}"
            server: Nginx = self.fixture("nginx")(text)
            replace[f"http://127.0.0.1:400{number}"] = server.url
        with socket.create_connection(("127.0.0.1", redis.port), timeout=5) as link:
            link.sendall(b"SET spark:alerts:scheduler:lock executor-1:7:aa\r\n")
            link.recv(64)
        good = {"that": ["scheduler.finding == 'stale'", "scheduler.lock.holder == 'executor-1'"]}
        return Scene(replace, after=[{"ansible.builtin.assert": good}])

    def watch(self) -> Scene:
        known = self.hypercare()
        server: Nginx = self.fixture("nginx")("server { listen 127.0.0.1:@PORT@; location / { return 200 ok; } }")
        good = ["look.changes == []", "look.stop is none", "'W-1 ' in look.line"]
        replace = {**known.replace, "http://127.0.0.1:3000": server.url}
        return Scene(replace, before=known.before, after=[{"ansible.builtin.assert": {"that": good}}])

    def python_libraries(self) -> Scene:
        known = {"ansible.builtin.assert": {"that": f"found.python == '{sys.executable}'"}}
        return Scene({"/var/lib/golive/toolbox/bin/python": sys.executable}, defaults={"own": False}, after=[known])

    def redis_aof(self) -> Scene:
        start = self.fixture("redis_server")
        first: RedisServer = start({"save": "3600 1", "requirepass": "CANARY-2"})
        second: RedisServer = start({"save": "3600 1"})
        replace = {
            "6380": str(second.port),
            "/srv/app/redis/redis.conf": str(second.config),
            "/srv/app/redis/data": str(second.directory),
        }
        return Scene(replace, {"vault_redis_password": "CANARY-2"}, {"port": first.port, "min_free": "1B"})

    def release_dir(self) -> Scene:
        for release in ("0.9.0", "1.0.0"):
            (self.place / "builds" / release).mkdir(parents=True)
            (self.place / "builds" / release / "app.py").write_text(f"print('{release}')\n")
        releases = f"{self.place}/releases"
        earlier = {"path": releases, "release": "0.9.0", "source": f"{self.place}/builds/0.9.0"}
        replace = {
            "/var/lib/golive/releases": releases,
            "builds/1.0.0": f"{self.place}/builds/1.0.0",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08": '"{{ earlier.digest }}"',
        }
        whole = {"ansible.builtin.assert": {"that": "previous_release.problems == []"}}
        return Scene(replace, before=[{"golive.cutover.release_dir": earlier, "register": "earlier"}], after=[whole])

    def report(self) -> Scene:
        verdicts = [{"id": "S-003", "title": "Works", "status": "fail", "reason": "status is 500", "measures": {}}]
        variables = {
            "cutover_reports_dir": str(self.place),
            "cutover_environment": "spark_ta",
            "cutover_secrets": {"token": "CANARY-3"},
            "look": {"verdicts": verdicts},
            "look_again": {"verdicts": [{**verdicts[0], "status": "pass", "reason": "status 200"}]},
            "my_run": {"id": "r1", "environment": "spark_ta", "decision": "go", "reasons": [], "hosts": {}},
        }
        return Scene({"/srv/reports": f"{self.place}/more"}, variables)

    def signoff(self) -> Scene:
        known = {"store": f"sqlite://{self.place}/golive.db", "environment": "spark-ta"}
        ended = {"run": "run-1", "event": "run_ended", "data": {"kind": "cutover", "decision": "go"}}
        one_is_missing = {"that": "signed.signoff.missing == ['Development Lead']"}
        return Scene(
            self.store().replace,
            before=[{"golive.cutover.ledger": {**known, **ended}}],
            after=[{"ansible.builtin.assert": one_is_missing}],
        )

    def supervisor_programs(self) -> Scene:
        (self.place / "releases/1.0.0").mkdir(parents=True)
        replace = {
            "/var/lib/golive/toolbox/bin/python": sys.executable,
            "/var/lib/golive": str(self.place),
            "port: 8000": f"port: {self.fixture('free_port')()}",
        }
        stop = {"directory": f"{self.place}/supervisor", "python": sys.executable, "release": "1.0.0"}
        stop |= {"release_dir": f"{self.place}/releases/1.0.0", "state": "stopped"}
        return Scene(replace, after=[{"golive.cutover.supervisor_programs": stop}])

    def compose_release(self) -> Scene:
        environment: dict[str, str] = self.fixture("docker_engine")
        directory = self.place / "releases/1.0.0"
        directory.mkdir(parents=True)
        image = self.fixture("docker_image")("redis")
        web = {"image": image, "init": True, "healthcheck": {"test": ["CMD", "true"], "interval": "1s"}}
        services = {"migrate": {"image": image, "entrypoint": ["true"]}, "web": {**web, "entrypoint": ["sleep", "600"]}}
        (directory / "compose.yml").write_text(yaml.safe_dump({"services": services}))
        where = {"project_src": str(directory), "project_name": "shop-examples", "files": "{{ recorded.files }}"}
        stop = {"release": "1.0.0", "release_dir": str(directory), "project": "shop-examples", "state": "stopped"}
        return Scene(
            {"/var/lib/golive": str(self.place), "project: shop": "project: shop-examples"},
            between=[{"community.docker.docker_compose_v2": {**where, "pull": "never", "wait": False}}],
            after=[{"golive.cutover.compose_release": stop}],
            environment={name: environment[name] for name in ("DOCKER_HOST", "DOCKER_CONFIG", "PATH")},
        )


def _marked(name: str) -> Any:
    in_docker = (pytest.mark.docker, pytest.mark.xdist_group("docker")) if name in IN_DOCKER else ()
    return pytest.param(name, marks=in_docker)


@pytest.fixture
def short_place() -> Iterator[Path]:
    """A directory whose path leaves room for a socket."""
    path = Path(tempfile.mkdtemp(prefix="gl"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.parametrize("name", [_marked(name) for name in MODULES])
def test_the_examples_of_a_module_work(
    name: str, short_place: Path, ansible_playbook: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    stage = Stage(short_place, request.getfixturevalue)
    request.addfinalizer(lambda: [end() for end in stage.ended] and None)
    make = getattr(stage, name, None)
    assert make is not None, f"no test runs the examples of {name}"
    scene: Scene = make()
    text: str = importlib.import_module(f"ansible_collections.golive.cutover.plugins.modules.{name}").EXAMPLES
    for old, new in scene.replace.items():
        assert old in text, old
        text = text.replace(old, new)
    first, *others = yaml.safe_load(text)
    if scene.between:
        first["register"] = "recorded"
    work = [*scene.before, first, *scene.between, *others]
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": scene.variables,
        "module_defaults": {f"golive.cutover.{name}": scene.defaults},
        "tasks": [{"block": work, "always": scene.after}] if scene.after else work,
    }
    done = ansible_playbook([play], env=scene.environment)
    assert done.rc == 0, done.why
