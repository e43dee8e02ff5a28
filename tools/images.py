#!/usr/bin/env python3
# Copyright (c) the golive.cutover contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the images of the tests in the private Docker engine, without an image registry.

    tools/images.py host redis       # builds what is not there or is outdated, prints the tags
    tools/images.py --all

The base is a small system of the machine's own distribution release, made from its packages. The others are what their
Dockerfile below ``tests/images`` adds to it, plus Python packages that are downloaded here, since a build has no
network. Every image is tagged ``golive-test/<name>:latest`` and with the name of the distribution release, and carries
the digest of its recipe as label: an image with the right digest is not built again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import debs
import docker_engine
import env

RECIPES = debs.ROOT / "tests/images"
WORK = debs.CACHE / "images"
DOCKER = str(debs.CACHE / "bin/docker")
LABEL = "golive.recipe"

#: Raised when this file changes what an image holds.
LAYOUT = 1

#: image -> requirement sets that it needs, and in which form ("site": installed, "wheels": to be installed)
PYTHON_PACKAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "python": ("site", ("demo",)),
    "host": ("wheels", ("libraries", "demo")),
}


class ImageError(Exception):
    """Why an image could not be built."""


def names() -> list[str]:
    """Return the images that there are recipes for, the base first."""
    return sorted((path.name for path in RECIPES.iterdir() if path.is_dir()), key=lambda name: (name != "base", name))


def codename() -> str:
    return debs.os_release().get("VERSION_CODENAME", "unknown")


def recipe_digest(name: str) -> str:
    """Return what identifies the content of an image: its files, its requirements, and its base."""
    parts = [str(LAYOUT), codename(), os.uname().machine]
    parts += [p.read_text(encoding="utf-8") for p in sorted((RECIPES / name).iterdir()) if p.is_file()]
    for requirements in PYTHON_PACKAGES.get(name, ("", ()))[1]:
        parts.append((debs.ROOT / f"requirements/{requirements}.txt").read_text(encoding="utf-8"))
    if name != "base":
        parts.append(recipe_digest("base"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def current(name: str) -> bool:
    """Return whether the image is there and made by the recipe as it is now."""
    answer = docker_engine.docker(
        "image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', f"golive-test/{name}:latest"
    )
    return answer.returncode == 0 and answer.stdout.strip() == recipe_digest(name)


def run(command: Sequence[str], what: str, timeout: float = 900.0) -> str:
    """Run *command* with the environment of the engine; raise ImageError with the end of its output."""
    done = subprocess.run(
        list(command),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        env={**os.environ, **docker_engine.environment()},
    )
    if done.returncode:
        raise ImageError("\n  ".join([f"{what} failed:", *done.stdout.splitlines()[-12:]]))
    return done.stdout


def build_base() -> None:
    """Make the base image from the packages of the machine's distribution release."""
    with debs.locked(debs.CACHE / "debs/.lock"):
        debs.provide("mmdebstrap")
        sources = debs.Apt(debs.CACHE / "apt/own", extra_suite="", empty_status=False)
        sources.prepare()
    lines = (RECIPES / "base/packages.txt").read_text(encoding="utf-8").splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    archive = WORK / "base.tar"
    options = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale", "info")]
    command = [str(debs.CACHE / "bin/mmdebstrap"), "--quiet", "--variant=minbase", "--mode=root", "--format=tar"]
    # A host name that is fixed in the image would win over the one that Docker gives.
    command += [*options, "--customize-hook=rm -f $1/etc/hostname $1/etc/resolv.conf", f"--include={','.join(packages)}"]
    run([*command, codename(), str(archive), str(sources.home / "etc/sources.list")], "mmdebstrap")
    docker = [DOCKER, "import", "--change", f"LABEL {LABEL}={recipe_digest('base')}"]
    docker += ["--change", 'CMD ["sleep", "infinity"]', "--change", "ENV LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1"]
    run([*docker, str(archive), "golive-test/base:latest"], "docker import")
    archive.unlink()


def image_python() -> tuple[int, int, int]:
    """Return the version of the base image's Python."""
    code = "import sys; print(*sys.version_info[:3])"
    command = [DOCKER, "run", "--rm", "--network", "none", "golive-test/base", "python3", "-c", code]
    major, minor, micro = run(command, "python3 in the base image").split()[-3:]
    return int(major), int(minor), int(micro)


def same_python(version: tuple[int, int, int]) -> env.Python | None:
    """Return the distribution's own Python if it is the very version that the image has, as it mostly is."""
    code = f"import sys; sys.exit(sys.version_info[:3] != {version})"
    done = subprocess.run(["/usr/bin/python3", "-I", "-c", code], capture_output=True)
    return env.Python(version[:2], Path("/usr/bin/python3")) if done.returncode == 0 else None


def fetch_packages(form: str, sets: Sequence[str], target: Path, version: tuple[int, int, int]) -> None:
    """Download Python packages for the Python of the image.

    pip judges conditions such as ``python_full_version < "3.11.3"`` by the Python that it runs on, even when it
    downloads for another. So it runs on the same version where the machine has it; elsewhere the two libraries that
    such conditions add for older Pythons are asked for by name.
    """
    verb = ["install", "--no-compile", f"--target={target}"] if form == "site" else ["download", f"--dest={target}"]
    options = ["-q", *verb, "--disable-pip-version-check", "--no-input", "--only-binary=:all:"]
    for requirements in sets:
        options += ["-r", str(debs.ROOT / f"requirements/{requirements}.txt")]
    python = same_python(version)
    if python is not None:
        run([str(python.path), f"{env.pip_wheel(python)}/pip", *options], "pip")
        return
    machine, short = os.uname().machine, f"{version[0]}{version[1]}"
    options += [f"--python-version={version[0]}.{version[1]}", "--implementation=cp"]
    options += [f"--abi={abi}" for abi in (f"cp{short}", "abi3", "none")]
    tags = ("manylinux_2_34", "manylinux_2_31", "manylinux_2_28", "manylinux_2_17", "manylinux2014", "linux")
    options += [f"--platform={tag}_{machine}" for tag in tags]
    options += ["--platform=any", "async-timeout", "typing-extensions"]
    run([sys.executable, "-m", "pip", *options], "pip")


def build(name: str) -> None:
    """Build the image *name* on top of the base."""
    context = WORK / name
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(RECIPES / name, context)
    arguments = []
    if name in PYTHON_PACKAGES:
        form, sets = PYTHON_PACKAGES[name]
        version = image_python()
        fetch_packages(form, sets, context / form, version)
        if form == "site":
            arguments = ["--build-arg", f"SITE=/usr/local/lib/python{version[0]}.{version[1]}/dist-packages"]
    command = [DOCKER, "build", "-q", "--label", f"{LABEL}={recipe_digest(name)}"]
    run([*command, *arguments, "-t", f"golive-test/{name}:latest", str(context)], f"docker build of {name}")
    shutil.rmtree(context, ignore_errors=True)


def ensure(name: str) -> str:
    """Build the image *name*, and the base, unless they are there; return the tag."""
    with debs.locked(WORK / ".lock"):
        for image in dict.fromkeys(("base", name)):
            if current(image):
                continue
            print(f"images: building golive-test/{image}", file=sys.stderr, flush=True)
            if image == "base":
                build_base()
            else:
                build(image)
            run(
                [DOCKER, "tag", f"golive-test/{image}:latest", f"golive-test/{image}:{codename()}"],
                "docker tag",
            )
    return f"golive-test/{name}:latest"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the images of the tests.")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=", ".join(names()))
    parser.add_argument("--all", action="store_true", help="build every image")
    options = parser.parse_args(arguments)
    wanted = names() if options.all else options.images
    unknown = [name for name in wanted if name not in names()]
    if unknown or not wanted:
        parser.error(f"name images among: {', '.join(names())}")
    try:
        docker_engine.start()
        for name in wanted:
            print(ensure(name))
    except (ImageError, debs.DebsError, docker_engine.EngineError) as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
