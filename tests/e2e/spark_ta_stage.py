# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that inventories/spark_ta is for: a Docker engine, an nginx with a site, and a Redis volume with data in it.

Images, containers, ports and directories are its own; the engine is the private one of the tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import redis

from tests.conftest import CACHE, ROOT, AnsibleResult, ansible_environment, answers, wait_until

DOCKER = CACHE / "bin" / "docker"
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
KEYS = 500
"""Keys that were in Redis before the first cutover."""


class SparkTa:
    """One machine. ``run("cutover", "1.0.0")`` plays a playbook on it, as its operator does."""

    def __init__(
        self, root: Path, base: int, collections: Path, engine: Mapping[str, str], python_image: str, redis_image: str
    ) -> None:
        self.root = root
        self.base = base
        self.collections = collections
        self.engine = dict(engine)
        self.python_image, self.base_redis_image = python_image, redis_image
        self.key = f"spark{secrets.token_hex(3)}"
        self.image = f"golive-test/{self.key}"
        self.volume = f"{self.key}-data"
        self.home = root / "home"
        self.reports = root / "reports"
        self.logs = root / "logs"
        self.nginx = root / "nginx"
        self.front, self.web, self.redis_port, self.executor = base, base + 1, base + 2, base + 3
        self.canaries = {
            "vault_telegram_bot_token": f"CANARY-{secrets.token_hex(12)}",
            "vault_telegram_chat_id": f"CANARY-{secrets.token_hex(12)}",
        }
        self.variables: dict[str, Any] = {
            **self.canaries,
            "ansible_python_interpreter": sys.executable,
            "cutover_home": str(self.home),
            "cutover_reports_dir": str(self.reports),
            "hypercare_scheduler": "none",
            "deploy_compose_project": self.key,
            "deploy_compose_pull": "never",
            "deploy_compose_docker_host": engine["DOCKER_HOST"],
            "deploy_compose_docker_cli": str(DOCKER),
            "spark_browser": False,
            "spark_container_prefix": f"{self.key}-",
            "spark_image": self.image,
            "spark_redis_image": f"{self.image}-redis:7.0",
            "spark_redis_volume": self.volume,
            "spark_front_port": self.front,
            "spark_web_port": self.web,
            "spark_redis_port": self.redis_port,
            "spark_executor_port": self.executor,
            "nginx_streaming_binary": str(CACHE / "bin/nginx"),
            "nginx_streaming_prefix": str(self.nginx),
            "nginx_streaming_config": str(self.nginx / "nginx.conf"),
            "nginx_streaming_http_dir": str(self.nginx / "conf.d"),
            "nginx_streaming_server_dir": str(self.nginx / "server.d"),
        }
        self.background = contextlib.ExitStack()
        """What runs beside the operator, ended with the machine."""
        self.logs.mkdir(parents=True)

    # -- the machine

    def start(self, releases: Sequence[str]) -> None:
        """Build an image for each release, fill the volume of Redis, and start nginx."""
        for release in releases:
            self.build(release)
        for version in ("7.0", "7.1"):
            self._build_redis(version)
        self._fill_redis()
        self._start_nginx()

    def build(self, release: str) -> None:
        """Build the image of a release from the demo's Dockerfile; the label makes it this machine's alone."""
        arguments = ["--build-arg", f"BASE={self.python_image}", "--build-arg", f"RELEASE={release}"]
        self.docker("build", "-q", *arguments, "--label", f"stage={self.key}", "-t", f"{self.image}:{release}", str(ROOT / "demo"))

    def _build_redis(self, version: str) -> None:
        context = self.root / f"redis-{version}"
        context.mkdir()
        text = f"FROM {self.base_redis_image}\nLABEL version={version} stage={self.key}\n"
        (context / "Dockerfile").write_text(text, encoding="utf-8")
        self.docker("build", "-q", "-t", f"{self.image}-redis:{version}", str(context))

    def _fill_redis(self) -> None:
        """The Redis of before: a snapshot in its volume, and no append-only file."""
        self.docker("volume", "create", self.volume)
        name = f"{self.key}-before"
        port = f"127.0.0.1:{self.redis_port}:6379"
        self.docker("run", "-d", "--name", name, "-v", f"{self.volume}:/data", "-p", port, f"{self.image}-redis:7.0")
        link = self.redis()
        wait_until(lambda: _pings(link), what="the Redis of before")
        with link.pipeline() as pipe:
            for number in range(KEYS):
                pipe.set(f"order:{number}", number)
            pipe.execute()
        link.save()
        self.docker("rm", "-f", name)

    def _start_nginx(self) -> None:
        for part in ("conf.d", "server.d", "logs", "tmp"):
            (self.nginx / part).mkdir(parents=True)
        template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(
            (ROOT / "demo/nginx/nginx.conf.j2").read_text(encoding="utf-8")
        )
        site = template.render(
            prefix=self.nginx,
            listen=f"127.0.0.1:{self.front}",
            web_upstreams=[f"127.0.0.1:{self.web}"],
            user="root" if os.geteuid() == 0 else "",
            log_level="warn",
        )
        (self.nginx / "nginx.conf").write_text(site, encoding="utf-8")
        self._nginx()
        wait_until(lambda: answers(self.front), what="nginx")

    def _nginx(self, *arguments: str) -> None:
        command = [str(CACHE / "bin/nginx"), "-p", str(self.nginx), "-c", str(self.nginx / "nginx.conf"), *arguments]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=30)

    def close(self) -> None:
        """End and remove everything, images included."""
        self.background.close()
        if (self.nginx / "nginx.pid").exists():
            self._nginx("-s", "stop")
        for container in self.docker("ps", "-aq", "--filter", f"name=^{self.key}-").split():
            self.docker("rm", "-f", container)
        for network in self.docker("network", "ls", "-q", "--filter", f"name=^{self.key}_").split():
            self.docker("network", "rm", network)
        self.docker("volume", "rm", "-f", self.volume)
        images = self.docker("image", "ls", "-q", "--filter", f"label=stage={self.key}").split()
        for image in dict.fromkeys(images):
            self.docker("image", "rm", "-f", image)

    def docker(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(DOCKER), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=self.engine, timeout=180
        )
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def inspect(self, service: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.docker("inspect", f"{self.key}-{service}"))[0]
        return found

    def ids(self) -> dict[str, str]:
        """Service to the id of its container."""
        return {name: self.inspect(name)["Id"] for name in ("spark-redis", "executor-1", "executor-2", "web-next-1")}

    def image_id(self, release: str) -> str:
        return self.docker("image", "inspect", "--format", "{{.Id}}", f"{self.image}:{release}")

    def redis(self) -> redis.Redis:
        return redis.Redis(port=self.redis_port, socket_timeout=5, decode_responses=True)

    def kill_redis(self) -> None:
        """End redis-server with SIGKILL, and wait until the engine has brought it back."""
        before = self.inspect("spark-redis")["State"]["Pid"]
        os.kill(before, 9)

        def back() -> bool:
            state = self.inspect("spark-redis")["State"]
            return state["Pid"] not in (0, before) and state["Health"]["Status"] == "healthy" and _pings(self.redis())

        wait_until(back, 30, "Redis after SIGKILL")

    # -- the operator

    def run(self, playbook: str, release: str | None = None, *arguments: str, **variables: Any) -> AnsibleResult:
        """Run a playbook of the repository. What differs on this machine goes through a file, as it holds secrets."""
        extra = {**self.variables, **variables}
        file = self.root / "vars.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(extra), encoding="utf-8")
        command = [sys.executable, str(PLAYBOOK), "-i", "inventories/spark_ta", f"playbooks/{playbook}.yml"]
        command += [*(["-e", f"cutover_release={release}"] if release else []), "-e", f"@{file}", *arguments]
        environment = ansible_environment(self.collections, self.root / "ah")
        begun = time.monotonic()
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
        )
        result = AnsibleResult(done.returncode, done.stdout, done.stderr, command)
        name = f"{len(list(self.logs.iterdir())):02d}-{playbook}-{release or 'none'}.log"
        (self.logs / name).write_text(f"{result.output}\nafter {time.monotonic() - begun:.1f} s\n", encoding="utf-8")
        return result

    @property
    def store(self) -> Path:
        return self.home / "golive.db"

    def decision(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.reports / "spark_ta/latest/decision.json").read_text(encoding="utf-8"))
        return found


def _pings(link: redis.Redis) -> bool:
    try:
        return bool(link.ping())
    except redis.RedisError:
        return False
