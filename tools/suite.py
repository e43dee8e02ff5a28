#!/usr/bin/env python3
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the checks of the project, all of them or by name, and end with one line that says how many passed.

    tools/suite.py                   # everything
    tools/suite.py lint sanity       # some stages
    tools/suite.py --list

Every stage runs, whatever became of the one before. A test counts as one, and so does a linter. What is missing on the
machine makes its stage fail: nothing is skipped.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import traceback
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import debs
import docker_engine
import env
import images

ROOT = debs.ROOT
CACHE = debs.CACHE
REPORTS = ROOT / "reports/tests"
COLLECTION = CACHE / "collections/ansible_collections/golive/cutover"

#: pip that ansible-test bootstraps itself with, by the version of ansible-core
TEST_PIP = {"2.19": "24.2", "2.20": "25.2", "2.21": "25.2"}

#: the oldest Python that a managed host may have
HOST_PYTHON = "3.9"


class SuiteError(Exception):
    """Why a stage could not run at all."""


@dataclasses.dataclass
class Tally:
    """What one stage came to."""

    passed: int = 0
    failed: int = 0
    notes: list[str] = dataclasses.field(default_factory=list)

    def count(self, name: str, good: bool) -> None:
        if good:
            self.passed += 1
        else:
            self.failed += 1
            self.notes.append(name)

    def add(self, other: Tally) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.notes += other.notes


def run(
    command: Sequence[Any],  # words and paths
    *,
    cwd: Path = ROOT,
    extra: Mapping[str, str] | None = None,
    quiet: bool = False,
    timeout: float = 4500.0,
) -> tuple[int, str]:
    """Run *command*, show its output as it comes unless *quiet*, and return its code and output."""
    words = [str(word) for word in command]
    print(f"$ {' '.join(os.path.relpath(w, cwd) if w.startswith(str(ROOT)) else w for w in words)}", flush=True)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(extra or {})}
    lines: list[str] = []
    with subprocess.Popen(
        words, cwd=cwd, text=True, errors="replace", env=environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        stop = time.monotonic() + timeout
        for line in process.stdout or ():
            lines.append(line)
            if not quiet:
                sys.stdout.write(line)
                sys.stdout.flush()
            if time.monotonic() > stop:
                process.kill()
                lines.append(f"ended after {timeout:g} s\n")
    if quiet and process.returncode:
        sys.stdout.write("".join(lines[-60:]))
    return process.returncode, "".join(lines)


def virtual_environment(name: str, *extra: str) -> Path:
    """Return the directory of an environment, made if need be."""
    return env.environment(name, list(extra))


def with_path(venv: Path) -> dict[str, str]:
    """Return the environment variables that put *venv* and the unpacked commands first."""
    path = [str(venv / "bin"), str(CACHE / "bin"), os.environ.get("PATH", "")]
    return {
        "PATH": os.pathsep.join(path),
        "VIRTUAL_ENV": str(venv),
        "ANSIBLE_HOME": str(CACHE / "ansible"),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(CACHE / "collections"),
        "MYPYPATH": os.pathsep.join(str(ROOT / p) for p in (".cache/collections", "tools", "demo")),
    }


# ---------------------------------------------------------------------------------------------------------------------
# Stages


def stage_lint() -> Tally:
    """ruff, mypy --strict, ansible-lint (production), documentation in step and sound, changelog"""
    venv = virtual_environment("main", "lint")
    plugins = COLLECTION.relative_to(ROOT) / "plugins"
    python_trees = [tree for tree in ("tools", "demo", "tests") if any((ROOT / tree).rglob("*.py"))]
    commands: dict[str, list[Any]] = {
        "ruff": [venv / "bin/ruff", "check", "."],
        "mypy": [venv / "bin/mypy", plugins, *python_trees],
        "ansible-lint": [venv / "bin/ansible-lint", "-q", "--nocolor"],
        "docs": [venv / "bin/python", "tools/docs.py", "--check"],
        "antsibull-changelog": [venv / "bin/antsibull-changelog", "lint"],
        "antsibull-docs": [
            venv / "bin/antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self", ".",
        ],
    }
    tally = Tally()
    for name, command in commands.items():
        code, _ = run(command, extra=with_path(venv))
        tally.count(f"lint: {name}", code == 0)
    return tally


def stage_sanity() -> Tally:
    """ansible-test sanity over the artefact, on the newest and the oldest ansible-core and the oldest Python of hosts"""
    tally = Tally()
    for name in ("newest", "oldest"):
        venv = virtual_environment(name, *(("lint",) if name == "newest" else ()))
        core = ".".join(_core_version(venv).split(".")[:2])
        home = _sanity_tree(name, venv, core)
        version = json.loads(_output([venv / "bin/python", "-c", "import sys, json; print(json.dumps(sys.version_info[:2]))"]))
        tally.add(_sanity(venv, core, home, f"{version[0]}.{version[1]}"))
    # What runs on hosts is also compiled and imported by the oldest Python that hosts may have.
    found = host_python()
    if found is None:
        print(f"no Python {HOST_PYTHON} here: that the code fits it is only seen by ruff")
    else:
        tally.add(_sanity(venv, core, home, HOST_PYTHON, "--test", "compile", "--test", "import", path=found.parent))
    return tally


def host_python() -> Path | None:
    """Return the oldest Python that is supported on hosts, from PATH or pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    places = [Path(entry) for entry in debs.search_path().split(os.pathsep)]
    places = [place for place in places if place.name != "shims"]  # one of pyenv may be there and lead nowhere
    places += sorted(pyenv.glob(f"versions/{HOST_PYTHON}*/bin"))
    return next((place / f"python{HOST_PYTHON}" for place in places if os.access(place / f"python{HOST_PYTHON}", os.X_OK)), None)


def _sanity_tree(name: str, venv: Path, core: str) -> Path:
    """Unpack the artefact where ansible-test wants it; return the directory that is its home."""
    home = CACHE / f"sanity/{name}"
    tree = home / "ansible_collections/golive/cutover"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    subprocess.run(["tar", "-xf", str(build_artefact(venv)), "-C", str(tree)], check=True)
    # ansible-test asks git for the files where it finds a repository above it: give it one of its own.
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *words], cwd=tree, check=True, capture_output=True)
    _pip_stand_in(venv, home / "home", TEST_PIP.get(core, "25.2"))
    return home


def _sanity(venv: Path, core: str, home: Path, python: str, *tests: str, path: Path | None = None) -> Tally:
    """Run ansible-test; ``path`` is where it finds that Python, if not where it finds everything else."""
    command = [venv / "bin/ansible-test", "sanity", "--color", "no", "--truncate", "0", "--python", python, "--junit", *tests]
    extra = {**with_path(venv), "HOME": str(home / "home"), "PIP_QUIET": "2"}
    if path is not None:
        extra["PATH"] = os.pathsep.join([str(venv / "bin"), str(path), extra["PATH"]])
    code, output = run(command, cwd=home / "ansible_collections/golive/cutover", extra=extra, timeout=1500)
    tally = Tally()
    total, broken = read_sanity(output)
    tally.passed = max(total - len(broken), 0)
    for test in broken or (["ansible-test"] if code or not total else []):
        tally.count(f"sanity on core {core}, Python {python}: {test}", False)
    return tally


def read_sanity(output: str) -> tuple[int, list[str]]:
    """Return how many tests ansible-test ran, and the names of those that failed, from what it printed."""
    total = len(set(re.findall(r'^Running sanity test "?([\w-]+)"?', output, re.MULTILINE)))
    listed = re.search(r"^FATAL: The \d+ sanity test\(s\) listed below .*\n((?:[a-z][\w. -]*\n?)*)", output, re.MULTILINE)
    return total, [line.split()[0] for line in listed.group(1).splitlines()] if listed else []


def _core_version(venv: Path) -> str:
    return _output([venv / "bin/python", "-c", "import ansible; print(ansible.__version__)"])


def _output(command: Sequence[Any]) -> str:
    return subprocess.run([str(w) for w in command], check=True, text=True, capture_output=True).stdout.strip()


def _pip_stand_in(venv: Path, home: Path, version: str) -> None:
    """Put a bootstrap of pip where ansible-test keeps the one that it would download from outside a registry.

    It does what the real one does (install pip of the wanted version) with a wheel that pip itself downloaded.
    """
    cache = home / ".ansible/test/cache"
    cache.mkdir(parents=True, exist_ok=True)
    wheels = CACHE / "sanity/wheels"
    if not any(wheels.glob(f"pip-{version}-*.whl")):
        command = [venv / "bin/python", "-m", "pip", "download", "-q", "--no-deps", "--dest", wheels, f"pip=={version}"]
        if run(command, quiet=True)[0]:
            raise SuiteError(f"pip {version}, which ansible-test wants, could not be downloaded")
    wheel = next(wheels.glob(f"pip-{version}-*.whl"))
    (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(wheel)!r})\n"
        "wanted = [a for a in sys.argv[1:] if a not in ('--no-setuptools', '--no-wheel')]\n"
        f"wanted = [{str(wheel)!r} if a.startswith('pip==') else a for a in wanted]\n"
        f"if not any('pip' in a for a in wanted if not a.startswith('-')):\n    wanted.append({str(wheel)!r})\n"
        "sys.argv = ['pip', 'install', *wanted]\n"
        "runpy.run_module('pip', run_name='__main__')\n",
        encoding="utf-8",
    )
    # The user's settings of pip are read from the home directory, which is another one now.
    real = Path.home()
    for relative in (".config/pip/pip.conf", ".pip/pip.conf"):
        if (real / relative).exists() and real != home:
            (home / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(real / relative, home / relative)


#: The long tests first: the short ones fill what time is left at the end.
TREES = ("tests/e2e", "tests/integration", "tests/unit")


def stage_newest() -> Tally:
    """all tests, on the newest ansible-core"""
    return _pytest("newest", TREES)


#: What the oldest ansible-core leaves to the newest: what does not know Ansible (probes, stores, the demo's application),
#: and what is about one role or one fault in depth. Every module's examples and whole playbooks, fleets included, run on both.
ONLY_NEWEST = (
    *(f"tests/integration/{part}" for part in (
        "demo", "probes", "store", "deploy", "rollback", "redis_aof", "nginx_streaming", "env_file", "toolbox",
        "hypercare", "inventories", "monitoring", "notify", "remediate",
    )),
    *(f"tests/e2e/test_{part}.py" for part in (
        "again", "byhand", "faults", "killed", "notify", "operators", "remediate", "secrets", "spark_ta", "watch",
        "websocket_migration",
    )),
)  # fmt: skip


def stage_oldest() -> Tally:
    """all tests that have to do with Ansible, on the oldest ansible-core"""
    ignored = [f"--ignore={path}" for path in ONLY_NEWEST]
    return _pytest("oldest", TREES, *ignored)


def stage_fast() -> Tally:
    """the unit tests, on the newest ansible-core"""
    return _pytest("newest", ["tests/unit"])


def _pytest(name: str, trees: Sequence[str], *options: str) -> Tally:
    venv = virtual_environment(name, *(("lint",) if name == "newest" else ()))
    junit = REPORTS / f"{name}.xml"
    junit.parent.mkdir(parents=True, exist_ok=True)
    junit.unlink(missing_ok=True)
    found = [tree for tree in trees if any((ROOT / tree).rglob("test_*.py"))]
    # One more than there are processors, as a test of a whole cutover waits for a quarter of its time.
    workers = str(min((os.cpu_count() or 2) + 1, 4))
    command = [venv / "bin/python", "-m", "pytest", "-q", "-n", workers, "--dist", "loadgroup", "--no-loadscope-reorder"]
    command += ["--durations=25"]
    command += [f"--junit-xml={junit}", "-o", f"junit_suite_name={name}", *options, *found]
    code, _ = run(command, extra=with_path(venv))
    tally = read_junit(junit, name) if junit.exists() else Tally()
    if code and not tally.failed:
        tally.count(f"pytest on the {name} ansible-core ended with {code}", False)
    return tally


def read_junit(path: Path, name: str) -> Tally:
    """Count the tests in a JUnit file. A skipped test is a failure: there is nothing that may be left out."""
    tally = Tally()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        bad = [kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None]
        test = f"{case.get('classname', '').replace('.', '/')}::{case.get('name')}"
        tally.count(f"{name}: {test}{f' ({bad[0]})' if bad else ''}", not bad)
    return tally


def stage_molecule() -> Tally:
    """every Molecule scenario, in the private Docker engine"""
    tally = Tally()
    scenarios = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
    if not scenarios:
        return tally
    venv = virtual_environment("newest", "lint")
    with engine():
        images.ensure("host")
        extra = {**with_path(venv), **docker_engine.environment()}
        extra["PATH"] = os.pathsep.join([str(venv / "bin"), extra["PATH"]])
        for scenario in scenarios:
            code, _ = run([venv / "bin/molecule", "test", "-s", scenario], extra=extra, quiet=True, timeout=900)
            tally.count(f"molecule: {scenario}", code == 0)
    return tally


@contextlib.contextmanager
def engine() -> Iterator[None]:
    """Run something with the private Docker engine, and stop the engine if it was not running before."""
    before = docker_engine.answers()
    docker_engine.start()
    try:
        yield
    finally:
        if not before:
            docker_engine.stop()


def stage_build() -> Tally:
    """the Galaxy artefact: built, complete, installable, and documented"""
    venv = virtual_environment("main", "lint")
    tally = Tally()
    artefact = build_artefact(venv)
    problems = artefact_problems(artefact)
    for problem in problems:
        print(f"artefact: {problem}")
    tally.count("build: content of the artefact", not problems)
    place = CACHE / "build/installed"
    shutil.rmtree(place, ignore_errors=True)
    install = [venv / "bin/ansible-galaxy", "collection", "install", artefact, "--no-deps", "-p", place]
    elsewhere = {**with_path(venv), "ANSIBLE_COLLECTIONS_PATH": str(place)}
    code, _ = run(install, extra=elsewhere, quiet=True)
    tally.count("build: installation of the artefact", code == 0)
    names = sorted(f"golive.cutover.{p.stem}" for p in (ROOT / "plugins/modules").glob("*.py"))
    if names:
        code, _ = run([venv / "bin/ansible-doc", "-t", "module", "--json", *names], extra=elsewhere, quiet=True)
        tally.count("build: ansible-doc of every module", code == 0)
    roles = sorted(f"golive.cutover.{p.parent.parent.name}" for p in (ROOT / "roles").glob("*/meta/argument_specs.yml"))
    if roles:
        code, _ = run([venv / "bin/ansible-doc", "-t", "role", "--json", *roles], extra=elsewhere, quiet=True)
        tally.count("build: ansible-doc of every role", code == 0)
    if code == 0:
        print(f"built {artefact.relative_to(ROOT)}")
    return tally


def repository_files() -> list[str]:
    """Return the files of the repository, as they are now, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return sorted(name for name in listed.stdout.split("\0") if name and (ROOT / name).exists())


def build_artefact(venv: Path) -> Path:
    """Build the artefact from a copy of the repository's files into dist/; return its path."""
    tree = CACHE / "build/tree"
    shutil.rmtree(tree, ignore_errors=True)
    for name in repository_files():
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    command = [venv / "bin/ansible-galaxy", "collection", "build", "--force", "--output-path", ROOT / "dist", tree]
    code, output = run(command, extra=with_path(venv), quiet=True)
    found = re.search(r"(/\S+\.tar\.gz)", output)
    if code or found is None:
        raise SuiteError("ansible-galaxy could not build the artefact")
    return Path(found.group(1))


#: What every artefact holds, and what none may hold.
MUST_HAVE = ("MANIFEST.json", "FILES.json", "README.md", "COPYING", "LICENSES/BSD-2-Clause.txt", "meta/runtime.yml",
             "meta/execution-environment.yml", "meta/ee-requirements.txt", "bindep.txt")  # fmt: skip
MUST_NOT_HAVE = re.compile(
    r"^(tests|tools|demo|molecule|requirements|reports|dist)/|(^|/)(\.(?!gitkeep)|__pycache__)|\.(pyc|env|db|tar\.gz)$"
)


def artefact_problems(artefact: Path) -> list[str]:
    """Return what is wrong with the content of *artefact*: missing files, and files that do not belong there."""
    with tarfile.open(artefact) as archive:
        content = {member.name for member in archive.getmembers() if not member.isdir()}
    shipped = ("plugins/", "roles/", "playbooks/", "inventories/", "docs/", "meta/")
    wanted = {*MUST_HAVE, *(name for name in repository_files() if name.startswith(shipped))}
    wanted = {name for name in wanted if not MUST_NOT_HAVE.search(name)}
    problems = [f"missing: {name}" for name in sorted(wanted - content)]
    problems += [f"does not belong there: {name}" for name in sorted(content) if MUST_NOT_HAVE.search(name)]
    return problems


STAGES: dict[str, Callable[[], Tally]] = {
    "lint": stage_lint,
    "sanity": stage_sanity,
    "newest": stage_newest,
    "oldest": stage_oldest,
    "molecule": stage_molecule,
    "build": stage_build,
}
#: What may run at the same time, each lane in its order: each leaves half of a small machine idle, and none measures time.
SIDE_BY_SIDE = (("lint", "sanity", "build"), ("molecule",))
EXTRA_STAGES: dict[str, Callable[[], Tally]] = {"fast": stage_fast}


def run_stage(name: str, stage: Callable[[], Tally]) -> Tally:
    """Run one stage; whatever keeps it from running is its failure."""
    print(f"\n== {name}: {stage.__doc__}", flush=True)
    started = time.monotonic()
    try:
        tally = stage()
    except (SuiteError, env.EnvError, debs.DebsError, docker_engine.EngineError, images.ImageError) as error:
        print(f"{name}: {error}", flush=True)
        tally = Tally()
        tally.count(f"{name}: {str(error).splitlines()[0]}", False)
    except Exception as error:  # a mistake in a stage must not hide the result of the others
        traceback.print_exc(file=sys.stdout)
        tally = Tally()
        tally.count(f"{name}: {error!r}", False)
    print(f"== {name}: {tally.passed} passed, {tally.failed} failed in {time.monotonic() - started:.0f} s.", flush=True)
    return tally


def run_stages(names: Sequence[str], known: Mapping[str, Callable[[], Tally]]) -> Iterator[Tally]:
    """Run stages: first those that may run side by side, then the others one by one."""
    lanes = [wanted for lane in SIDE_BY_SIDE if (wanted := [name for name in lane if name in names])]
    if len(lanes) > 1:
        # Made here, as two lanes would make it at once. What keeps it from being made is told by the stage that needs it.
        with contextlib.suppress(Exception):
            virtual_environment("newest", "lint")
        with concurrent.futures.ThreadPoolExecutor(len(lanes)) as pool:
            for tallies in pool.map(lambda lane: [run_stage(name, known[name]) for name in lane], lanes):
                yield from tallies
        names = [name for name in names if not any(name in lane for lane in lanes)]
    for name in names:
        yield run_stage(name, known[name])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run the checks of the project.")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join([*STAGES, *EXTRA_STAGES]))
    parser.add_argument("--list", action="store_true", help="say which stages there are")
    options = parser.parse_args(arguments)
    known = {**STAGES, **EXTRA_STAGES}
    if options.list:
        for name, stage in known.items():
            print(f"{name:10} {stage.__doc__}")
        return 0
    unknown = [name for name in options.stages if name not in known]
    if unknown:
        parser.error(f"no such stage: {', '.join(unknown)}")
    started = time.monotonic()
    total = Tally()
    for tally in run_stages(options.stages or list(STAGES), known):
        total.add(tally)
    if total.notes:
        print("\nFailed:")
        for note in total.notes:
            print(f"  {note}")
    print(f"\nAfter {(time.monotonic() - started) / 60:.1f} minutes:")
    # The last line, and in this form, is what CI reads.
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())
