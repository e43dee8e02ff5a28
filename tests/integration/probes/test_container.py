# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe container against a real engine: containers that run, are ill, were killed, start over and over, or are not there."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.checks import read_checks
from ansible_collections.golive.cutover.plugins.module_utils.core.runner import run_checks
from ansible_collections.golive.cutover.plugins.module_utils.probes import _docker
from ansible_collections.golive.cutover.plugins.module_utils.probes.base import Observation
from ansible_collections.golive.cutover.plugins.module_utils.probes.container import ContainerProbe
from ansible_collections.golive.cutover.plugins.module_utils.probes.registry import PROBES
from tests.conftest import CACHE, wait_until
from tests.integration.probes.looking import look, mistakes, refused

PROBE = ContainerProbe()
DOCKER = str(CACHE / "bin" / "docker")


class Yard:
    """Containers of one test, removed at its end."""

    def __init__(self, engine: dict[str, str], image: str) -> None:
        self.engine, self.image = engine, image
        self.key = f"probe{secrets.token_hex(3)}"

    def docker(self, *arguments: str) -> str:
        done = subprocess.run([DOCKER, *arguments], env=self.engine, text=True, capture_output=True, check=True)
        return done.stdout.strip()

    def run(self, name: str, *arguments: str, program: str = "import time; time.sleep(600)", service: str = "app") -> str:
        """Start a container; its full name."""
        full = f"{self.key}-{name}"
        labels = ["--label", f"com.docker.compose.project={self.key}", "--label", f"com.docker.compose.service={service}"]
        command = ["run", "-d", "--init", "--name", full, *labels, "--network", "none", *arguments, self.image]
        self.docker(*command, "python3", "-u", "-c", program)
        return full

    def inspect(self, name: str) -> Any:
        return json.loads(self.docker("inspect", name))[0]

    def state(self, name: str) -> str:
        return str(self.inspect(name)["State"]["Status"])

    def crowd(self, count: int) -> None:
        """So many events of another container."""
        import docker

        names = [self.run("other"), f"{self.key}-another"]
        with contextlib.closing(docker.APIClient(base_url=self.engine["DOCKER_HOST"])) as client:
            for _number in range(count):
                client.rename(*names)
                names.reverse()

    def look(self, timeout: float = 10.0, **raw: Any) -> Observation:
        return look(PROBE, timeout, docker_host=self.engine["DOCKER_HOST"], **raw)


@pytest.fixture
def yard(docker_engine: dict[str, str], docker_image: Callable[[str], str]) -> Iterator[Yard]:
    one = Yard(docker_engine, docker_image("python"))
    yield one
    left = one.docker("ps", "-aq", "--filter", f"name={one.key}").split()
    if left:
        one.docker("rm", "-f", *left)


@pytest.mark.docker
@pytest.mark.xdist_group("docker")
class TestContainers:
    def test_one_that_runs(self, yard: Yard) -> None:
        name = yard.run("a", "--memory", "100m")
        seen = yard.look(name=name, over="500ms", since="10m")
        m = seen.measures
        assert (m["total"], m["running"], m["state"], m["restarts"], m["restarts_since"]) == (1, 1, "running", 0, 0)
        assert m["oom_killed"] is False
        assert 0 <= float(m["uptime"]) < 60
        assert 0 <= float(m["cpu"]) < 0.5
        assert 500_000 < float(m["memory"]) < 100_000_000
        assert m["memory_ratio"] == pytest.approx(float(m["memory"]) / (100 * 2**20))
        assert float(m["pids"]) >= 1
        assert m["image"] == yard.image
        assert m["image_id"] == yard.inspect(name)["Image"]
        assert seen.missing == {
            "health": "it has no health check",
            "exit_code": "it is running",
            "digest": "its image comes from no registry",
        }
        assert name in seen.proof["seen"]

    def test_cpu_is_a_share_of_one_core(self, yard: Yard) -> None:
        name = yard.run("busy", "--cpus", "0.3", program="while True: pass")
        seen = yard.look(name=name, over="2s")
        assert 0.2 < float(seen.measures["cpu"]) < 0.4
        assert seen.missing["memory_ratio"] == "its memory has no limit"

    def test_health(self, yard: Yard) -> None:
        check = ["--health-interval", "200ms", "--health-retries", "1", "--health-timeout", "5s", "--health-cmd"]
        good, ill = yard.run("good", *check, "true"), yard.run("ill", *check, "false")
        wait_until(lambda: yard.inspect(good)["State"]["Health"]["Status"] == "healthy", what="health")
        wait_until(lambda: yard.inspect(ill)["State"]["Health"]["Status"] == "unhealthy", what="no health")
        seen = yard.look(project=yard.key, reduce="worst")
        m = seen.measures
        assert (m["total"], m["running"], m["healthy"], m["unhealthy"], m["health"]) == (2, 2, 1, 1, "unhealthy")
        assert yard.look(name=good).measures["health"] == "healthy"

    def test_one_that_ended(self, yard: Yard) -> None:
        name = yard.run("gone", program="raise SystemExit(3)")
        wait_until(lambda: yard.state(name) == "exited", what="the end")
        seen = yard.look(name=name, over="100ms")
        m = seen.measures
        assert (m["running"], m["state"], m["exit_code"], m["oom_killed"]) == (0, "exited", 3, False)
        for measure in ("uptime", "cpu", "memory", "pids"):
            assert seen.missing[measure] == "it is exited"

    def test_one_that_used_too_much_memory(self, yard: Yard) -> None:
        name = yard.run("greedy", "--memory", "20m", "--memory-swap", "20m", program="a = bytearray(200_000_000)")
        wait_until(lambda: yard.state(name) == "exited", what="the end")
        seen = yard.look(name=name)
        assert (seen.measures["oom_killed"], seen.measures["exit_code"]) == (True, 137)

    def test_one_that_is_started_over_and_over(self, yard: Yard) -> None:
        name = yard.run("loop", "--restart", "on-failure:3", program="raise SystemExit(1)")
        wait_until(lambda: yard.state(name) == "exited", what="the end of the loop")
        seen = yard.look(name=name, since="10m")
        assert seen.measures["restarts"] == 3
        assert seen.measures["restarts_since"] == 3

    def test_restarts_by_hand_are_seen_too(self, yard: Yard) -> None:
        name = yard.run("hand")
        yard.docker("restart", "-t", "0", name)
        seen = yard.look(name=name, since="10m")
        assert (seen.measures["restarts"], seen.measures["restarts_since"]) == (0, 1)
        time.sleep(1.1)
        assert yard.look(name=name, since="500ms").measures["restarts_since"] == 0

    def test_a_restart_of_one_whose_making_is_forgotten(self, yard: Yard) -> None:
        """The engine remembers 256 events: those of others push out the older ones."""
        old = yard.run("old")
        yard.crowd(260)
        new = yard.run("new")
        yard.docker("restart", "-t", "0", old, new)
        assert yard.look(name=new, since="10m").measures["restarts_since"] == 1
        seen = yard.look(name=old, since="10m")
        assert "restarts_since" not in seen.measures
        assert "remembers only 256 events" in seen.missing["restarts_since"]

    def test_several_need_a_reduction(self, yard: Yard) -> None:
        yard.run("a", service="one")
        yard.run("b", service="two")
        b = f"{yard.key}-b"
        yard.docker("pause", b)
        plain = yard.look(project=yard.key)
        assert (plain.measures["total"], plain.measures["running"]) == (2, 1)
        assert plain.missing["state"] == "2 containers are meant; say reduce: worst or sum"
        worst = yard.look(project=yard.key, reduce="worst")
        assert (worst.measures["state"], worst.measures["image"]) == ("paused", yard.image)
        assert worst.missing["memory"] == f"{b}: it is paused"
        yard.docker("unpause", b)
        total = yard.look(project=yard.key, reduce="sum")
        each = [float(yard.look(name=f"{yard.key}-{one}").measures["pids"]) for one in "ab"]
        assert total.measures["pids"] == sum(each)
        assert "state" not in {**total.measures, **total.missing}
        assert yard.look(project=yard.key, service="one").measures["total"] == 1
        assert yard.look(label={"com.docker.compose.project": yard.key}).measures["total"] == 2

    def test_what_is_not_there(self, yard: Yard) -> None:
        name = yard.run("a")
        seen = yard.look(name=[name, "nobody"], reduce="worst")
        assert seen.measures["running"] == 1 and seen.measures["total"] == 1
        for measure in ("restarts", "unhealthy", "restarting"):
            assert seen.missing[measure] == "there is no container nobody"
        seen = yard.look(project=yard.key, service=["app", "web"], reduce="worst")
        assert "no container of the service web" in seen.missing["state"]
        seen = yard.look(project="nothing-like-it")
        assert seen.measures["total"] == 0
        assert (seen.measures["running"], seen.measures["healthy"]) == (0, 0)
        for measure in ("state", "unhealthy", "restarting"):
            assert "there is no container of the project" in seen.missing[measure]
        checks = [
            {
                "id": "C",
                "container": {"name": "nobody", "docker_host": yard.engine["DOCKER_HOST"]},
                "critical": {"restarts": "> 0"},
            }
        ]
        assert run_checks(read_checks(checks, PROBES, {}), PROBES)[0]["status"] == "inconclusive"

    def test_containers_of_compose_run_do_not_count(self, yard: Yard) -> None:
        yard.run("a")
        yard.run("b", "--label", "com.docker.compose.oneoff=True")
        assert yard.look(project=yard.key).measures["total"] == 1

    def test_one_that_was_only_created(self, yard: Yard) -> None:
        name = f"{yard.key}-new"
        yard.docker("create", "--name", name, yard.image)
        seen = yard.look(name=name, since="1m")
        assert seen.measures["state"] == "created"
        assert seen.missing["exit_code"] == "it is created"
        assert seen.measures["restarts_since"] == 0

    def test_the_environment_of_a_container_is_not_shown(self, yard: Yard, canary: str) -> None:
        name = yard.run("secret", "--env", f"TOKEN={canary}")
        assert canary not in str(yard.look(name=name))


@pytest.mark.parametrize("raw", [{"project": "shpo"}, {"name": "nobody"}, {"label": {"a": "b"}}])
def test_what_is_not_there_is_not_known_to_be_well(raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for an engine without containers."""
    from docker import errors

    class Empty:
        def containers(self, **_filters: Any) -> list[dict[str, Any]]:
            return []

        def inspect_container(self, identity: str) -> dict[str, Any]:
            raise errors.NotFound(identity)

    monkeypatch.setattr(_docker, "engine", lambda *_given: contextlib.nullcontext(Empty()))
    seen = look(PROBE, **raw)
    assert seen.measures == {"total": 0, "running": 0, "healthy": 0}
    for name in ("unhealthy", "restarting", "restarts"):
        assert seen.missing[name].startswith("there is no container")
    checks = [{"id": "C", "container": raw, "expect": {"unhealthy": "== 0", "restarting": "== 0"}}]
    assert run_checks(read_checks(checks, PROBES, {}), PROBES)[0]["status"] == "inconclusive"


ONE, OTHER = (f"sha256:{sign * 64}" for sign in "ab")


@pytest.mark.parametrize(
    ("images", "digest", "why"),
    [
        ({"a": [f"registry.example/shop@{ONE}"]}, ONE, None),
        # The same image under two names is one digest; an image that was pushed to two registries may have two.
        ({"a": [f"registry.example/shop@{ONE}", f"mirror.example/shop@{ONE}"]}, ONE, None),
        ({"a": [f"registry.example/shop@{ONE}", f"registry.example/shop@{OTHER}"]}, None, "its image has 2 digests"),
        ({"a": []}, None, "its image comes from no registry"),
        ({"a": None}, None, "its image is not on this host any more"),
        ({"a": [f"shop@{ONE}"], "b": [f"shop@{ONE}"]}, ONE, None),
        ({"a": [f"shop@{ONE}"], "b": [f"shop@{OTHER}"]}, None, "the containers differ"),
        ({"a": [f"shop@{ONE}"], "b": []}, None, "b: its image comes from no registry"),
    ],
)
def test_the_digest_by_which_a_registry_knows_the_image(
    images: dict[str, Any], digest: str | None, why: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for an engine: a registry to pull from is nothing that a test has."""
    from docker import errors

    class Engine:
        def inspect_container(self, name: str) -> dict[str, Any]:
            state = {"Status": "exited", "Running": False, "ExitCode": 0, "StartedAt": "2025-11-21T03:00:00Z"}
            return {"Id": name, "Name": f"/{name}", "State": state, "Config": {"Image": "shop:1"}, "Image": f"sha256:{name}"}

        def inspect_image(self, image: str) -> dict[str, Any]:
            known = images[image.removeprefix("sha256:")]
            if known is None:
                raise errors.ImageNotFound(image)
            return {"Id": image, "RepoDigests": known}

    monkeypatch.setattr(_docker, "engine", lambda *_given: contextlib.nullcontext(Engine()))
    raw: dict[str, Any] = {"name": list(images), "reduce": "worst"}
    seen = look(PROBE, **raw)
    assert seen.measures.get("digest") == digest
    assert why is None or why in seen.missing["digest"], seen.missing
    (verdict,) = run_checks(read_checks([{"id": "C", "container": raw, "expect": {"digest": f"== {ONE}"}}], PROBES), PROBES)
    assert verdict["status"] == ("pass" if digest == ONE else "inconclusive"), verdict


# -- engines that are none ---------------------------------------------------------------------------------------------


def test_no_engine(tmp_path: Path) -> None:
    assert "cannot be reached: No such file" in refused(PROBE, name="a", docker_host=f"unix://{tmp_path}/none.sock")


def test_an_engine_that_says_nothing() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        begun = time.monotonic()
        why = refused(PROBE, timeout=1.0, name="a", docker_host=f"tcp://127.0.0.1:{port}")
        assert "in time" in why or "within the time" in why
        assert time.monotonic() - begun < 2.0
        assert threading.active_count() < 50


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({}, "say which containers"),
        ({"name": "a b"}, "not the name or id"),
        ({"name": "a", "project": "p"}, "goes without name"),
        ({"name": "a", "service": "p"}, "goes with project"),
        ({"name": "a", "docker_host": "ssh://me@host"}, "expected unix:///PATH or tcp://"),
        ({"name": "a", "docker_host": "tcp://user:pw@host:1"}, "expected unix:///PATH or tcp://"),
        ({"name": "a", "over": "0s"}, "more than nothing"),
        ({"name": "a", "reduce": "max"}, "expected one of worst, sum"),
    ],
)
def test_options_that_are_refused(raw: dict[str, Any], why: str) -> None:
    assert any(why in line for line in mistakes(PROBE, raw)), mistakes(PROBE, raw)
