# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the real Docker Compose, a real shell and python-dotenv read out of the same rendered file."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dotenv
import pytest

from ansible_collections.golive.cutover.plugins.module_utils import _env_readers as readers
from ansible_collections.golive.cutover.plugins.module_utils import env_file
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
FIXED = [
    "",
    "it's",
    "it's $5",
    "$HOME ${HOME} $$",
    "a b",
    "two\nlines\n",
    "#x",
    " x ",
    'say "hi"',
    "back\\slash",
    "\\",
    "\\\\n",
]


@pytest.fixture(scope="session")
def compose_environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, str]]:
    """Return a function that says what Compose puts into the environment of a service with this env file."""
    subprocess.run([sys.executable, str(ROOT / "tools" / "debs.py"), "docker"], check=True, capture_output=True)
    project = tmp_path_factory.mktemp("compose")
    (project / "compose.yml").write_text("services: {app: {image: none, env_file: [app.env]}}\n")
    docker = str(ROOT / ".cache/bin/docker")
    environment = {"PATH": os.defpath, "HOME": "/home", "DOCKER_CONFIG": str(ROOT / ".cache/docker/config")}

    def read(text: str) -> dict[str, str]:
        (project / "app.env").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [docker, "compose", "-f", str(project / "compose.yml"), "config", "--format", "json"],
            env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)["services"]["app"]["environment"]
        return {key: value.replace("$$", "$") for key, value in found.items()}

    return read


def some_values() -> list[str]:
    chance = random.Random(20)
    return FIXED + ["".join(chance.choices("ab1 '\"\\$`#\n{}=!~&;:/é", k=chance.randint(1, 10))) for _ in range(400)]


def test_compose_and_a_shell_read_what_was_meant(compose_environment: Callable[[str], dict[str, str]], tmp_path: Path) -> None:
    values = {}
    for index, value in enumerate(some_values()):
        try:
            env_file.render({"K": value})
        except InputError:
            continue
        values[f"K{index}"] = value
    assert len(values) > 300
    text = env_file.render(values).text
    assert compose_environment(text) == values

    path = tmp_path / "app.env"
    path.write_text(text, encoding="utf-8")
    script = f"set -a; . {path}; env -0"
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, check=True, env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
    )
    seen = dict(line.split("=", 1) for line in done.stdout.decode().split("\0") if line.startswith("K"))
    assert seen == values


def test_each_notation_is_read_by_compose_as_its_model_says(compose_environment: Callable[[str], dict[str, str]]) -> None:
    lines, expected = [], {}
    for index, value in enumerate(some_values()):
        for number, notation in enumerate(readers.notations(value)):
            key = f"K{index}_{number}"
            expected[key] = readers.compose(notation, lambda _name: None)
            lines.append(f"{key}={notation}\n")
    assert compose_environment("".join(lines)) == expected


def test_all_three_readers_at_once(compose_environment: Callable[[str], dict[str, str]], tmp_path: Path) -> None:
    wanted = ["compose", "shell", "python_dotenv"]
    values = {}
    for index, value in enumerate(some_values()):
        try:
            env_file.render({"K": value}, readers=wanted)
        except InputError:
            continue
        values[f"K{index}"] = value
    assert len(values) > 150
    path = tmp_path / ".env"
    path.write_text(env_file.render(values, readers=wanted).text, encoding="utf-8")
    assert dotenv.dotenv_values(path) == values
    assert compose_environment(path.read_text()) == values


def test_a_file_of_another_hand(compose_environment: Callable[[str], dict[str, str]]) -> None:
    text = (
        "\ufeff# comment\r\nPLAIN=value # why\r\nexport EXPORTED=yes\r\nHASH=a#b\r\n"
        "SINGLE='it has \"quotes\", $dollar' # comment\r\n"
        'DOUBLE="line\\nbreak \\"quoted\\" \\$5"\r\nMANY=\'first\r\nsecond=2\r\nthird\'\r\nEMPTY=\r\n'
        'EQUALS=a=b=c\r\nREF="${PLAIN}/x"\r\nDEFAULT=${MISSING:-fallback}\r\nSPACES = x\r\nTWICE=1\r\nTWICE=2\r\n'
    )
    found = compose_environment(text)
    # Some versions of Compose keep the carriage returns inside quotes; what we write has none.
    found["MANY"] = found["MANY"].replace("\r\n", "\n")
    assert env_file.read_values(env_file.parse(text))[0] == found
