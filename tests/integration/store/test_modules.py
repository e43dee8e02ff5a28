# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules lock, ledger and release as tasks, on each store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.golive.cutover.plugins.module_utils.store import ledger, lock
from tests.conftest import ansible_environment

Tasks = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def tasks(place: Any, tmp_path: Path, ansible_playbook: Callable[..., Any]) -> Callable[..., list[dict[str, Any]]]:
    """Run tasks on the store of this test, in one playbook; the results are also variables ``r0``, ``r1``, … in it.

    A task is a module, its arguments, and the keywords ``check_mode`` and ``diff``.
    """

    def run(*asked: tuple[str, dict[str, Any], dict[str, Any]]) -> list[dict[str, Any]]:
        file = tmp_path / f"results-{time.monotonic_ns()}.json"
        play: list[dict[str, Any]] = []
        for number, (name, arguments, keywords) in enumerate(asked):
            arguments = {"store": place.address, "environment": place.environment, **arguments}
            keywords = {"register": f"r{number}", "ignore_errors": True, **keywords}
            play.append({f"golive.cutover.{name}": arguments, **keywords})
        names = ", ".join(f"r{number}" for number in range(len(asked)))
        content = f"{{{{ [{names}] | ansible.builtin.to_json }}}}"
        play.append({"ansible.builtin.copy": {"content": content, "dest": str(file), "mode": "0600"}})
        done = ansible_playbook([{"hosts": "localhost", "gather_facts": False, "tasks": play}])
        assert done.rc == 0, done.why
        results: list[dict[str, Any]] = json.loads(file.read_text())
        return [{"failed": False, **result} for result in results]

    return run


def step(name: str, /, **arguments: Any) -> Any:
    keywords = {keyword: arguments.pop(keyword, False) for keyword in ("check_mode", "diff")}
    return name, arguments, keywords


def test_lock(tasks: Tasks) -> None:
    claim = {"run": "run-1", "reason": "go-live", "lease": "10m"}
    release = {"state": "released", "run": "run-1", "token": "{{ r1.token }}"}
    predicted, taken, predicted_again, again, read, renewed, released, released_again, stale = tasks(
        step("lock", check_mode=True, **claim),
        step("lock", **claim),
        step("lock", check_mode=True, **claim),
        step("lock", **claim),
        step("lock", state="read"),
        step("lock", state="renewed", run="run-1", token="{{ r1.token }}", lease="1h"),
        step("lock", **release),
        step("lock", **release),
        step("lock", state="renewed", run="run-1", token="{{ r1.token }}"),
    )
    assert [one["changed"] for one in (predicted, taken, predicted_again, again)] == [True, True, False, False]
    assert again["token"] == taken["token"] == read["token"]
    assert taken["lock"]["owner"] and taken["lock"]["reason"] == "go-live"
    assert taken["lock"]["controller"]["pid"] > 1
    assert renewed["lock"]["until"] > taken["lock"]["until"]
    assert released["changed"] and released["released_from"]["run"] == "run-1"
    assert not released_again["changed"]
    assert stale["failed"] and "nobody holds it" in stale["msg"]


def test_lock_refuses_with_all_that_one_needs_to_know(tasks: Tasks, place: Any) -> None:
    with place.open() as store:
        lock.acquire(store, lock.Claim(run="run-1", owner="alice", reason="go-live", lease=600))
    refused, wrong, right = tasks(
        step("lock", run="run-2", wait="1s"),
        step("lock", state="released", force="run-9"),
        step("lock", state="released", force="run-1"),
    )
    assert refused["failed"] and refused["held"] and refused["holder"]["owner"] == "alice"
    for part in ("alice", "run-1", "go-live", "unlock", "Waited 1 s", "not known which process"):
        assert part in refused["msg"]
    assert wrong["failed"] and wrong["holder"]["run"] == "run-1"
    assert right["changed"]


def test_lock_reports_every_mistake(tasks: Tasks) -> None:
    refused, unexplained = tasks(
        step("lock", run="run-1", lease="15", wait="soon", force="run-2"), step("lock", run="run-1", lease="0")
    )
    assert [problem["where"] for problem in refused["problems"]] == ["lease", "wait", "force"]
    assert "reason" in unexplained["msg"]


def test_ledger(tasks: Tasks, canary: str) -> None:
    event = {"run": "run-1", "event": "deploy.failed", "data": {"message": f"x {canary}"}, "secrets": [canary]}
    predicted, written, read, verified = tasks(
        step("ledger", check_mode=True, **event),
        step("ledger", **event),
        step("ledger", state="read", run="run-1"),
        step("ledger", state="verified", anchor="{{ r1.entry.hash }}"),
    )
    assert predicted["changed"] and written["changed"] and written["entry"]["seq"] == 1
    assert not read["changed"] and read["entries"] == [written["entry"]]
    assert read["entries"][0]["data"] == {"message": "x ********"}
    assert (verified["count"], verified["head"]) == (1, written["entry"]["hash"])


def test_ledger_that_was_tampered_with_fails_the_task(tasks: Tasks, place: Any) -> None:
    with place.open() as store:
        ledger.append(store, place.environment, "run-1", "one")
    place.set_lines([place.lines()[0].replace("one", "two")])
    (broken,) = tasks(step("ledger", state="verified"))
    assert broken["failed"] and broken["problems"] == [{"seq": 1, "problem": "was changed after it was written"}]


def test_release(tasks: Tasks) -> None:
    details = {"backend": "supervisor", "digest": "sha256:1", "recipe": {"directory": "/srv/1.0"}}
    of = {"id": "1.0", "run": "run-1"}
    life = ({"state": "staged", **details}, {"state": "deployed"}, {"state": "accepted"})
    done = tasks(
        *(step("release", check_mode=check, diff=True, **of, **to) for to in life for check in (True, False) * 2),
        step("release", id="1.1"),
        step("release", check_mode=True, diff=True, state="rejected", **of),
        step("release", state="accepted", id="9", run="run-1"),
        step("release", state="accepted", digest="x", **of),
    )
    lived, (candidate, rejected, unknown, meaningless) = done[:12], done[12:]
    assert [one["changed"] for one in lived] == [True, True, False, False] * 3
    assert lived[-1]["diff"]["before"] == lived[-1]["diff"]["after"]
    assert lived[-1]["current"] == {**lived[-1]["current"], **details, "id": "1.0", "status": "accepted"}
    assert candidate["previous"]["id"] == "1.0" and candidate["previous"]["recipe"] == details["recipe"]
    assert rejected["diff"]["before"]["releases"]["1.0"]["status"] == "accepted"
    assert rejected["diff"]["after"]["releases"]["1.0"]["status"] == "rejected"
    assert "not known" in unknown["msg"]
    assert "no meaning" in meaningless["msg"]


def test_a_password_in_the_address_is_refused_and_not_repeated(ansible_playbook: Callable[..., Any], canary: str) -> None:
    common = {"store": f"redis://:{canary}@127.0.0.1/0", "environment": "spark"}
    asked = {"lock": {"run": "r"}, "ledger": {"state": "read"}, "release": {}}
    plays = [{f"golive.cutover.{name}": {**common, **more}, "ignore_errors": True} for name, more in asked.items()]
    done = ansible_playbook([{"hosts": "localhost", "gather_facts": False, "tasks": plays}], "-vvv")
    assert done.output.count("password_file=/absolute/path") >= 3
    assert canary not in done.output


# ---------------------------------------------------------------------------------------------------------------------
# A controller that is killed


@pytest.fixture
def holding(place: Any, tmp_path: Path, collection_path: Path, ansible_home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An ansible-playbook that holds the lock as run-1, in the middle of a task that goes on until the test ends."""
    busy = tmp_path / "busy"
    busy.touch()
    tasks = [
        {"golive.cutover.lock": {"store": place.address, "environment": place.environment, "run": "run-1"}},
        {"ansible.builtin.command": {"argv": ["sh", "-c", f"while [ -e {busy} ]; do sleep 0.1; done"]}},
    ]
    playbook = tmp_path / "hold.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    command = [sys.executable, "-m", "ansible", "playbook", str(playbook), "-i", "localhost,", "-c", "local"]
    command += ["-e", f"ansible_python_interpreter={sys.executable}"]
    environment = ansible_environment(collection_path, ansible_home)
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        with place.open() as store:
            deadline = time.monotonic() + 60
            while not lock.read(store)["held"]:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        yield process
        busy.unlink()
        process.kill()


def test_the_next_run_takes_over_from_a_killed_controller(tasks: Tasks, holding: subprocess.Popen[bytes]) -> None:
    (alive,) = tasks(step("lock", run="run-2"))
    assert alive["failed"] and alive["holder"]["controller"]["pid"] == holding.pid
    assert f"its process {holding.pid} is alive" in alive["msg"]

    # Not waited for: it is dead already when it is not reaped.
    os.kill(holding.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{holding.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    began = time.monotonic()
    (taken,) = tasks(step("lock", run="run-2", wait="10m"))
    assert time.monotonic() - began < 60
    assert not taken["failed"], taken["msg"]
    assert taken["taken_over_from"]["run"] == "run-1"
    assert str(holding.pid) in taken["taken_over_from"]["why"]
    assert taken["token"] > alive["holder"]["token"]

    holding.wait()
    (again,) = tasks(step("lock", run="run-3"))
    # run-2 was a whole ansible-playbook, which has ended without releasing.
    assert again["taken_over_from"]["run"] == "run-2"


def test_a_manual_lock_outlives_its_controller(tasks: Tasks) -> None:
    (taken,) = tasks(step("lock", run="maintenance", lease="0", reason="moving the database"))
    assert taken["changed"]
    (refused,) = tasks(step("lock", run="run-2", wait="1m"))
    assert refused["failed"] and refused["holder"]["manual"] and "by hand" in refused["msg"]


def test_the_ledger_and_the_releases_are_written_under_the_lock(tasks: Tasks) -> None:
    entry = {"run": "run-1", "event": "step_begun"}
    _taken, written, staged, _released, late, bad, alone = tasks(
        step("lock", run="run-1", lease="10m"),
        step("ledger", token="{{ r0.token }}", lease="20m", **entry),
        step("release", state="staged", id="1.0.0", run="run-1", token="{{ r0.token }}"),
        step("lock", state="released", run="run-1", token="{{ r0.token }}"),
        step("ledger", token="{{ r0.token }}", **entry),
        step("ledger", token="{{ r0.token }}", lease="soon", **entry),
        step("ledger", lease="10m", **entry),
    )
    assert written["entry"]["seq"] == 1 and not staged["failed"]
    assert late["failed"] and "nobody holds it" in late["msg"]
    assert bad["failed"] and "lease" in bad["msg"]
    assert alone["failed"] and "without a token" in alone["msg"]
