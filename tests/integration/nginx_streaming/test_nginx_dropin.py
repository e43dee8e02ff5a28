# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drop-ins on a real nginx: taken, refused, killed half way, undone."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils import _nginx
from ansible_collections.golive.cutover.plugins.module_utils._files import FileState
from ansible_collections.golive.cutover.plugins.module_utils._nginx import Nginx
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, InputError
from ansible_collections.golive.cutover.plugins.module_utils.nginx_dropin import Change, NginxRefused, Saved, Wanted
from tests.conftest import Nginx as Server

ROOT = Path(__file__).resolve().parents[3]
SITE = "include http.d/*.conf; server { listen 127.0.0.1:@PORT@; include server.d/*.conf; location / { return 200 old; } }"
NOTHING = {"http.d/none.conf": "# nothing\n", "server.d/none.conf": "# nothing\n"}


def run_command(line: list[str]) -> tuple[int, str, str]:
    done = subprocess.run(line, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def change(server: Server, run: str = "run-1", **more: Any) -> Change:
    nginx = Nginx(run_command, server.binary, str(server.config), str(server.directory))
    saved = Saved(str(server.directory / "state"))
    return Change(nginx, saved, run, clock=time.monotonic, sleep=time.sleep, **more)


def file(server: Server, name: str, content: str | None, mode: int = 0o644) -> Wanted:
    state = None if content is None else FileState(content.encode(), mode, -1, -1)
    return Wanted(str(server.directory / name), state)


def body(server: Server, path: str) -> str:
    with urllib.request.urlopen(server.url + path, timeout=5) as answer:
        return str(answer.read().decode())


def tree(server: Server) -> dict[str, tuple[bytes, int, int, int]]:
    found = {}
    for directory in ("http.d", "server.d"):
        for path in sorted((server.directory / directory).iterdir()):
            status = path.stat()
            found[str(path)] = (path.read_bytes(), stat.S_IMODE(status.st_mode), status.st_uid, status.st_mtime_ns)
    return found


def workers(server: Server) -> set[_nginx.Worker]:
    master = _nginx.master(str(server.directory / "nginx.pid"))
    assert master is not None
    return _nginx.workers(master.pid)


HELLO = "location /hello { return 200 hello; }\n"


def test_taken_by_a_reload_and_only_once(nginx: Callable[..., Server]) -> None:
    server = nginx(SITE, NOTHING)
    pid = server.process.pid
    first = workers(server)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as held:
        held.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")  # a request that is still being sent
        result = change(server).apply([file(server, "server.d/hello.conf", HELLO)])
        assert result == {
            "changed": True,
            "reloaded": True,
            "recovered": None,
            "files": [{"path": str(server.directory / "server.d/hello.conf"), "state": "created"}],
        }
        assert body(server, "/hello") == "hello"
        held.sendall(b"\r\n")
        assert b"200 OK" in held.recv(4096), "a connection was cut"
    second = workers(server)
    assert not first & second and server.process.poll() is None and server.process.pid == pid
    again = change(server).apply([file(server, "server.d/hello.conf", HELLO)])
    assert not again["changed"] and not again["reloaded"]
    assert workers(server) == second


def test_refused_by_nginx_everything_is_as_it_was(nginx: Callable[..., Server]) -> None:
    server = nginx(SITE, {**NOTHING, "server.d/a.conf": "location /a { return 200 a; }\n", "http.d/gone.conf": "# keep me\n"})
    (server.directory / "server.d/a.conf").chmod(0o640)
    if os.getuid() == 0:
        os.chown(server.directory / "server.d/a.conf", 54321, 54321)
    before = {path: state[:3] for path, state in tree(server).items()}
    running = workers(server)
    with pytest.raises(NginxRefused, match=r'unknown directive "proxy_bufering" in .*server\.d/b\.conf:1') as caught:
        change(server).apply(
            [
                file(server, "server.d/a.conf", "location /a { return 200 changed; }\n"),
                file(server, "server.d/b.conf", "proxy_bufering off;\n"),
                file(server, "http.d/gone.conf", None),
            ]
        )
    assert "the previous files are back" in str(caught.value)
    assert {path: state[:3] for path, state in tree(server).items()} == before
    assert workers(server) == running, "nginx was reloaded"
    assert body(server, "/a") == "a"
    assert change(server).apply([file(server, "server.d/b.conf", HELLO)])["changed"], "a refusal blocks the next run"


def test_a_site_that_does_not_include_the_file_is_refused(nginx: Callable[..., Server]) -> None:
    server = nginx(SITE, NOTHING)
    (server.directory / "other.d").mkdir()
    with pytest.raises(NginxRefused, match=r"nginx does not read .*other\.d/x\.conf .the site has no line such as: include"):
        change(server).apply([file(server, "other.d/x.conf", HELLO)])
    assert not (server.directory / "other.d/x.conf").exists()


def test_a_configuration_that_passes_the_test_and_cannot_be_loaded(nginx: Callable[..., Server]) -> None:
    """nginx -t does not notice a port that somebody else holds; the reload then does nothing, and says so in a log only."""
    server = nginx(SITE, NOTHING)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"server {{ listen 127.0.0.1:{other.getsockname()[1]}; }}\n"
        before = {path: state[:3] for path, state in tree(server).items()}
        with pytest.raises(NginxRefused, match=r"has no new workers|Address already in use"):
            change(server, timeout=1.0).apply([file(server, "http.d/taken.conf", taken)])
    assert {path: state[:3] for path, state in tree(server).items()} == before
    assert body(server, "/") == "old"


def test_nginx_that_does_not_run(nginx: Callable[..., Server]) -> None:
    server = nginx(SITE, NOTHING)
    server.stop()
    wanted = [file(server, "server.d/hello.conf", HELLO)]
    with pytest.raises(NginxRefused, match="nginx does not run"):
        change(server).apply(wanted)
    assert not Path(wanted[0].path).exists()
    assert change(server, reload=False).apply(wanted)["changed"]
    assert not change(server, reload=False).apply(wanted)["changed"]
    with pytest.raises(CutoverError, match="there is no /no/such/nginx"):
        Change(Nginx(run_command, "/no/such/nginx"), Saved(str(server.directory / "s")), "r", time.monotonic, time.sleep).apply(
            wanted
        )


def test_files_newer_than_the_running_nginx_are_taken(nginx: Callable[..., Server]) -> None:
    """Somebody wrote the very same files and did not reload."""
    server = nginx(SITE, NOTHING)
    (server.directory / "server.d/hello.conf").write_text(HELLO)
    assert body(server, "/hello") == "old"
    result = change(server).apply([file(server, "server.d/hello.conf", HELLO)])
    assert result["changed"] and result["reloaded"] and result["files"][0]["state"] == "same"
    assert body(server, "/hello") == "hello"
    assert not change(server).apply([file(server, "server.d/hello.conf", HELLO)])["changed"]


def test_restored_is_what_was_there_before_the_run(nginx: Callable[..., Server]) -> None:
    server = nginx(SITE, {**NOTHING, "server.d/a.conf": "location /a { return 200 a; }\n"})
    (server.directory / "server.d/a.conf").chmod(0o640)
    before = {path: state[:3] for path, state in tree(server).items()}
    change(server, "run-1").apply([file(server, "server.d/a.conf", "location /a { return 200 1; }\n")])
    between = {path: state[:3] for path, state in tree(server).items()}
    change(server, "run-2").apply(
        [file(server, "server.d/a.conf", "location /a { return 200 2; }\n"), file(server, "server.d/b.conf", HELLO)]
    )
    # The same run once more: what it saved first is what it found.
    change(server, "run-2").apply([file(server, "server.d/a.conf", "location /a { return 200 3; }\n")])
    back = change(server, "run-2")
    assert back.restore()["reloaded"]
    assert {path: state[:3] for path, state in tree(server).items()} == between
    assert body(server, "/a") == "1" and body(server, "/hello") == "old"
    assert not back.restore()["changed"]
    back = change(server, "run-1")
    back.restore()
    assert {path: state[:3] for path, state in tree(server).items()} == before
    assert change(server, "run-9").restorable() == []


def test_a_release_is_undone_whichever_runs_have_placed_its_files(nginx: Callable[..., Server]) -> None:
    server = nginx(SITE, {**NOTHING, "server.d/a.conf": "location /a { return 200 a; }\n"})
    before = {path: state[:3] for path, state in tree(server).items()}
    change(server, "run-1", release="1.0.0").apply([file(server, "server.d/a.conf", "location /a { return 200 1; }\n")])
    between = {path: state[:3] for path, state in tree(server).items()}
    # Two runs for the next release: the first died later, the second one had something to add.
    change(server, "run-2", release="1.1.0").apply([file(server, "server.d/a.conf", "location /a { return 200 2; }\n")])
    change(server, "run-3", release="1.1.0").apply([file(server, "server.d/a.conf", "location /a { return 200 3; }\n")])
    assert change(server, "run-4", release="1.1.0").restore()["reloaded"]
    assert {path: state[:3] for path, state in tree(server).items()} == between
    assert change(server, "run-5", release="1.1.0").restorable() == []
    assert not change(server, "run-5", release="1.1.0").restore()["changed"]
    # Tried again, it begins from what is there then.
    change(server, "run-6", release="1.1.0").apply([file(server, "server.d/a.conf", "location /a { return 200 6; }\n")])
    change(server, "run-7", release="1.1.0").restore()
    assert {path: state[:3] for path, state in tree(server).items()} == between
    change(server, "run-8", release="1.0.0").restore()
    assert {path: state[:3] for path, state in tree(server).items()} == before
    assert change(server, "run-9", release="0.9.0").restorable() == []


def test_of_several_runs_for_a_release_every_file_is_undone(nginx: Callable[..., Server]) -> None:
    server = nginx(SITE, {**NOTHING, "server.d/a.conf": "location /a { return 200 a; }\n"})
    before = {path: state[:3] for path, state in tree(server).items()}
    one = file(server, "server.d/a.conf", "location /a { return 200 1; }\n")
    change(server, "run-1", release="1.0.0").apply([one])
    change(server, "run-2", release="1.0.0").apply([one, file(server, "server.d/b.conf", HELLO)])
    change(server, "run-3", release="1.0.0").restore()
    assert {path: state[:3] for path, state in tree(server).items()} == before


def test_an_older_release_that_comes_again_is_undone_to_the_one_between(nginx: Callable[..., Server]) -> None:
    server = nginx(SITE, {**NOTHING, "server.d/a.conf": "location /a { return 200 a; }\n"})

    def place(run: str, release: str) -> None:
        content = f"location /a {{ return 200 {release}; }}\n"
        change(server, run, release=release).apply([file(server, "server.d/a.conf", content)])

    place("run-1", "1.0.0")
    place("run-2", "1.1.0")
    between = {path: state[:3] for path, state in tree(server).items()}
    # Nothing was changed for it since the other one came, so there is nothing to undo.
    assert change(server, "run-3", release="1.0.0").restorable() == []
    place("run-3", "1.0.0")
    change(server, "run-4", release="1.0.0").restore()
    assert {path: state[:3] for path, state in tree(server).items()} == between


KILLED = """
import os, signal, subprocess, sys, time
from ansible_collections.golive.cutover.plugins.module_utils import nginx_dropin as core
from ansible_collections.golive.cutover.plugins.module_utils._files import FileState
from ansible_collections.golive.cutover.plugins.module_utils._nginx import Nginx
binary, directory, at = sys.argv[1:4]
put, calls, ask = core.put_file, [0], Nginx.ask
def dies(path, state):
    calls[0] += 1
    if at == f"put {calls[0]}":
        os.kill(os.getpid(), signal.SIGKILL)
    put(path, state)
core.put_file = dies
def asked(self, *arguments):
    if at == "before " + arguments[-1]:
        os.kill(os.getpid(), signal.SIGKILL)
    answer = ask(self, *arguments)
    if at == "after " + arguments[-1]:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
Nginx.ask = asked
def wish(name):
    content = f"location /{name} {{ return 200 new; }}\\n"
    return core.Wanted(f"{directory}/server.d/{name}.conf", FileState(content.encode(), 0o644, -1, -1))
wanted = [wish("a"), wish("b")]
def run(line):
    done = subprocess.run(line, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr
nginx = Nginx(run, binary, f"{directory}/nginx.conf", directory)
print(core.Change(nginx, core.Saved(f"{directory}/state"), sys.argv[4], time.monotonic, time.sleep).apply(wanted))
"""


@pytest.mark.parametrize("at", ["put 1", "put 2", "before -T", "after -T", "before reload", "after reload", "put 3"])
@pytest.mark.parametrize("undo", [False, True])
def test_killed_anywhere_the_next_run_converges_or_undoes(nginx: Callable[..., Server], at: str, undo: bool) -> None:
    server = nginx(SITE, {**NOTHING, "server.d/a.conf": "location /a { return 200 a; }\n"})
    before = {path: state[:3] for path, state in tree(server).items()}
    env = {**os.environ, "PYTHONPATH": str(ROOT / ".cache/collections")}
    line = [sys.executable, "-c", KILLED, server.binary, str(server.directory)]
    died = subprocess.run([*line, at, "run-1"], env=env, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    if undo:
        back = change(server, "run-1")
        back.restore()
        assert {path: state[:3] for path, state in tree(server).items()} == before
        assert (body(server, "/a"), body(server, "/b")) == ("a", "old")
        return
    done = subprocess.run([*line, "never", "run-2"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "'recovered': 'run-1'" in done.stdout
    assert (body(server, "/a"), body(server, "/b")) == ("new", "new")
    back = change(server, "run-2")
    back.restore()
    assert {path: state[:3] for path, state in tree(server).items()} == before, "what run-1 left was taken for the original"


def test_two_runs_at_once(nginx: Callable[..., Server]) -> None:
    server = nginx(SITE, NOTHING)
    one = change(server)
    with one.saved.locked(), pytest.raises(CutoverError, match="another run is changing nginx"):
        change(server).apply([file(server, "server.d/hello.conf", HELLO)])


def test_bad_input_is_refused_at_once_and_together(nginx: Callable[..., Server]) -> None:
    server = nginx(SITE, NOTHING)
    (server.directory / "server.d/link.conf").symlink_to("none.conf")
    with pytest.raises(InputError) as caught:
        change(server).apply(
            [
                Wanted("relative.conf", None),
                file(server, "no.d/x.conf", "x"),
                file(server, "server.d/link.conf", "x"),
                file(server, "server.d/y.conf", "x"),
                file(server, "server.d/y.conf", "y"),
            ]
        )
    assert len(caught.value.problems) == 4
    assert not (server.directory / "state").exists()


def test_the_module_in_a_real_task(nginx: Callable[..., Server], run_module: Callable[..., dict[str, Any]]) -> None:
    server = nginx(SITE, NOTHING)
    path = str(server.directory / "server.d/hello.conf")
    args = {
        "binary": server.binary,
        "config": str(server.config),
        "prefix": str(server.directory),
        "state_dir": str(server.directory / "state"),
        "run": "run-1",
        "files": [{"path": path, "content": HELLO, "mode": "0640"}],
    }
    planned = run_module("nginx_dropin", args, check=True, diff=True)
    assert planned["changed"] and planned["diff"][0]["after"] == HELLO and not Path(path).exists()
    done = run_module("nginx_dropin", args, diff=True)
    assert done["changed"] and done["reloaded"] and done["diff"] == planned["diff"]
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o640
    assert not run_module("nginx_dropin", args)["changed"]
    refused = run_module("nginx_dropin", {**args, "run": "run-2", "files": [{"path": path, "content": "}"}]})
    assert refused["failed"] and 'unexpected "}"' in refused["msg"] and Path(path).read_text() == HELLO
    back = run_module("nginx_dropin", {**args, "files": [], "state": "restored"})
    assert back["changed"] and not Path(path).exists()
    bad = run_module("nginx_dropin", {**args, "run": "../x"})
    assert bad["failed"] and "cannot be the name of a directory" in bad["msg"]
