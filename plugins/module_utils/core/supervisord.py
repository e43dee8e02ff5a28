# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""What supervisord is told, and what its answers mean. Pure: texts and records in, texts and records out.

The configuration holds no user text beyond names and paths: what a program runs stands in a file of its own, whose
name carries its digest, so supervisord sees a change of anything in it as a change of the command.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core.services import Program

START_RETRIES = 20
"""How often supervisord itself tries again later, with a growing pause. A deployment fails at the first crash."""
START_SECONDS = 1
LOG_SIZE = "10MB"
LOG_BACKUPS = 3

ALIVE = ("STARTING", "RUNNING")


def _value(text: str) -> str:
    """A value of supervisord's configuration, where ``%`` begins an expansion."""
    return text.replace("%", "%%")


def _word(text: str) -> str:
    return _value(shlex.quote(text))


def main_config(*, directory: str, socket: str) -> str:
    """``supervisord.conf``: own socket, own logs, own programs, nothing of the machine's."""
    return "\n".join(
        [
            "; Written by golive.cutover. Changes are overwritten.",
            "[unix_http_server]",
            f"file={_value(socket)}",
            "chmod=0700",
            "",
            "[supervisord]",
            f"logfile={_value(directory)}/supervisord.log",
            f"logfile_maxbytes={LOG_SIZE}",
            f"logfile_backups={LOG_BACKUPS}",
            f"pidfile={_value(directory)}/supervisord.pid",
            f"childlogdir={_value(directory)}/logs",
            f"directory={_value(directory)}",
            "umask=027",
            "",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
            "",
            "[include]",
            f"files={_value(directory)}/conf.d/*.conf",
            "",
        ]
    )


def program_spec(program: Program, *, release_dir: str, env_file: str, record: str) -> dict[str, Any]:
    """What the launcher is told about a program. ``APP_ENV_FILE`` lets it read its settings again on SIGHUP."""
    return {
        "name": program.name,
        "command": list(program.command),
        "directory": f"{release_dir}/{program.directory}" if program.directory != "." else release_dir,
        "environment": {"APP_ENV_FILE": env_file, **program.environment},
        "env_file": env_file,
        "record": record,
        "port": program.port,
        "release_dir": release_dir,
    }


def spec_text(spec: Mapping[str, Any]) -> str:
    return json.dumps(spec, sort_keys=True, indent=1) + "\n"


def spec_name(program: Program, text: str) -> str:
    return f"{program.name}.{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


def program_config(program: Program, *, python: str, launcher: str, spec: str, log: str) -> str:
    """``conf.d/<program>.conf``. A one-shot is started by us alone, once."""
    once = program.policy == "completed"
    return "\n".join(
        [
            "; Written by golive.cutover. Changes are overwritten.",
            f"[program:{program.name}]",
            f"command={_word(python)} {_word(launcher)} {_word(spec)}",
            f"autostart={'false' if once else 'true'}",
            f"autorestart={'false' if once else 'true'}",
            f"startsecs={0 if once else START_SECONDS}",
            f"startretries={START_RETRIES}",
            "stopsignal=TERM",
            f"stopwaitsecs={max(1, round(program.stop_timeout))}",
            "stopasgroup=true",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={_value(log)}",
            f"stdout_logfile_maxbytes={LOG_SIZE}",
            f"stdout_logfile_backups={LOG_BACKUPS}",
            "",
        ]
    )


def crash(program: Program, state: str, *, starts: int, expected_starts: int, exit_status: int, detail: str) -> str | None:
    """Why a program that should be up will not be, or None while it still may be.

    ``starts`` counts how often it was started since it was last put in place.
    """
    once = program.policy == "completed"
    if state == "EXITED" and once:
        return None if exit_status == 0 else f"it ended with exit code {exit_status}"
    if state in ("FATAL", "BACKOFF"):
        return f"it ends as soon as it is started ({detail})" if detail else "it ends as soon as it is started"
    if state == "EXITED":
        return f"it ended with exit code {exit_status}"
    if starts > expected_starts:
        return "it ended and was started again"
    if state in ("UNKNOWN", "gone"):
        return f"supervisord says that it is {state}"
    return None


def redact(text: str, values: Iterable[str]) -> str:
    """A text with the given values replaced by ``***``. Values of up to three characters are no secrets and stay."""
    parts = {line.strip() for value in values for line in value.splitlines()}
    for part in sorted((part for part in parts if len(part) > 3), key=len, reverse=True):
        text = text.replace(part, "***")
    return text


def last_lines(text: str, count: int) -> list[str]:
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return [line if len(line) <= 300 else line[:297] + "..." for line in lines[-count:]]
