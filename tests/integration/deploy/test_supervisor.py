# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend supervisor: real supervisord, real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import answers, wait_until


def supervisord_pid(world: Any) -> int:
    return int((world.home / "supervisor" / "supervisord.pid").read_text(encoding="utf-8"))


def test_deploy_then_again_changes_nothing(world: Any) -> None:
    first = world.deploy("1.0.0")
    assert first.facts["deploy_status"]["release"] == "1.0.0"
    assert [one["healthy"] for one in first.facts["deploy_status"]["services"]] == [True]
    answer = world.ask()
    assert answer["release"] == "1.0.0"
    assert answer["token"] is True
    assert answer["from_service"] == "100% 1.0.0"
    assert answer["cwd"] == str(world.home / "releases" / "1.0.0")
    assert (world.home / "current").resolve() == world.home / "releases" / "1.0.0"

    again = world.verb("deploy", "1.0.0", accept=True)
    assert again.rc == 0, again.why
    assert again.changed() == 0, again.output
    assert world.ask()["pid"] == answer["pid"]


def test_check_mode_on_the_first_run_changes_nothing(world: Any) -> None:
    world.source("1.0.0")
    result = world.verb("deploy", "1.0.0", "--check")
    assert result.rc == 0, result.why
    assert result.changed() > 0
    assert not answers(world.port)
    assert not (world.home / "supervisor").exists()
    assert not (world.home / "releases").exists()


def test_new_release_replaces_the_old_and_rollback_brings_it_back(world: Any) -> None:
    world.deploy("1.0.0")
    # What the later release declares must not matter for the way back.
    world.services = [{**world.services[0], "environment": {"NAME": "later"}}]
    world.deploy("1.1.0", accept=False)
    assert world.ask()["release"] == "1.1.0"
    assert world.ask()["name"] == "later"

    back = world.verb("rollback", "1.1.0")
    assert back.rc == 0, back.why
    assert back.facts["deploy_status"]["release"] == "1.0.0"
    assert world.ask()["release"] == "1.0.0"
    assert world.ask()["name"] == "api"
    assert (world.home / "current").resolve() == world.home / "releases" / "1.0.0"

    again = world.verb("rollback", "1.1.0")
    assert again.rc == 0, again.why
    assert again.changed() == 0, again.output


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("crash", "flux compensator"), ("unhealthy", "answers with status 503"), ("crash-later", "it was up, and 2.5 s later")],
)
def test_release_that_never_becomes_healthy_fails_with_its_last_lines(world: Any, mode: str, expected: str) -> None:
    world.deploy("1.0.0")
    world.services = [{**world.services[0], "start_timeout": "2s"}]
    world.source("1.1.0", mode)
    world.write_env("1.1.0")
    began = time.monotonic()
    result = world.verb("deploy", "1.1.0", deploy_settle="2500ms")
    assert result.rc != 0
    assert expected in result.output
    assert "api did not come up" in result.output
    assert world.canary not in result.output
    if mode == "crash":
        assert "with token ***" in result.output
        assert time.monotonic() - began < 15

    back = world.verb("rollback", "1.1.0")
    assert back.rc == 0, back.why
    assert world.ask()["release"] == "1.0.0"


def test_first_release_that_fails_is_stopped_by_rollback(world: Any) -> None:
    world.source("1.0.0", "unhealthy")
    world.services = [{**world.services[0], "start_timeout": "1s"}]
    assert world.verb("deploy", "1.0.0").rc != 0
    back = world.verb("rollback", "1.0.0")
    assert back.rc == 0, back.why
    assert back.facts["deploy_status"] == {"release": None, "services": []}
    assert not answers(world.port)
    assert not (world.home / "current").is_symlink()


def test_other_content_under_the_same_id_is_refused(world: Any) -> None:
    world.deploy("1.0.0")
    pid = world.ask()["pid"]
    (world.root / "sources" / "1.0.0" / "extra.txt").write_text("x", encoding="utf-8")
    for verb in ("deploy", "possible"):
        result = world.verb(verb, "1.0.0")
        text = result.output if verb == "deploy" else "\n".join(result.facts["deploy_possible"]["problems"])
        assert "release 1.0.0 is already here with other content" in text
    assert world.ask()["pid"] == pid


def test_possible_names_everything_at_once_and_changes_nothing(world: Any, free_port: Any) -> None:
    world.deploy("1.0.0")
    world.source("1.1.0")
    fine = world.verb("possible", "1.1.0")
    assert fine.facts["deploy_possible"] == {"ok": True, "problems": [], "previous": "1.0.0"}
    assert fine.changed() == 0

    (world.home / "releases" / "1.0.0" / "service.py").unlink()
    (world.home / "releases" / "1.0.0" / ".env").unlink()
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        other = taken.getsockname()[1]
        world.services = [*world.services, {"name": "late", "command": ["true"], "port": other}]
        result = world.verb("possible", "1.2.0", deploy_source=str(world.root / "nothing"))
    assert result.rc == 0, result.why
    problems = "\n".join(result.facts["deploy_possible"]["problems"])
    assert "does not exist" in problems
    assert f"port {other} of late is taken" in problems
    assert "service.py is gone" in problems
    assert ".env" in problems
    assert not result.facts["deploy_possible"]["ok"]


def test_rollback_to_a_release_that_is_gone_is_refused(world: Any) -> None:
    world.deploy("1.0.0")
    world.deploy("1.1.0", accept=False)
    (world.home / "releases" / "1.0.0" / "service.py").write_text("pass\n", encoding="utf-8")
    back = world.verb("rollback", "1.1.0")
    assert back.rc != 0
    assert "service.py was altered" in back.output
    assert world.ask()["release"] == "1.1.0"


def test_killed_supervisord_is_started_again(world: Any) -> None:
    world.deploy("1.0.0")
    orphan = world.ask()["pid"]
    os.kill(supervisord_pid(world), signal.SIGKILL)
    assert world.ask()["pid"] == orphan
    result = world.verb("deploy", "1.0.0")
    assert result.rc == 0, result.why
    assert world.ask()["pid"] != orphan
    assert not Path(f"/proc/{orphan}").exists()
    assert result.facts["deploy_status"]["services"][0]["healthy"]


def test_written_settings_restart_what_runs_with_old_ones(world: Any) -> None:
    world.deploy("1.0.0")
    pid = world.ask()["pid"]
    world.write_env("1.0.0", LEVEL="9")
    result = world.verb("deploy", "1.0.0")
    assert result.rc == 0, result.why
    assert world.ask()["level"] == "9"
    assert world.ask()["pid"] != pid


def test_reconfigure_by_reload_and_by_restart(world: Any) -> None:
    world.deploy("1.0.0")
    pid = world.ask()["pid"]
    result = world.verb("reconfigure", "1.0.0", deploy_set={"LEVEL": "2"}, deploy_apply="reload", deploy_only=["api"])
    assert result.rc == 0, result.why
    wait_until(lambda: world.ask()["level"] == "2")
    assert world.ask()["pid"] == pid
    env_file = world.home / "releases" / "1.0.0" / ".env"
    assert env_file.stat().st_mode & 0o777 == 0o600
    assert world.canary in env_file.read_text(encoding="utf-8")

    again = world.verb("reconfigure", "1.0.0", deploy_set={"LEVEL": "2"}, deploy_apply="reload")
    assert again.changed() == 0, again.output
    result = world.verb("reconfigure", "1.0.0", deploy_set={"LEVEL": "3"}, deploy_apply="restart")
    assert result.rc == 0, result.why
    assert world.ask()["level"] == "3"
    assert world.ask()["pid"] != pid
    unknown = world.verb("reconfigure", "1.0.0", deploy_only=["web"])
    assert unknown.rc != 0
    assert "there is no service web" in unknown.output

    pid = world.ask()["pid"]
    restarted = world.verb("restart", "1.0.0", deploy_only=["api"])
    assert restarted.rc == 0, restarted.why
    assert world.ask()["pid"] != pid
    assert world.ask()["level"] == "3"
    assert restarted.facts["deploy_status"]["services"][0]["healthy"]


def test_status_and_forget(world: Any) -> None:
    nothing = world.verb("status", "1.0.0")
    assert nothing.facts["deploy_status"] == {"release": None, "services": []}
    for release in ("1.0.0", "1.1.0", "1.2.0"):
        world.deploy(release)
    status = world.verb("status", "1.2.0").facts["deploy_status"]
    assert status["release"] == "1.2.0"
    assert status["services"][0]["healthy"]
    for kept in ("1.1.0", "1.2.0"):
        assert world.verb("forget", kept).rc != 0
        assert (world.home / "releases" / kept / "service.py").exists()
    assert world.verb("forget", "1.0.0").rc == 0
    assert not (world.home / "releases" / "1.0.0").exists()


def test_secrets_are_in_the_env_file_alone(world: Any) -> None:
    world.source("1.0.0")
    world.write_env("1.0.0")
    result = world.verb("deploy", "1.0.0", "-vvv", "--diff", accept=True)
    assert result.rc == 0, result.why
    result2 = world.verb("reconfigure", "1.0.0", "-vvv", "--diff", deploy_set={"LEVEL": "1"})
    assert result2.rc == 0, result2.output
    assert world.canary not in result.output + result2.output
    found = []
    for path in world.home.rglob("*"):
        if path.is_file() and world.canary.encode() in path.read_bytes():
            found.append((path.relative_to(world.home).as_posix(), oct(path.stat().st_mode & 0o777)))
    # The service of the tests prints its token, to prove that redaction has something to do.
    assert [one for one in found if not one[0].startswith("supervisor/logs/")] == [("releases/1.0.0/.env", "0o600")]
    commands = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    assert world.canary.encode() not in commands


def test_several_instances_and_a_one_shot(world: Any, free_port: Any) -> None:
    first = world.services[0]
    base = free_port()
    while answers(base + 1):
        base = free_port()
    world.services = [
        {
            "name": "migrate",
            "command": ["/bin/sh", "-c", "echo run >> ../../migrations"],
            "ready": "completed",
        },
        {**first, "instances": 2, "port": base},
    ]
    result = world.deploy("1.0.0")
    names = [one["name"] for one in result.facts["deploy_status"]["services"]]
    assert names == ["migrate", "api-1", "api-2"]
    assert world.ask(port=base + 1)["name"] == "api-2"
    assert world.verb("deploy", "1.0.0").changed() == 0
    assert (world.home / "migrations").read_text(encoding="utf-8") == "run\n"


def kill_run(tmp_path: Path) -> bool:
    """Kill the ansible-playbook of this test with everything that it started on the controller, as a machine that dies does."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"playbook" in words and any(word.startswith(str(tmp_path).encode()) for word in words):
                os.killpg(os.getpgid(int(entry.name)), signal.SIGKILL)
                return True
    return False


@pytest.mark.parametrize("moment", ["staged", "copied", "configured", "started"])
def test_controller_killed_then_the_same_command_again(world: Any, tmp_path: Path, moment: str) -> None:
    world.deploy("1.0.0")
    world.source("1.1.0", "slow")
    world.write_env("1.1.0")
    target, conf = world.home / "releases" / "1.1.0", world.home / "supervisor" / "conf.d" / "api.conf"
    before = conf.read_text(encoding="utf-8")
    record = world.home / "supervisor" / "run" / "api.json"
    first = record.read_text(encoding="utf-8")

    def reached() -> bool:
        if moment == "staged":
            return bool(b"1.1.0" in (world.home / "golive.db").read_bytes())
        if moment == "copied":
            return bool((target / "service.py").exists() or target.with_name("1.1.0.partial").exists())
        if moment == "configured":
            return bool(conf.read_text(encoding="utf-8") != before)
        return bool(record.exists() and record.read_text(encoding="utf-8") != first)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(world.verb, "deploy", "1.1.0")
        wait_until(lambda: reached() or running.done(), seconds=60)
        killed = kill_run(tmp_path)
        result = running.result()
    assert killed
    assert result.rc == -signal.SIGKILL

    again = world.verb("deploy", "1.1.0", accept=True)
    assert again.rc == 0, again.why
    assert world.ask()["release"] == "1.1.0"
    assert again.facts["deploy_status"]["services"][0]["healthy"]
    assert sorted(one.name for one in (world.home / "releases").iterdir()) == ["1.0.0", "1.1.0"]
    assert world.verb("deploy", "1.1.0", accept=True).changed() == 0
