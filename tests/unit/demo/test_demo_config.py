# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path

import pytest

from spark import config, releases
from spark.config import ConfigError, host_allowed, load
from spark.releases import Fault, find

GOOD = find("1.0.0")
BASE = {"REDIS_URL": "redis://127.0.0.1:6379/0"}
DEMO = Path(config.__file__).resolve().parents[1]


def refused(environ: dict[str, str], release: str = "1.0.0") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load("executor", find(release), environ)
    return caught.value.problems


def test_defaults() -> None:
    settings = load("web-next", GOOD, BASE)
    assert (settings.host, settings.port, settings.max_streams_per_client) == ("127.0.0.1", 3000, 3)
    assert load("executor", GOOD, BASE).port == 4001
    assert settings.scheduler_enabled is True


def test_missing_required_variable_is_named() -> None:
    assert refused({}) == ["REDIS_URL is required and not set"]
    assert refused({"REDIS_URL": "  "}) == ["REDIS_URL is required and not set"]


def test_every_mistake_is_reported_at_once_and_no_value_is_shown() -> None:
    problems = refused(
        {
            "REDIS_URL": "http://CANARY-a",
            "EXECUTOR_PORT": "CANARY-b",
            "SCHEDULER_ENABLED": "CANARY-c",
            "ALERT_COOLDOWN_SEC": "nan",
            "TELEGRAM_BOT_TOKEN": "your_telegram_bot_token_here",
            "NOTIFY_WEBHOOK_URL": "https://CANARY-d.test/x",
            "LEADER_LOCK_TTL_MS": "1000",
            "LEADER_HEARTBEAT_MS": "1000",
        }
    )
    assert [problem.split()[0] for problem in problems[:5]] == [
        "EXECUTOR_PORT",
        "REDIS_URL",
        "SCHEDULER_ENABLED",
        "ALERT_COOLDOWN_SEC",
        "TELEGRAM_BOT_TOKEN",
    ]
    assert any("LEADER_HEARTBEAT_MS" in problem for problem in problems)
    assert any("host of NOTIFY_WEBHOOK_URL" in problem for problem in problems)
    assert "CANARY" not in str(problems)


def test_secrets_are_not_in_the_representation() -> None:
    environ = {
        **BASE,
        "REDIS_URL": "redis://:CANARY-p@127.0.0.1/0",
        "TELEGRAM_BOT_TOKEN": "CANARY-t",
        "NOTIFY_WEBHOOK_URL": "https://hooks.test/CANARY-w",
        "NOTIFY_ALLOWED_HOSTS": "hooks.test",
    }
    assert "CANARY" not in repr(load("executor", GOOD, environ))


def test_env_file_has_the_last_word(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# comment\nMAX_SSE_CONNECTIONS=1\nTELEGRAM_BOT_TOKEN='a$b#c'\nTELEGRAM_CHAT_ID=\"x y\"\r\nWS_ENABLED=\n")
    settings = load("web-next", GOOD, {**BASE, "MAX_SSE_CONNECTIONS": "9", "WS_ENABLED": "false", "APP_ENV_FILE": str(path)})
    assert settings.max_streams_per_client == 1
    assert settings.telegram_token == "a$b#c"
    assert settings.telegram_chat == "x y"
    assert settings.websocket_enabled is True  # set to nothing in the file: the default


def test_env_file_that_is_not_there() -> None:
    assert "is not a file" in refused({**BASE, "APP_ENV_FILE": "/nonexistent/.env"})[0]


def test_env_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"REDIS_URL=\xff\xfe")
    assert "cannot be read" in refused({**BASE, "APP_ENV_FILE": str(path)})[0]


def test_example_is_refused_until_it_is_filled_in() -> None:
    problems = refused({"APP_ENV_FILE": str(DEMO / ".env.example")})
    assert problems == ["TELEGRAM_BOT_TOKEN still holds a placeholder", "TELEGRAM_CHAT_ID still holds a placeholder"]


def test_every_variable_is_in_the_readme() -> None:
    source = (DEMO / "spark" / "config.py").read_text()
    names = set(re.findall(r'"([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)"', source)) - {"ALERT_RULES_SCHEMA"}
    assert len(names) > 25
    readme = (DEMO / "README.md").read_text()
    assert {name for name in names if f"`{name}`" not in readme} == set()


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://hooks.slack.com/services/x", True),
        ("https://HOOKS.SLACK.COM/x", True),
        ("http://127.0.0.1:9000/x", True),
        ("http://127.0.0.1:9001/x", False),
        ("https://hooks.slack.com.evil.test/x", False),
        ("https://evil.test/hooks.slack.com", False),
        ("https://hooks.slack.com@evil.test/", False),
        ("https://user:pass@hooks.slack.com/", False),
        ("file:///etc/passwd", False),
        ("gopher://hooks.slack.com/", False),
        ("http://169.254.169.254/latest/meta-data", False),
        ("http://[::1", False),
        ("http://hooks.slack.com:notaport/", False),
        ("", False),
    ],
)
def test_host_allowed(url: str, allowed: bool) -> None:
    assert host_allowed(url, frozenset({"hooks.slack.com", "127.0.0.1:9000"})) is allowed


def test_reload_changes_what_can_change_and_names_the_rest() -> None:
    old = load("executor", GOOD, BASE)
    new = load("executor", GOOD, {**BASE, "SCHEDULER_ENABLED": "false", "EXECUTOR_PORT": "5000"})
    assert config.need_restart(old, new) == ["port"]
    merged = config.reloaded(old, new)
    assert (merged.scheduler_enabled, merged.port) == (False, 4001)


def test_bad_config_release_demands_what_nobody_sets() -> None:
    assert refused(BASE, "1.1.0-bad-config") == ["ALERT_RULES_SCHEMA is required and not set"]


def test_releases_have_unique_ids_and_one_fault_each() -> None:
    ids = [release.id for release in releases.RELEASES]
    assert len(set(ids)) == len(ids)
    assert [release.id for release in releases.RELEASES if release.good] == ["0.9.0", "1.0.0", "1.0.1"]
    for release in releases.RELEASES:
        assert len(release.fault) == (0 if release.good else 2 if release.id == "1.1.0" else 1)
    # Every fault can be met on its own.
    assert {r.fault for r in releases.RELEASES if len(r.fault) == 1} == set(Fault)


def test_release_of_a_directory(tmp_path: Path) -> None:
    with pytest.raises(releases.UnknownRelease, match="SPARK_RELEASE"):
        releases.current({}, tmp_path)
    assert releases.current({"SPARK_RELEASE": "0.9.0"}, tmp_path).id == "0.9.0"
    (tmp_path / "RELEASE").write_text("1.1.0-slow+7\n")
    release = releases.current({"SPARK_RELEASE": "0.9.0"}, tmp_path)
    assert (release.id, release.fault) == ("1.1.0-slow+7", Fault.SLOW)
    (tmp_path / "RELEASE").write_text("2.0.0")
    with pytest.raises(releases.UnknownRelease, match=r"'2\.0\.0'.*1\.0\.0"):
        releases.current({}, tmp_path)


def test_readme_lists_every_release() -> None:
    readme = (DEMO / "README.md").read_text()
    assert [r.id for r in releases.RELEASES if f"`{r.id}`" not in readme] == []
