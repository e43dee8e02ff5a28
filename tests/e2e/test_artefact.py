# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as a user has it: installed from its artefact, with playbooks and inventories of his own."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, ansible_environment
from tests.e2e.stage import DEMO, INVENTORY, Stage, quick

# One process runs them all, as they share a machine.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e-artefact")]


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artefact, built as ``make build`` builds it."""
    directory = tmp_path_factory.mktemp("dist")
    galaxy = [sys.executable, str(Path(sys.executable).with_name("ansible-galaxy")), "collection"]
    env = ansible_environment(directory, directory / "ah")
    subprocess.run([*galaxy, "build", str(ROOT), "--output-path", str(directory)], check=True, env=env, cwd=directory)
    (built,) = directory.glob("golive-cutover-*.tar.gz")
    return built


@pytest.fixture(scope="module")
def installed(artefact: Path) -> Path:
    """A collections path on which the artefact is installed."""
    path = artefact.parent / "collections"
    galaxy = [sys.executable, str(Path(sys.executable).with_name("ansible-galaxy")), "collection"]
    env = ansible_environment(path, artefact.parent / "ah")
    command = [*galaxy, "install", str(artefact), "--offline", "--no-deps", "-p", str(path)]
    subprocess.run(command, check=True, env=env, cwd=artefact.parent)
    return path


def test_the_artefact_holds_the_collection_and_nothing_else(artefact: Path) -> None:
    with tarfile.open(artefact) as archive:
        names = archive.getnames()
    tops = {name.split("/")[0] for name in names}
    assert {"plugins", "roles", "playbooks", "meta", "MANIFEST.json", "FILES.json"} <= tops
    assert not tops & {"demo", "tests", "reports", "molecule", ".cache", ".venv", ".demo", ".git", "dist"}, tops
    assert not [name for name in names if name.endswith(".pyc") or "__pycache__" in name]


@pytest.fixture
def own_place(stage: Stage, installed: Path) -> Callable[[], Path]:
    """A directory of the user's own, with a copy of the example inventory; nothing of the repository is beside it."""

    def make() -> Path:
        stage.collections = installed
        place = stage.root / "place"
        group_vars = place / "prod/group_vars/all"
        group_vars.mkdir(parents=True)
        for one in (INVENTORY / "group_vars/all").iterdir():
            (group_vars / one.name).write_text(one.read_text(encoding="utf-8"), encoding="utf-8")
        (place / "prod/hosts.yml").write_text((INVENTORY / "hosts.yml").read_text(encoding="utf-8"), encoding="utf-8")
        (place / "ansible.cfg").write_text("[defaults]\n", encoding="utf-8")
        stage.variables.update({**quick("redis", "proxy"), "demo_root": str(ROOT), "cutover_reports_dir": None})
        return place

    return make


def test_from_outside_the_repository(stage: Stage, own_place: Callable[[], Path]) -> None:
    """By the name of the collection, from a file of one's own, and from an installed artefact alone."""
    place = own_place()
    # The reports go beside where the command was given.
    env = {"ANSIBLE_CONFIG": str(place / "ansible.cfg"), "PWD": str(place)}
    done = stage.run("golive.cutover.cutover", "1.0.0", inventory=place / "prod", cwd=place, env=env)
    assert done.rc == 0, done.why
    assert (place / "reports/demo/latest/decision.json").exists()
    own = place / "cutover.yml"
    own.write_text("- import_playbook: golive.cutover.cutover\n", encoding="utf-8")
    again = stage.run(str(own), "1.0.0", inventory=place / "prod", cwd=place, env=env)
    assert again.rc == 0, again.why
    assert again.changed() == 0
    seen = stage.run("golive.cutover.verify", None, inventory=place / "prod", cwd=place, env=env)
    assert seen.rc == 0, seen.why
    assert len(list((place / "reports/demo").iterdir())) == 4
    runs = {one.name for one in (place / "reports/demo").iterdir()} - {"latest"}
    assert not [path for path in (ROOT / "reports").rglob("*") if path.name in runs]


def test_the_example_is_an_inventory_of_the_repository() -> None:
    assert DEMO["cutover_environment"] == "demo"
