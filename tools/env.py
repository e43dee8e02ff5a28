#!/usr/bin/env python3
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the virtual environments of the project, from the best Python that this machine has.

    tools/env.py main                # .venv, enough for the playbooks and the demo
    tools/env.py main --with lint    # .venv with everything that tests and linters need
    tools/env.py newest              # the newest ansible-core that is tested; .venv where its Python is new enough
    tools/env.py oldest              # the oldest ansible-core that is tested
    tools/env.py rulebook            # ansible-rulebook, beside whichever ansible-core it starts

Prints the path of the environment. A second call with unchanged requirements does nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import debs

ROOT = debs.ROOT
CACHE = debs.CACHE
VENV = ROOT / ".venv"

Version = tuple[int, int]

#: Pythons in the order in which they are preferred for the newest ansible-core, and for the oldest.
NEWEST_PYTHONS: tuple[Version, ...] = ((3, 13), (3, 12), (3, 14))
OLDEST_PYTHONS: tuple[Version, ...] = ((3, 11), (3, 12), (3, 13))

#: What a Python must be able to import to be of use.
MODULES = "ssl, sqlite3, zlib, ctypes, venv"


class EnvError(Exception):
    """What is missing and what to install."""


@dataclasses.dataclass(frozen=True)
class Python:
    """An interpreter that was seen working."""

    version: Version
    path: Path


def candidates() -> list[str]:
    """Return the commands that may be a Python 3.11 or newer: those on PATH, then those of pyenv."""
    found = []
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        for entry in debs.search_path().split(os.pathsep):
            if os.access(Path(entry) / name, os.X_OK):
                found.append(str(Path(entry) / name))
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found += [str(p) for p in sorted(pyenv.glob("versions/3.1[1-4]*/bin/python3"))]
    found.append(sys.executable)
    return list(dict.fromkeys(found))


def probe(command: str) -> Python | None:
    """Return the interpreter behind *command*, or None when it does not work or lacks a module that we need."""
    code = (
        f"import {MODULES}, json, sys;"
        "print(json.dumps([*sys.version_info[:2], getattr(sys, '_base_executable', sys.executable)]))"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYENV_VERSION"))}
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        done = subprocess.run(
            [command, "-I", "-c", code],
            text=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=True,
            env=environment,
        )
        major, minor, path = json.loads(done.stdout)
        return Python((major, minor), Path(path).resolve())
    return None


def pythons() -> dict[Version, Python]:
    """Return the usable interpreters of this machine, the first found of each version."""
    found: dict[Version, Python] = {}
    for command in candidates():
        python = probe(command)
        if python is not None:
            found.setdefault(python.version, python)
    return found


def choose(found: dict[Version, Python], wanted: Iterable[Version]) -> Python | None:
    """Return the first of *wanted* that is among *found*."""
    return next((found[version] for version in wanted if version in found), None)


def requirement_files(names: Iterable[str]) -> list[Path]:
    """Return the requirement files *names*, with those that they include, each once."""
    files: list[Path] = []
    todo = [ROOT / "requirements" / f"{name}.txt" for name in names]
    while todo:
        path = todo.pop(0)
        if path in files:
            continue
        files.append(path)
        todo += [path.parent / x for x in re.findall(r"^-r (\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE)]
    return files


def digest(python: Python, files: Iterable[Path]) -> str:
    """Return what identifies an environment: its interpreter and what is asked to be in it."""
    text = [str(python.version), *(sorted(f.read_text(encoding="utf-8") for f in files))]
    return hashlib.sha256("\0".join(text).encode()).hexdigest()


def make(venv: Path, python: Python, sets: Sequence[str]) -> Path:
    """Make or complete the environment *venv* with the requirement sets *sets*."""
    with debs.locked(CACHE / "venvs" / f".{venv.name}.lock"):
        stamp = venv / ".golive-stamp.json"
        done: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            done = json.loads(stamp.read_text(encoding="utf-8"))
        done = {name: mark for name, mark in done.items() if (ROOT / f"requirements/{name}.txt").exists()}
        # An environment that works stays: another PATH, and so another best Python, must not pull it away from under
        # whoever is using it. `make clean` makes room for a better one.
        own = existing(venv)
        if own is None:
            done = {}
        else:
            python = own
        missing = [name for name in sets if done.get(name) != digest(python, requirement_files([name]))]
        if not missing:
            return venv
        if not done:
            _create(venv, python)
        print(f"env: installing {', '.join(missing)} into {venv.relative_to(ROOT)}", file=sys.stderr, flush=True)
        command = [str(venv / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input"]
        # The sets that are there already take part, so that a later one cannot change what they asked for.
        wanted = [*(name for name in done if name not in missing), *missing]
        for name in wanted:
            command += ["-r", str(ROOT / "requirements" / f"{name}.txt")]
        log = CACHE / "venvs" / f"{venv.name.lstrip('.')}.log"
        with log.open("w", encoding="utf-8") as handle:
            code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=handle, stderr=subprocess.STDOUT).returncode
        if code:
            lines = [x for x in log.read_text(encoding="utf-8").splitlines() if not x.startswith("WARNING")]
            raise EnvError("\n  ".join([f"pip could not install {', '.join(missing)}:", *lines[-8:]]))
        done |= {name: digest(python, requirement_files([name])) for name in missing}
        stamp.write_text(json.dumps(done, indent=1), encoding="utf-8")
        return venv


def existing(venv: Path) -> Python | None:
    """Return the Python of an environment that is there and works."""
    python = probe(str(venv / "bin/python")) if (venv / "bin/python").exists() else None
    return python if python is not None and (venv / ".golive-stamp.json").exists() else None


def _create(venv: Path, python: Python) -> None:
    print(f"env: making {venv.relative_to(ROOT)} with Python {python.version[0]}.{python.version[1]}", file=sys.stderr)
    shutil.rmtree(venv, ignore_errors=True)
    base = [str(python.path), "-m", "venv"]
    if subprocess.run([*base, str(venv)], capture_output=True, stdin=subprocess.DEVNULL).returncode == 0:
        return
    # Debian and Ubuntu leave ensurepip to a package of its own: use the pip that another one carries.
    shutil.rmtree(venv, ignore_errors=True)
    done = subprocess.run([*base, "--without-pip", str(venv)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise EnvError(f"{python.path} cannot make a virtual environment:\n  {done.stderr.strip()}")
    wheel = pip_wheel(python)
    command = [str(venv / "bin/python"), f"{wheel}/pip", "install", "-q", "--disable-pip-version-check", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise EnvError(f"pip could not be put into {venv}:\n  {done.stderr.strip()}")


def pip_wheel(python: Python) -> Path:
    """Return a wheel of pip: one that came with *python* when it was unpacked, else the distribution's."""
    unpacked = CACHE / "debs/python"
    if python.path.resolve().is_relative_to(unpacked):
        places = [unpacked / "usr/share/python-wheels"]
    else:
        places = [Path("/usr/share/python-wheels")]
        if not any(places[0].glob("pip-*.whl")):
            with debs.locked(CACHE / "debs/.lock"):
                places = [debs.unpack("pip", debs.BUNDLES["pip"]) / "usr/share/python-wheels"]
    for directory in places:
        for wheel in sorted(directory.glob("pip-*.whl")):
            return wheel
    raise EnvError(f"this Python has no pip: install python{python.version[0]}.{python.version[1]}-venv")


def unpacked_python() -> Python:
    """Return Python 3.13 from a newer suite, unpacked in the cache: for a machine whose own are all older."""
    with debs.locked(CACHE / "debs" / ".lock"):
        debs.provide("patchelf")
        path = debs.standalone_python()
    python = probe(str(path))
    if python is None:
        raise EnvError(f"the unpacked Python does not run: {path}")
    return python


def newest_python(found: dict[Version, Python]) -> Python:
    """Return the Python for the newest ansible-core, unpacked from a newer suite where the machine has none."""
    python = choose(found, NEWEST_PYTHONS)
    if python is None:
        try:
            python = unpacked_python()
        except debs.DebsError as error:
            raise EnvError(f"the newest ansible-core needs Python 3.12 or newer.\n  {error}") from error
    return python


def environment(name: str, extra: Sequence[str]) -> Path:
    """Make the environment *name* (``main``, ``newest``, ``oldest`` or ``rulebook``) and return its directory."""
    found = pythons()
    if name == "main":
        python = choose(found, (*NEWEST_PYTHONS, (3, 11)))
        if python is None:
            raise EnvError("Python 3.11 or newer is needed: install python3 and python3-venv of your distribution")
        link_collection()
        return make(VENV, python, ["run", "demo", *extra])
    if name == "newest":
        there = existing(VENV)
        own = there if there is not None else choose(found, NEWEST_PYTHONS)
        if own is not None and own.version in NEWEST_PYTHONS:
            link_collection()
            return make(VENV, own, ["run", "demo", *extra])
        return make(CACHE / "venvs/core-newest", newest_python(found), ["core-newest", "test", *extra])
    python = choose(found, OLDEST_PYTHONS)
    if python is None:
        raise EnvError("Python 3.11, 3.12 or 3.13 is needed for the oldest ansible-core: install python3 and python3-venv")
    if name == "rulebook":
        return make(CACHE / "venvs/rulebook", python, ["rulebook"])
    return make(CACHE / "venvs/core-oldest", python, ["core-oldest", "test", *extra])


def link_collection() -> None:
    """Make the repository reachable as an installed collection, by a link that survives moving the repository."""
    link = CACHE / "collections/ansible_collections/golive/cutover"
    link.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(ROOT, link.parent)
    if link.is_symlink() and os.readlink(link) == target:
        return
    part = link.with_name(f".cutover.{os.getpid()}")
    part.symlink_to(target)
    part.replace(link)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make a virtual environment of the project.")
    parser.add_argument("name", choices=("main", "newest", "oldest", "rulebook"))
    parser.add_argument("--with", dest="extra", action="append", default=[], choices=("test", "lint"))
    options = parser.parse_args(arguments)
    try:
        print(environment(options.name, options.extra))
    except (EnvError, debs.DebsError) as error:
        print(f"env: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
