# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How package sources are read and derived, and what wrappers look like. Nothing is downloaded here."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import debs
import pytest

DEB822 = """\
Types: deb deb-src
# a comment
URIs: mirror://packages.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/x.gpg

Enabled: no
Types: deb
URIs: mirror://off.example/debian
Suites: bookworm
Components: main
"""

ONE_LINE = """\
# deb mirror://no.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/y.gpg] mirror://packages.example/debian bookworm main non-free
deb-src mirror://packages.example/debian bookworm main
deb mirror://third.example/apt thing-bookworm main   # not the distribution
"""


def test_both_styles_of_package_sources_are_read() -> None:
    assert [(s.suite, s.components) for s in debs.parse_deb822(DEB822)] == [
        ("bookworm", ("main", "contrib")),
        ("bookworm-updates", ("main", "contrib")),
    ]
    found = debs.parse_list(ONE_LINE)
    assert [s.suite for s in found] == ["bookworm", "thing-bookworm"]
    assert found[0].options == ("arch=amd64", "signed-by=/usr/share/keyrings/y.gpg")


def test_sources_of_third_parties_are_left_alone() -> None:
    kept = debs.distribution_sources([*debs.parse_deb822(DEB822), *debs.parse_list(ONE_LINE)], "bookworm")
    assert {s.uri for s in kept} == {"mirror://packages.example/debian"}


def test_a_newer_suite_is_derived_from_the_machines_own_entry(tmp_path: Path) -> None:
    key = tmp_path / "archive-trixie.gpg"
    key.touch()
    source = debs.Source("mirror://p.example/debian", "bookworm", ("main",), (f"signed-by={tmp_path}/archive-bookworm.gpg",))
    derived = debs.derive_suite([source], "bookworm", "trixie")
    assert derived is not None
    assert derived.line() == f"deb [signed-by={key}] mirror://p.example/debian trixie main"


def test_a_signing_key_that_the_newer_suite_has_none_of_is_left_to_apt() -> None:
    source = debs.Source("mirror://p.example/debian", "bookworm", ("main",), ("signed-by=/no/such/bookworm.gpg",))
    derived = debs.derive_suite([source], "bookworm", "trixie")
    assert derived is not None
    assert derived.options == ()


def test_nothing_is_derived_from_nothing() -> None:
    assert debs.derive_suite([], "bookworm", "trixie") is None


@pytest.mark.parametrize(
    ("release", "packages", "suite"),
    [
        ({"ID": "debian", "VERSION_CODENAME": "bookworm"}, "docker-compose", "trixie"),
        ({"ID": "debian", "VERSION_CODENAME": "trixie"}, "docker-compose", ""),
        ({"ID": "ubuntu", "VERSION_CODENAME": "noble"}, "docker-compose-v2", ""),
        ({"ID": "pop", "ID_LIKE": "ubuntu debian", "VERSION_CODENAME": "noble"}, "docker-compose-v2", ""),
    ],
)
def test_packages_follow_the_distribution(release: dict[str, str], packages: str, suite: str) -> None:
    names, extra = debs.packages_for(debs.BUNDLES["docker"], release)
    assert packages in names
    assert extra == suite


def test_versions_are_found_in_what_programs_print() -> None:
    assert debs.version_of("nginx version: nginx/1.22.1") == (1, 22, 1)
    assert debs.version_of("Redis server v=7.0.15 sha=00000000:0") == (7, 0, 15)
    assert debs.version_of("no number") is None


def test_archives_are_read_from_the_plan_of_apt() -> None:
    planned = "Reading...\n'mirror://p/pool/n/nginx_1%2b2_amd64.deb' nginx_1%2b2_amd64.deb 1234 SHA256:ab\n"
    assert debs.archive_names(planned) == ["nginx_1%2b2_amd64.deb"]


def test_a_wrapper_runs_the_command_with_its_arguments(tmp_path: Path) -> None:
    script = tmp_path / "wrapper"
    script.write_text(debs.wrapper("redis-cli", "/bin/echo", None), encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    done = subprocess.run([script, "a b", "$HOME"], check=True, text=True, capture_output=True)
    assert done.stdout == "a b $HOME\n"


def test_the_wrapper_of_nginx_keeps_an_error_log_that_was_asked_for() -> None:
    text = debs.wrapper("nginx", "/bin/echo", None)
    done = subprocess.run(["sh", "-c", text, "sh", "-e", "mine.log"], check=True, text=True, capture_output=True)
    assert done.stdout.split() == ["-e", "mine.log"] or done.stdout.strip() == "mine.log"
    done = subprocess.run(["sh", "-c", text, "sh", "-t"], check=True, text=True, capture_output=True)
    assert "stderr" in done.stdout


def test_the_program_of_chromium_is_found_and_not_its_launcher(tmp_path: Path) -> None:
    for place in ("usr/bin", "usr/lib/chromium"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "chromium").touch()
    assert debs.find_in(tmp_path, "chromium") == tmp_path / "usr/lib/chromium/chromium"


def test_a_machine_that_is_not_debian_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(debs, "CACHE", tmp_path)
    monkeypatch.setattr(debs, "search_path", lambda: str(tmp_path))
    assert debs.main(["redis"]) == 1
    message = capsys.readouterr().err
    assert "apt-get is not here" in message
    assert "Install by hand: redis-server redis-tools" in message


def test_a_machine_that_has_the_command_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = tmp_path / "machine"
    commands.mkdir()
    for name in ("redis-server", "redis-cli", "redis-benchmark"):
        (commands / name).write_text("#!/bin/sh\necho v=7.2.4\n", encoding="utf-8")
        (commands / name).chmod(0o755)
    monkeypatch.setattr(debs, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(debs, "search_path", lambda: os.pathsep.join([str(commands), "/usr/bin", "/bin"]))
    assert debs.main(["redis"]) == 0
    assert str(commands / "redis-cli") in (tmp_path / "cache/bin/redis-cli").read_text(encoding="utf-8")
    assert not (tmp_path / "cache/apt").exists()
