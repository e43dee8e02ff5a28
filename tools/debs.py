#!/usr/bin/env python3
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpack Debian or Ubuntu packages into the cache of the project, without installing anything.

    tools/debs.py nginx redis        # leaves .cache/bin/nginx, .cache/bin/redis-server, ...
    tools/debs.py --list

What this machine already has is used as it is. The rest is downloaded by apt, by package name, from the package
sources that this machine is set up with, and unpacked with ``dpkg -x``: no package is installed, no service is started,
no source is added to the machine, and root is not needed. apt keeps its lists and archives under ``.cache/apt``.

A bundle that an older Debian cannot provide is taken from a newer suite. The entry of that suite is derived from the
machine's own entry and exists in the private directory of apt only.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"

#: Debian releases from old to new: a bundle names the oldest one that can provide it.
DEBIAN_SUITES = ("bullseye", "bookworm", "trixie", "forky", "sid")

#: Raised when the meaning of what is written to the cache changes, so that older caches are made anew.
LAYOUT = 5

#: Package lists older than this are refreshed before the next download.
LISTS_AGE = 24 * 3600.0


class DebsError(Exception):
    """What went wrong and what the user can do about it, in one message."""


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A set of packages that is unpacked together, and the commands that it provides."""

    summary: str
    packages: tuple[str, ...]
    #: command name -> oldest acceptable version on this machine, or None when the machine's own is never used
    commands: dict[str, tuple[int, ...] | None]
    #: package names on Ubuntu, where they differ
    ubuntu: tuple[str, ...] | None = None
    #: further packages, always from the machine's own suite
    own_packages: tuple[str, ...] = ()
    #: the oldest Debian suite that has what is needed; the machine's own where it is newer
    debian_suite: str = ""
    #: unpack the packages with all that they depend on, C library included, as if nothing were installed
    complete: bool = False


BUNDLES: dict[str, Bundle] = {
    "alertmanager": Bundle(
        "Prometheus Alertmanager and amtool",
        ("prometheus-alertmanager",),
        {"prometheus-alertmanager": None, "amtool": None},
    ),
    "chromium": Bundle("browser for the probe page", ("chromium",), {"chromium": (120,)}),
    "nginx": Bundle("nginx web server", ("nginx",), {"nginx": (1, 20)}),
    "redis": Bundle(
        "Redis server and its tools",
        ("redis-server", "redis-tools"),
        {"redis-server": (6, 2), "redis-cli": (6, 2), "redis-benchmark": (6, 2)},
    ),
    "docker": Bundle(
        "Docker engine, Compose and buildx",
        ("docker.io", "docker-cli", "docker-compose", "docker-buildx"),
        {"dockerd": None, "docker": None, "containerd": None, "runc": None, "iptables": None},
        ubuntu=("docker.io", "docker-compose-v2", "docker-buildx"),
        own_packages=("iptables",),
        debian_suite="trixie",
    ),
    "load": Bundle(
        "load generators that the probe load is compared with",
        ("apache2-utils", "wrk"),
        {"ab": None, "wrk": None},
    ),
    "java": Bundle("Java for ansible-rulebook", ("default-jre-headless",), {"java": (17,)}),
    "journal": Bundle(
        "files of the journal of systemd",
        ("systemd-journal-remote", "systemd"),
        {"systemd-journal-remote": None, "journalctl": (247,)},
    ),
    "mmdebstrap": Bundle("builds the base images of the tests", ("mmdebstrap",), {"mmdebstrap": (1, 3)}),
    "openssl": Bundle("certificates for tests of TLS", ("openssl",), {"openssl": (3, 0)}),
    "patchelf": Bundle("makes an unpacked Python find its libraries", ("patchelf",), {"patchelf": (0, 14)}),
    "pip": Bundle("pip, for a Python that comes without ensurepip", ("python3-pip-whl",), {}),
    "prometheus": Bundle("Prometheus server and promtool", ("prometheus",), {"prometheus": None, "promtool": None}),
    "postgresql": Bundle(
        "PostgreSQL server",
        ("postgresql",),
        {"initdb": None, "postgres": None},
    ),
    "python": Bundle(
        "Python 3.13 for a machine whose newest is older",
        ("python3.13-venv", "libpython3.13-stdlib", "python3-pip-whl", "ca-certificates"),
        {},
        debian_suite="trixie",
        complete=True,
    ),
}


# ---------------------------------------------------------------------------------------------------------------------
# The machine


def os_release() -> dict[str, str]:
    """Return the fields of os-release: ``ID``, ``ID_LIKE``, ``VERSION_CODENAME``, ..."""
    for name in ("/etc/os-release", "/usr/lib/os-release"):
        with contextlib.suppress(OSError):
            return parse_os_release(Path(name).read_text(encoding="utf-8"))
    return {}


def parse_os_release(text: str) -> dict[str, str]:
    """Parse shell-like ``NAME=value`` lines."""
    fields = {}
    for line in text.splitlines():
        name, sep, value = line.partition("=")
        if sep and not name.startswith("#"):
            fields[name.strip()] = "".join(shlex.split(value))
    return fields


def search_path() -> str:
    """Return PATH with the system directories that an ordinary user's PATH lacks, and without our own wrappers."""
    entries = [e for e in os.environ.get("PATH", "").split(os.pathsep) if e and Path(e) != CACHE / "bin"]
    entries += [e for e in ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin") if e not in entries]
    return os.pathsep.join(entries)


def machine_command(name: str, oldest: tuple[int, ...]) -> str | None:
    """Return the path of the machine's own command *name* if it is there, runs and is new enough."""
    found = shutil.which(name, path=search_path())
    if found is None or Path(found).resolve().is_relative_to(CACHE.resolve()):
        return None
    flag = {"nginx": "-v", "openssl": "version"}.get(name, "--version")
    try:
        answer = subprocess.run([found, flag], check=True, text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    version = version_of(answer.stdout + answer.stderr)
    return found if version is not None and version >= oldest else None


def version_of(text: str) -> tuple[int, ...] | None:
    """Return the first dotted version number in *text* as a tuple of integers."""
    found = re.search(r"(\d+(?:\.\d+)+)", text)
    return tuple(int(part) for part in found.group(1).split(".")) if found else None


# ---------------------------------------------------------------------------------------------------------------------
# Package sources


@dataclasses.dataclass(frozen=True)
class Source:
    """One package source: an address, one suite of it, and its components."""

    uri: str
    suite: str
    components: tuple[str, ...]
    #: one-line options such as ``signed-by=/usr/share/keyrings/x.gpg``
    options: tuple[str, ...] = ()

    def line(self) -> str:
        """Return the entry in the one-line style of sources.list."""
        options = f"[{' '.join(self.options)}] " if self.options else ""
        return f"deb {options}{self.uri} {self.suite} {' '.join(self.components)}"


def parse_list(text: str) -> list[Source]:
    """Parse the one-line style: ``deb [options] uri suite component...``."""
    found = []
    for raw in text.splitlines():
        line = raw.split("#", 1)[0].strip()
        matched = re.match(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<rest>.*)$", line)
        if matched:
            options = tuple((matched["options"] or "").split())
            found.append(Source(matched["uri"], matched["suite"], tuple(matched["rest"].split()), options))
    return found


def parse_deb822(text: str) -> list[Source]:
    """Parse the deb822 style (``*.sources``). Keys that are embedded in the stanza are not taken over."""
    found = []
    for stanza in re.split(r"\n\s*\n", "\n".join(x for x in text.splitlines() if not x.startswith("#"))):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1].isspace():
                fields[name] = f"{fields.get(name, '')}\n{line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        options = []
        key = fields.get("signed-by", "").strip()
        if key and "\n" not in key and not key.startswith("-----"):
            options.append(f"signed-by={','.join(key.split())}")
        if fields.get("trusted", "").lower() == "yes":
            options.append("trusted=yes")
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                found.append(Source(uri, suite, tuple(fields.get("components", "").split()), tuple(options)))
    return found


def machine_sources(etc: Path = Path("/etc/apt")) -> list[Source]:
    """Return every binary package source that the machine is set up with."""
    found: list[Source] = []
    lists = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]
    for path in lists:
        with contextlib.suppress(OSError):
            found += parse_list(path.read_text(encoding="utf-8"))
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        with contextlib.suppress(OSError):
            found += parse_deb822(path.read_text(encoding="utf-8"))
    return found


def distribution_sources(sources: Sequence[Source], codename: str) -> list[Source]:
    """Keep the sources of the distribution itself: a third party's may be unreachable and are never needed."""
    ours = [s for s in sources if s.suite == codename or s.suite.startswith(f"{codename}-")]
    return [s for s in ours if {"main", "universe"} & set(s.components)]


def derive_suite(sources: Sequence[Source], codename: str, suite: str) -> Source | None:
    """Return the entry of *suite* on the mirror that serves *codename*, signed by the keys of the distribution.

    The signing key is dropped when it is one for a single release; apt then uses its own trusted keys, to which the
    archive keyring belongs.
    """
    for source in sources:
        if source.suite == codename and "main" in source.components:
            options = []
            for option in source.options:
                name, _, value = option.partition("=")
                if name.lower() == "signed-by":
                    value = value.replace(codename, suite)
                    if not value.startswith("/") or not all(Path(p).exists() for p in value.split(",")):
                        continue
                options.append(f"{name}={value}")
            return Source(source.uri, suite, ("main",), tuple(options))
    return None


# ---------------------------------------------------------------------------------------------------------------------
# apt, with everything that it writes in the cache of the project


class Apt:
    """apt-get with a private state: lists, archives, sources and preferences under *home*."""

    def __init__(self, home: Path, *, extra_suite: str, empty_status: bool) -> None:
        self.home = home
        self.extra_suite = extra_suite
        self.empty_status = empty_status
        self._refreshed = False

    def prepare(self) -> None:
        """Write sources, preferences and configuration; refuse clearly what cannot work."""
        for tool in ("apt-get", "dpkg"):
            if shutil.which(tool, path=search_path()) is None:
                raise DebsError(f"{tool} is not here: this is not a Debian or Ubuntu machine")
        release = os_release()
        codename = release.get("VERSION_CODENAME", "")
        sources = distribution_sources(machine_sources(), codename)
        if not sources:
            raise DebsError(f"no package source for '{codename or 'this release'}' is set up in /etc/apt")
        lines = [source.line() for source in sources]
        preferences = ""
        if self.extra_suite:
            derived = derive_suite(sources, codename, self.extra_suite)
            if derived is None:
                raise DebsError(f"the source of {self.extra_suite} cannot be derived from the sources in /etc/apt")
            lines = [derived.line()] if self.empty_status else [*lines, derived.line()]
            preferences = f"Package: *\nPin: release n={self.extra_suite}\nPin-Priority: 100\n"
        for name in ("etc/none", "state/lists/partial", "cache/archives/partial", "cache/none/partial", "dpkg"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        changed = _write(self.home / "etc/sources.list", "\n".join(dict.fromkeys(lines)) + "\n")
        _write(self.home / "etc/preferences", preferences)
        _write(self.home / "dpkg/status", "")
        # Hooks of the machine would touch what is not ours (one of them empties its archive of packages).
        _write(
            self.home / "etc/apt.conf",
            "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n"
            "#clear DPkg::Pre-Invoke;\n#clear DPkg::Post-Invoke;\n#clear DPkg::Pre-Install-Pkgs;\n"
            'APT::Keep-Downloaded-Packages "true";\n',
        )
        if changed:
            self._stamp.unlink(missing_ok=True)

    @property
    def _stamp(self) -> Path:
        return self.home / "updated"

    def run(self, *arguments: str, timeout: float = 900.0) -> str:
        """Run apt-get and return what it printed; raise DebsError with the end of its message."""
        status = self.home / "dpkg/status" if self.empty_status else Path("/var/lib/dpkg/status")
        options = {
            "Dir::State": self.home / "state",
            "Dir::State::status": status,
            "Dir::Cache": self.home / "cache",
            "Dir::Etc::sourcelist": self.home / "etc/sources.list",
            "Dir::Etc::sourceparts": self.home / "etc/none",
            "Dir::Etc::preferences": self.home / "etc/preferences",
            "Dir::Etc::preferencesparts": self.home / "etc/none",
            "Debug::NoLocking": "1",
            "APT::Sandbox::User": "root",  # the cache may lie where the sandbox user cannot write
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
            "Acquire::http::Timeout": "30",
        }
        command = ["apt-get", "-q", f"-c={self.home / 'etc/apt.conf'}"]
        command += [f"-o{name}={value}" for name, value in options.items()]
        environment = {**os.environ, "PATH": search_path(), "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        try:
            done = subprocess.run(
                [*command, *arguments],
                text=True,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                env=environment,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DebsError(f"apt-get {arguments[0]} could not be run: {error}") from error
        if done.returncode:
            lines = [x for x in (done.stderr + done.stdout).splitlines() if x.startswith("E:")]
            raise DebsError("\n  ".join([f"apt-get {arguments[0]} failed:", *lines[:4]]))
        return done.stdout

    def update(self, *, force: bool = False) -> None:
        """Refresh the package lists when there are none, when they are old, or when told to."""
        fresh = self._stamp.exists() and time.time() - self._stamp.stat().st_mtime < LISTS_AGE
        if self._refreshed or (fresh and not force):
            return
        self.run("update", "-oAPT::Update::Error-Mode=any")
        self._stamp.touch()
        self._refreshed = True

    def download(self, packages: Sequence[str], own_packages: Sequence[str] = ()) -> list[Path]:
        """Download *packages* and what they need that is missing here; return the archives."""
        names = [f"{name}/{self.extra_suite}" if self.extra_suite else name for name in packages]
        names += own_packages
        for attempt in (1, 2):
            try:
                self.update(force=attempt == 2)
                # An archive that is there already is not printed: plan as if there were none.
                planned = self.run("install", f"-oDir::Cache::archives={self.home}/cache/none", "--print-uris", "--yes", *names)
                self.run("install", "--download-only", "--yes", *names)
                archives = [self.home / "cache/archives" / name for name in archive_names(planned)]
                missing = [a.name for a in archives if not a.exists()]
                if missing:
                    raise DebsError(f"apt-get did not leave {', '.join(missing)}")
                return archives
            except DebsError:
                if attempt == 2 or self._refreshed:
                    raise
        raise AssertionError("not reached")


def archive_names(planned: str) -> list[str]:
    """Return the archive file names from the output of ``apt-get install --print-uris``."""
    return re.findall(r"^'[^']+' (\S+\.deb) \d+", planned, flags=re.MULTILINE)


def _write(path: Path, text: str) -> bool:
    """Write *text* unless it is there already; return whether the file changed."""
    with contextlib.suppress(OSError):
        if path.read_text(encoding="utf-8") == text:
            return False
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    return True


# ---------------------------------------------------------------------------------------------------------------------
# Bundles


def packages_for(bundle: Bundle, release: dict[str, str]) -> tuple[tuple[str, ...], str]:
    """Return the packages of *bundle* on this distribution, and the newer suite to take them from or ''."""
    family = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    if "ubuntu" in family:
        return bundle.ubuntu or bundle.packages, ""
    codename = release.get("VERSION_CODENAME", "")
    if bundle.debian_suite and codename in DEBIAN_SUITES:
        wanted = DEBIAN_SUITES.index(bundle.debian_suite)
        if DEBIAN_SUITES.index(codename) < wanted:
            return bundle.packages, bundle.debian_suite
    return bundle.packages, ""


def stamp_of(name: str, bundle: Bundle, release: dict[str, str]) -> str:
    """Return what identifies the content of an unpacked bundle: the recipe and the machine it was made for."""
    parts = [LAYOUT, name, dataclasses.asdict(bundle), release.get("ID"), release.get("VERSION_CODENAME"), os.uname().machine]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file *path*: only one process changes the cache at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def unpack(name: str, bundle: Bundle, say: bool = True) -> Path:
    """Download and unpack *bundle* unless that was done before; return its root directory."""
    release = os_release()
    root = CACHE / "debs" / name
    stamp = stamp_of(name, bundle, release)
    if (root / ".stamp").exists() and (root / ".stamp").read_text(encoding="utf-8") == stamp:
        return root
    packages, suite = packages_for(bundle, release)
    if say:
        print(f"debs: fetching {', '.join([*packages, *bundle.own_packages])}", file=sys.stderr, flush=True)
    kind = (suite or "own") + ("-complete" if bundle.complete else "")
    apt = Apt(CACHE / "apt" / kind, extra_suite=suite, empty_status=bundle.complete)
    try:
        apt.prepare()
        archives = apt.download(packages, bundle.own_packages)
    except DebsError as error:
        wanted = " ".join([*packages, *bundle.own_packages])
        raise DebsError(
            f"{bundle.summary}: not on this machine, and it could not be fetched.\n  {error}\n"
            f"  Install by hand: {wanted}{f' (Debian {suite} or newer)' if suite else ''}"
        ) from error
    part = root.with_name(f".{name}.{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        # A merged /usr, as on the machine: packages of both layouts then land in one place.
        for link in ("bin", "sbin", "lib"):
            (part / "usr" / link).mkdir(parents=True, exist_ok=True)
            (part / link).symlink_to(f"usr/{link}")
        (part / "usr/lib64").mkdir()
        (part / "lib64").symlink_to("usr/lib64")
        for archive in archives:
            _unpack_archive(archive, part)
        _alternatives(part)
        _relocate(part)
        (part / ".stamp").write_text(stamp, encoding="utf-8")
        shutil.rmtree(root, ignore_errors=True)
        part.rename(root)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return root


def _unpack_archive(archive: Path, target: Path) -> None:
    # `dpkg -x` replaces a directory symlink of a merged /usr; tar with --keep-directory-symlink keeps it.
    reader = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE)
    done = subprocess.run(
        ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "--delay-directory-restore", "-C", str(target)],
        stdin=reader.stdout,
        text=True,
        stderr=subprocess.PIPE,
    )
    if reader.stdout is not None:
        reader.stdout.close()
    if reader.wait() or done.returncode:
        raise DebsError(f"{archive.name} could not be unpacked: {done.stderr.strip()}")


def _alternatives(root: Path) -> None:
    """Make the links that update-alternatives would make on installation."""
    for name in ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"):
        link = root / "usr/sbin" / name
        target = name.replace("tables", "tables-nft", 1)
        if not link.exists() and (root / "usr/sbin" / target).exists():
            link.symlink_to(target)


#: The directory that Debian's Alertmanager reads its templates from, whatever it is told; and the descriptor that takes its place.
ALERTMANAGER_DATA = "/usr/share/prometheus/alertmanager"
ALERTMANAGER_DESCRIPTOR = 9


def _relocate(root: Path) -> None:
    """Let a program with a built-in path read from a descriptor that its wrapper opens. The length of a text in it is fixed."""
    program = root / "usr/bin/prometheus-alertmanager"
    if program.exists():
        place = f"/proc/self/fd/{ALERTMANAGER_DESCRIPTOR}".rjust(len(ALERTMANAGER_DATA), "/")
        program.write_bytes(program.read_bytes().replace(ALERTMANAGER_DATA.encode(), place.encode()))
    # Java reads its configuration through links into /etc. It is unpacked under another name than it will have.
    for link in sorted(root.glob("usr/lib/jvm/**/*")):
        if link.is_symlink() and os.readlink(link).startswith("/etc/"):
            target = os.path.relpath(f"{root}{os.readlink(link)}", link.parent)
            link.unlink()
            link.symlink_to(target)


def library_path(root: Path) -> list[str]:
    """Return the directories with shared libraries in an unpacked bundle."""
    triplets = sorted((root / "usr/lib").glob("*-linux-gnu*"))
    return [str(path) for path in [*triplets, root / "usr/lib"] if any(path.glob("*.so*"))]


def wrapper(name: str, command: str, root: Path | None) -> str:
    """Return the shell script that runs *name*: *command*, with the libraries of *root* where it is unpacked."""
    lines = ["#!/bin/sh", "# Written by tools/debs.py"]
    run = shlex.quote(command)
    if root is not None:
        paths = library_path(root)
        if paths:
            joined = shlex.quote(":".join(paths))
            lines.append(f"LD_LIBRARY_PATH={joined}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}; export LD_LIBRARY_PATH")
        if name in ("docker", "dockerd", "containerd", "iptables", "mmdebstrap"):
            extra = f"{shlex.quote(str(root / 'usr/bin'))}:{shlex.quote(str(root / 'usr/sbin'))}"
            lines.append(f"PATH={extra}:$PATH:/usr/sbin:/sbin; export PATH")
            for modules in sorted((root / "usr/lib").glob("*-linux-gnu*/xtables")):
                lines.append(f"XTABLES_LIBDIR={shlex.quote(str(modules))}; export XTABLES_LIBDIR")
        if name == "docker":
            # The client looks for its plugins in fixed places and in its configuration directory: give it one of its own.
            lines.append(f': "${{DOCKER_CONFIG:={CACHE / "docker" / "config"}}}"; export DOCKER_CONFIG')
        if name == "prometheus-alertmanager":
            lines.append(f"exec {ALERTMANAGER_DESCRIPTOR}< {shlex.quote(str(root) + ALERTMANAGER_DATA)}")
        if name == "mmdebstrap":
            lines.append(f"PERL5LIB={shlex.quote(str(root / 'usr/share/perl5'))}; export PERL5LIB")
    if name == "nginx":
        # Before it has read its configuration nginx writes to the log that it was built with, which is not ours.
        lines.append(f'case " $* " in *" -e "*) exec {run} "$@" ;; esac')
        lines.append(f'exec {run} -e stderr "$@"')
    else:
        lines.append(f'exec {run} "$@"')
    return "\n".join(lines) + "\n"


def find_in(root: Path, name: str) -> Path | None:
    """Return the executable *name* in an unpacked bundle."""
    # Chromium's launcher in usr/bin only knows where the program is once it is installed.
    own = ("usr/lib/systemd", "usr/lib/postgresql/*/bin", "usr/lib/jvm/*/bin")
    for directory in ("usr/lib/chromium", "usr/bin", "usr/sbin", *own):
        for path in sorted(root.glob(f"{directory}/{name}"), reverse=True):
            return path
    return None


def docker_plugins(root: Path) -> dict[str, Path]:
    """Return the plugins of the Docker client that a bundle holds, by name."""
    return {p.name: p for p in sorted((root / "usr/libexec/docker/cli-plugins").glob("docker-*"))} or {
        p.name: p for p in sorted((root / "usr/lib/docker/cli-plugins").glob("docker-*"))
    }


def provide(name: str) -> None:
    """Make every command of the bundle *name* available in ``.cache/bin``."""
    bundle = BUNDLES[name]
    on_machine = {c: machine_command(c, v) for c, v in bundle.commands.items() if v is not None}
    enough = bool(bundle.commands) and all(on_machine.get(command) for command in bundle.commands)
    root = None if enough else unpack(name, bundle)
    for command in bundle.commands:
        if root is None:
            script = wrapper(command, str(on_machine[command]), None)
        else:
            # A package that was installed already is not downloaded again: its command is the machine's.
            path = find_in(root, command)
            own = shutil.which(command, path=search_path()) or find_in(Path("/"), command) if path is None else None
            if path is None and own is None:
                raise DebsError(f"{bundle.summary}: there is no '{command}' in {', '.join(bundle.packages)}")
            script = wrapper(command, str(path or own), root)
        target = CACHE / "bin" / command
        _write(target, script)
        if not os.access(target, os.X_OK):
            target.chmod(0o755)
    if name == "docker" and root is not None:
        for plugin, path in docker_plugins(root).items():
            link = CACHE / "docker/config/cli-plugins" / plugin
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink() or link.readlink() != path:
                link.unlink(missing_ok=True)
                link.symlink_to(path)


def standalone_python() -> Path:
    """Unpack a Python with its own C library, and make it runnable by its path; return that path.

    A program is tied to the loader of the machine by a path inside it, and a virtual environment runs its Python by
    path too, so neither a wrapper nor LD_LIBRARY_PATH would do: the loader and the library path are written into it.
    The caller holds the lock, and has provided patchelf.
    """
    bundle = BUNDLES["python"]
    root = unpack("python", bundle)
    python = root / "usr/bin/python3.13"
    ready = root / ".patched"
    if not ready.exists():
        loader = next(iter(sorted((root / "usr/lib64").glob("ld-linux-*"))), None)
        loader = loader or next(iter(sorted((root / "usr/lib").glob("ld-linux-*"))), None)
        if loader is None or not python.exists():
            raise DebsError(f"{bundle.summary}: the packages hold no Python")
        paths = [path for path in library_path(root) if "linux-gnu" in path] or library_path(root)
        # --force-rpath: unlike a RUNPATH it also holds for the libraries that extension modules ask for.
        options = ["--set-interpreter", str(loader), "--force-rpath", "--set-rpath", ":".join(paths), str(python)]
        done = subprocess.run([str(CACHE / "bin/patchelf"), *options], text=True, capture_output=True)
        if done.returncode:
            raise DebsError(f"{bundle.summary}: patchelf failed: {done.stderr.strip()}")
        ready.touch()
    return python


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Unpack packages of the distribution into the cache of the project.")
    parser.add_argument("bundles", nargs="*", metavar="BUNDLE", help=", ".join(BUNDLES))
    parser.add_argument("--list", action="store_true", help="say which bundles there are")
    options = parser.parse_args(arguments)
    if options.list or not options.bundles:
        for name, bundle in BUNDLES.items():
            print(f"{name:12} {bundle.summary}")
        return 0
    unknown = [name for name in options.bundles if name not in BUNDLES]
    if unknown:
        parser.error(f"no such bundle: {', '.join(unknown)} (there are: {', '.join(BUNDLES)})")
    failed = []
    with locked(CACHE / "debs" / ".lock"):
        for name in options.bundles:
            try:
                provide(name)
            except DebsError as error:
                failed.append(str(error))
    for message in failed:
        print(f"debs: {message}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
