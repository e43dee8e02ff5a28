# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for every test: real servers on ports of their own, and Ansible as a user runs it.

Servers come from ``tools/debs.py`` (unpacked, never installed). A fixture that hands out servers is a factory; all that
it started is stopped at the end of the test, or of the session where its name says so. What cannot be had is a failure
of the test, never a skip.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import http.server
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"

# `import ansible_collections.golive.cutover...` works however pytest is started.
if str(CACHE / "collections") not in sys.path:
    sys.path.insert(0, str(CACHE / "collections"))

# A busy machine is no failure. Where a run decides whether a change lands it must be repeatable: there the examples are always
# the same, and looking for new ones is for whoever runs the tests at their desk.
hypothesis.settings.register_profile("desk", deadline=None)
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.load_profile("repeatable" if os.environ.get("CI") else "desk")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to go on when tests that share a machine would be spread over processes, where they fail."""
    if getattr(session.config.option, "loadgroup", False):
        alone = [item.nodeid for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
        if alone:
            raise pytest.UsageError(f"this pytest and this pytest-xdist do not group tests: {alone[0]} would run anywhere")


#: How long a local server may take to answer, on a machine that is busy with other tests.
START_SECONDS = 20.0


def _tool(script: str, *arguments: str) -> str:
    """Run a tool of the repository and return the last line that it printed; fail the test with its message."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / script), *arguments],
        text=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    if done.returncode:
        pytest.fail(f"tools/{script} {' '.join(arguments)}: {done.stderr.strip()}", pytrace=False)
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else ""


def wait_until(ready: Callable[[], bool], seconds: float = START_SECONDS, what: str = "the server") -> None:
    """Wait until *ready* returns true; fail after *seconds*."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} was not ready within {seconds:g} s", pytrace=False)
        time.sleep(0.02)


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether something accepts connections on *port*."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=0.5):
        return True
    return False


def stop_process(process: subprocess.Popen[Any], seconds: float = 5.0) -> None:
    """End *process* with SIGTERM, and with SIGKILL when that is not enough."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(seconds)


# ---------------------------------------------------------------------------------------------------------------------
# Small things


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return a function that names a free TCP port; no port is named twice in one test."""
    given: set[int] = set()

    def choose() -> int:
        while True:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", 0))
                port: int = probe.getsockname()[1]
            if port not in given:
                given.add(port)
                return port

    return choose


@pytest.fixture
def canary() -> str:
    """Return a secret value that must not turn up in anything that is written."""
    return f"CANARY-{secrets.token_hex(12)}"


@pytest.fixture(scope="session")
def collection_path() -> Path:
    """Return the directory to use as collections path: it holds this repository as ``golive.cutover``."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import env
    finally:
        sys.path.remove(str(ROOT / "tools"))
    env.link_collection()
    return CACHE / "collections"


# ---------------------------------------------------------------------------------------------------------------------
# nginx and Redis


def _wrapper(bundle: str, command: str) -> str:
    _tool("debs.py", bundle)
    return str(CACHE / "bin" / command)


@pytest.fixture(scope="session")
def nginx_bin() -> str:
    """Return the path of a runnable nginx."""
    return _wrapper("nginx", "nginx")


@pytest.fixture(scope="session")
def redis_server_bin() -> str:
    """Return the path of a runnable redis-server."""
    return _wrapper("redis", "redis-server")


@pytest.fixture(scope="session")
def redis_cli_bin(redis_server_bin: str) -> str:
    """Return the path of a runnable redis-cli."""
    return str(Path(redis_server_bin).with_name("redis-cli"))


@dataclasses.dataclass
class RedisServer:
    """A private Redis server. ``config`` is the file that it was started with; ``directory`` is its data directory."""

    port: int
    directory: Path
    config: Path
    log: Path
    process: subprocess.Popen[bytes]
    command: list[str]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        """End the server gracefully."""
        stop_process(self.process)

    def kill(self) -> None:
        """End the server with SIGKILL, as a power failure would."""
        self.process.kill()
        self.process.wait(5)

    def start(self) -> None:
        """Start the server again, with the same configuration file and data."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(lambda: self.process.poll() is not None or self.ready(), what=f"redis-server on {self.port}")
        if self.process.poll() is not None:
            pytest.fail(f"redis-server ended: {self.log.read_text(errors='replace')[-2000:]}", pytrace=False)

    def ready(self) -> bool:
        """Return whether the server answers PING and has loaded its data."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=0.5) as link:
            link.sendall(b"PING\r\n")
            answer = link.recv(64)
            # With a password set the answer is an error, but the server is there.
            return answer.startswith((b"+PONG", b"-NOAUTH"))
        return False


@pytest.fixture
def redis_server(
    redis_server_bin: str, tmp_path: Path, free_port: Callable[[], int]
) -> Iterator[Callable[..., RedisServer]]:
    """Return ``start(config_lines={}, args=[], directory=None, env=None)``, which starts a private Redis on a free port.

    Persistence is off unless *config_lines* says otherwise (``{"save": "60 1", "appendonly": "yes"}``).
    """
    started: list[RedisServer] = []

    def start(
        config_lines: Mapping[str, str] | None = None,
        args: Sequence[str] = (),
        directory: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> RedisServer:
        port = free_port()
        home = directory or tmp_path / f"redis-{port}"
        home.mkdir(parents=True, exist_ok=True)
        lines = {
            "bind": "127.0.0.1",
            "port": str(port),
            "dir": str(home),
            "save": '""',
            "daemonize": "no",
            "logfile": '""',
            **(config_lines or {}),
        }
        config = home / "redis.conf"
        config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()), encoding="utf-8")
        command = [redis_server_bin, str(config), *args]
        if env:
            command = ["env", *(f"{name}={value}" for name, value in env.items()), *command]
        server = RedisServer.__new__(RedisServer)
        server.port, server.directory, server.config, server.log = port, home, config, home / "redis.log"
        server.command = command
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@dataclasses.dataclass
class Nginx:
    """A private nginx. ``directory`` is its prefix: it holds ``nginx.conf``, ``error.log`` and ``access.log``."""

    binary: str
    port: int
    directory: Path
    config: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def error_log(self) -> str:
        path = self.directory / "error.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of nginx on this configuration: ``command("-t")``, ``command("-s", "reload")``."""
        return [self.binary, "-p", str(self.directory), "-c", str(self.config), *arguments]

    def reload(self) -> None:
        """Read the configuration again, without dropping connections."""
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """End the server at once."""
        stop_process(self.process)


#: Text around what a test gives: everything that nginx writes stays in its own directory, as any user.
NGINX_MAIN = """\
daemon off;
pid nginx.pid;
error_log error.log info;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log access.log;
  client_body_temp_path tmp/body;
  proxy_temp_path tmp/proxy;
  fastcgi_temp_path tmp/fastcgi;
  uwsgi_temp_path tmp/uwsgi;
  scgi_temp_path tmp/scgi;
{http}
}}
"""


@pytest.fixture
def nginx(nginx_bin: str, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Callable[..., Nginx]]:
    """Return ``start(http, files={})``, which starts a private nginx.

    *http* is the inside of the ``http`` block, where ``@PORT@`` stands for the free port that was chosen;
    *files* are further files below the prefix, by relative name. A text with a top-level ``events`` block is taken as
    the whole configuration (with ``daemon off``, and with all paths relative).
    """
    started: list[Nginx] = []

    def start(http: str, files: Mapping[str, str] | None = None) -> Nginx:
        port = free_port()
        home = tmp_path / f"nginx-{port}"
        (home / "tmp").mkdir(parents=True)
        whole = re.search(r"^\s*events\s*\{", http, re.MULTILINE) is not None
        text = http if whole else NGINX_MAIN.format(http=http)
        config = home / "nginx.conf"
        for name, content in {"nginx.conf": text, **(files or {})}.items():
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content.replace("@PORT@", str(port)), encoding="utf-8")
        server = Nginx.__new__(Nginx)
        server.binary, server.port, server.directory, server.config = nginx_bin, port, home, config
        with (home / "startup.log").open("wb") as log:
            server.process = subprocess.Popen(
                server.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(lambda: server.process.poll() is not None or answers(port), what=f"nginx on {port}")
        if server.process.poll() is not None:
            pytest.fail(f"nginx ended: {(home / 'startup.log').read_text(errors='replace')}", pytrace=False)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


# ---------------------------------------------------------------------------------------------------------------------
# Prometheus


@pytest.fixture(scope="session")
def prometheus_bin() -> str:
    """Return the path of a runnable Prometheus server; ``promtool`` lies beside it."""
    return _wrapper("prometheus", "prometheus")


class MetricsPage:
    """A page of metrics that a test controls: what ``text`` holds is served; None is answered with 503."""

    def __init__(self) -> None:
        self.text: str | None = ""
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = (page.text or "").encode()
                self.send_response(503 if page.text is None else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclasses.dataclass
class Prometheus:
    """A private Prometheus server. ``page`` is what it scrapes, as the job ``page``; ``directory`` holds all its files."""

    port: int
    directory: Path
    page: MetricsPage
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, query: str, **more: str) -> Any:
        """Return the result of a query at one moment, as the API gives it."""
        form = urllib.parse.urlencode({"query": query, **more})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{form}", timeout=10) as reply:
            return json.load(reply)["data"]["result"]

    def ready(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as reply:
            return bool(reply.status == 200)
        return False

    def stop(self) -> None:
        """End the server."""
        stop_process(self.process)


@pytest.fixture
def prometheus(prometheus_bin: str, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Callable[..., Prometheus]]:
    """Return ``start(text="", history="", config="", every="200ms")``, which starts a private Prometheus on a free port.

    It scrapes a page that holds *text* and that the test changes through ``.page.text``. *history* are samples of the past in
    the OpenMetrics format, with timestamps; the closing ``# EOF`` is added. *config* is appended to the configuration
    (``rule_files``, ``alerting``); *every* is the interval of scrapes and of rules.
    """
    started: list[Prometheus] = []

    def start(text: str = "", history: str = "", config: str = "", every: str = "200ms") -> Prometheus:
        port = free_port()
        home = tmp_path / f"prometheus-{port}"
        data = home / "data"
        data.mkdir(parents=True)
        if history:
            (home / "history").write_text(f"{history.rstrip()}\n# EOF\n", encoding="utf-8")
            promtool = str(Path(prometheus_bin).with_name("promtool"))
            command = [promtool, "tsdb", "create-blocks-from", "openmetrics", str(home / "history"), str(data)]
            done = subprocess.run(command, text=True, stdin=subprocess.DEVNULL, capture_output=True)
            if done.returncode:
                pytest.fail(f"promtool: {done.stderr.strip()}", pytrace=False)
        page = MetricsPage()
        page.text = text
        scrapes = f"  - job_name: page\n    static_configs: [{{targets: ['127.0.0.1:{page.port}']}}]\n"
        (home / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {every}, scrape_timeout: {every}, evaluation_interval: {every}}}\n"
            f"scrape_configs:\n{scrapes}{config}",
            encoding="utf-8",
        )
        command = [prometheus_bin, f"--config.file={home / 'prometheus.yml'}", f"--storage.tsdb.path={data}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn", "--web.enable-lifecycle"]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=home)
        server = Prometheus(port, home, page, process)
        started.append(server)
        wait_until(lambda: process.poll() is not None or server.ready(), what=f"prometheus on {port}")
        if process.poll() is not None:
            pytest.fail(f"prometheus ended: {(home / 'log').read_text(errors='replace')[-2000:]}", pytrace=False)
        return server

    yield start
    for server in started:
        server.stop()
        server.page.close()


@pytest.fixture(scope="session")
def alertmanager_bin() -> str:
    """Return the path of a runnable Alertmanager; ``amtool`` lies beside it."""
    return _wrapper("alertmanager", "prometheus-alertmanager")


@dataclasses.dataclass
class Alertmanager:
    """A private Alertmanager. ``config`` is its configuration, ``pid_file`` holds the number of its process."""

    port: int
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def config(self) -> Path:
        return self.directory / "alertmanager.yml"

    @property
    def pid_file(self) -> Path:
        return self.directory / "pid"

    def ready(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as reply:
            return bool(reply.status == 200)
        return False

    def stop(self) -> None:
        """End the server."""
        stop_process(self.process)


@pytest.fixture
def alertmanager(alertmanager_bin: str, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Callable[..., Alertmanager]]:
    """Return ``start(config)``, which starts a private Alertmanager on a free port; without *config* it tells nobody."""
    started: list[Alertmanager] = []

    def start(config: str = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n") -> Alertmanager:
        port = free_port()
        home = tmp_path / f"alertmanager-{port}"
        home.mkdir()
        (home / "alertmanager.yml").write_text(config, encoding="utf-8")
        command = [alertmanager_bin, f"--config.file={home / 'alertmanager.yml'}", f"--storage.path={home / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--log.level=warn"]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=home)
        server = Alertmanager(port, home, process)
        server.pid_file.write_text(f"{process.pid}\n", encoding="ascii")
        started.append(server)
        wait_until(lambda: process.poll() is not None or server.ready(), what=f"alertmanager on {port}")
        if process.poll() is not None:
            pytest.fail(f"alertmanager ended: {(home / 'log').read_text(errors='replace')[-2000:]}", pytrace=False)
        return server

    yield start
    for server in started:
        server.stop()


# ---------------------------------------------------------------------------------------------------------------------
# Load generators


@pytest.fixture(scope="session")
def ab_bin() -> str:
    """Return the path of a runnable ``ab``."""
    return _wrapper("load", "ab")


@pytest.fixture(scope="session")
def wrk_bin() -> str:
    """Return the path of a runnable ``wrk``."""
    return _wrapper("load", "wrk")


# ---------------------------------------------------------------------------------------------------------------------
# Docker


@contextlib.contextmanager
def _counted(directory: Path) -> Iterator[Callable[[], bool]]:
    """Count the users of something that parallel test processes share; the yielded function says: am I the last?"""
    directory.mkdir(parents=True, exist_ok=True)
    mine = directory / str(os.getpid())
    mine.touch()

    def last() -> bool:
        mine.unlink(missing_ok=True)
        for other in directory.iterdir():
            if other.name.isdigit() and Path("/proc", other.name).exists():
                return False
            if other.name.isdigit():
                other.unlink(missing_ok=True)
        return True

    yield last


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[dict[str, str]]:
    """Start the private Docker engine of the project and return the environment that reaches it.

    The environment holds DOCKER_HOST, DOCKER_CONFIG and a PATH whose first entry has ``docker`` with Compose. The
    engine is shared by parallel test processes, and stopped by the last of them if it was the tests that started it.
    """
    users = CACHE / "docker" / "users"
    users.mkdir(parents=True, exist_ok=True)
    lock = (users / ".lock").open("a")
    with _counted(users) as last:
        fcntl.flock(lock, fcntl.LOCK_EX)
        running = _tool("docker_engine.py", "status") == "running"
        if not running:
            (users / "ours").touch()
        environment = json.loads(_tool("docker_engine.py", "start", "--json"))
        fcntl.flock(lock, fcntl.LOCK_UN)
        yield {**os.environ, **environment}
        fcntl.flock(lock, fcntl.LOCK_EX)
        if last() and (users / "ours").exists():
            (users / "ours").unlink()
            _tool("docker_engine.py", "stop")
        fcntl.flock(lock, fcntl.LOCK_UN)
    lock.close()


@pytest.fixture(scope="session")
def docker_image(docker_engine: dict[str, str]) -> Callable[[str], str]:
    """Return ``image(name)``: builds the test image *name* unless it is there (see tests/images), and returns its tag."""
    made: dict[str, str] = {}

    def image(name: str) -> str:
        if name not in made:
            made[name] = _tool("images.py", name)
        return made[name]

    return image


# ---------------------------------------------------------------------------------------------------------------------
# Ansible


@dataclasses.dataclass
class AnsibleResult:
    """What a run of Ansible returned: ``output`` as a person sees it, stdout and stderr together; ``why`` begins with its end."""

    rc: int
    stdout: str
    stderr: str
    command: list[str]

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    @property
    def why(self) -> str:
        """What a test says when a run did not end as it should: what failed and the end come first, as a long message is cut."""
        lines = self.output.splitlines()
        fatal = [line[:2000] for line in lines if line.startswith(("fatal:", "failed:", "ERROR", "[ERROR]"))]
        return "\n".join([f"rc={self.rc}", *fatal, *lines[-60:], "", "all of it:", *lines])

    def changed(self) -> int:
        """Return the sum of ``changed=`` in the recap."""
        return sum(int(n) for n in re.findall(r"\bchanged=(\d+)", self.stdout))


def ansible_environment(collections: Path, home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for Ansible: the repository's configuration, nothing of the user's, no colours."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "GOLIVE_"))}
    return {
        **kept,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(CACHE / "bin"), kept.get("PATH", "")]),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_LOCAL_TEMP": str(home / "tmp"),
        "ANSIBLE_REMOTE_TEMP": str(home / "remote"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_DEPRECATION_WARNINGS": "true",
        "PYTHONWARNINGS": "default",
        **(extra or {}),
    }


def _run(command: Sequence[str], env: Mapping[str, str], cwd: Path, timeout: float) -> AnsibleResult:
    with subprocess.Popen(
        list(command),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return AnsibleResult(process.returncode, stdout, stderr, list(command))


@pytest.fixture
def ansible_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a short-lived ANSIBLE_HOME with a short path (control sockets have a length limit)."""
    home = tmp_path_factory.mktemp("ah")
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def ansible_playbook(collection_path: Path, ansible_home: Path, tmp_path: Path) -> Callable[..., AnsibleResult]:
    """Return ``run(playbook, *arguments, inventory=None, extra_vars=None, env=None, cwd=None, timeout=300)``.

    *playbook* is a path, a name such as ``golive.cutover.verify``, or a list of plays, which is written to a file.
    *inventory* is a path, a comma-separated host list, or a dictionary, which is written to a file; the default is
    localhost with the Python of the tests. *extra_vars* go through a file, never the command line. It does not judge
    the return code.
    """

    def run(
        playbook: str | Path | list[dict[str, Any]],
        *arguments: str,
        inventory: str | Path | dict[str, Any] | None = None,
        extra_vars: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 300.0,
    ) -> AnsibleResult:
        work = tmp_path / f"ansible-{secrets.token_hex(3)}"
        work.mkdir(mode=0o700)
        if isinstance(playbook, list):
            (work / "playbook.yml").write_text(json.dumps(playbook), encoding="utf-8")
            playbook = work / "playbook.yml"
        if inventory is None:
            inventory = {"all": {"hosts": {"localhost": {}}}}
        if isinstance(inventory, dict):
            hosts = inventory.setdefault("all", {}).setdefault("vars", {})
            hosts.setdefault("ansible_connection", "local")
            hosts.setdefault("ansible_python_interpreter", sys.executable)
            (work / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
            inventory = work / "inventory.yml"
        command = [sys.executable, "-m", "ansible", "playbook", str(playbook), "-i", str(inventory), *arguments]
        if extra_vars:
            path = work / "vars.json"
            path.write_text(json.dumps(dict(extra_vars)), encoding="utf-8")
            path.chmod(0o600)
            command += ["-e", f"@{path}"]
        return _run(command, ansible_environment(collection_path, ansible_home, env), cwd or tmp_path, timeout)

    return run


@pytest.fixture
def run_module(collection_path: Path, ansible_home: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return ``run(name, args=None, check=False, diff=False, env=None, timeout=120)``: one module as a real task.

    *name* is short (``check``) or full. The result is the task's result with ``failed`` and ``changed`` always set;
    what Ansible printed is under ``_output``. The module is packed, sent and run as on a remote host.
    """

    def run(
        name: str,
        args: Mapping[str, Any] | None = None,
        check: bool = False,
        diff: bool = False,
        env: Mapping[str, str] | None = None,
        timeout: float = 120.0,
    ) -> dict[str, Any]:
        full = name if "." in name else f"golive.cutover.{name}"
        # A file, not the command line: arguments may hold secrets and may not be templated.
        work = tmp_path / f"module-{secrets.token_hex(3)}"
        work.mkdir(mode=0o700)
        result_file = work / "result.json"
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "tasks": [
                {"name": "module", full: dict(args or {}), "register": "module_result", "ignore_errors": True},
                {
                    "name": "result",
                    "ansible.builtin.copy": {
                        "content": "{{ module_result | ansible.builtin.to_json }}",
                        "dest": str(result_file),
                        "mode": "0600",
                    },
                    "check_mode": False,
                    "diff": False,
                    "no_log": True,
                },
            ],
        }
        (work / "playbook.yml").write_text(json.dumps([play]), encoding="utf-8")
        inventory = {
            "all": {
                "hosts": {"localhost": {}},
                "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
            }
        }
        (work / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
        command = [sys.executable, "-m", "ansible", "playbook", str(work / "playbook.yml")]
        command += ["-i", str(work / "inventory.yml"), *(["--check"] if check else []), *(["--diff"] if diff else [])]
        done = _run(command, ansible_environment(collection_path, ansible_home, env), tmp_path, timeout)
        if not result_file.exists():
            pytest.fail(f"{full} gave no result:\n{done.output}", pytrace=False)
        result: dict[str, Any] = json.loads(result_file.read_text(encoding="utf-8"))
        result.setdefault("failed", False)
        result.setdefault("changed", False)
        result["_output"] = done.output
        return result

    return run
