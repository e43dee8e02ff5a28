# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The releases of a Compose project on a Docker engine: what they are made of, whether it is still there, and how
they do.

Starting and stopping is left to ``community.docker.docker_compose_v2``. The command line of Docker is spoken to,
because Compose has no other interface.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils import commands, env_file, readiness
from ansible_collections.golive.cutover.plugins.module_utils.core import compose, supervisord, tree, units
from ansible_collections.golive.cutover.plugins.module_utils.core.compose import Container
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError
from ansible_collections.golive.cutover.plugins.module_utils.core.services import Service, read_services
from ansible_collections.golive.cutover.plugins.module_utils.release_files import write_atomically

_EVERY = 0.25
_TAIL_LINES = 10
DEFAULT_TIMEOUT = 60.0


class ComposeError(CutoverError):
    """The project could not be brought where it should be. ``result`` says how far it came."""

    def __init__(self, message: str, **result: Any) -> None:
        self.result = result
        super().__init__(message)


@dataclass
class Project:
    """One release of a Compose project."""

    release: str
    directory: Path
    name: str
    files: Sequence[str]
    profiles: Sequence[str] = ()
    docker: str = "docker"
    host: str = ""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], str] = lambda: secrets.token_hex(8)

    def __post_init__(self) -> None:
        self.run_file = self.directory / tree.OWN / "run.json"
        self.pinned_file = self.directory / tree.OWN / "compose.pinned.json"
        self.up_file = self.directory / tree.OWN / "up.json"
        self.settings_file = self.directory / tree.OWN / "settings.json"
        self.rendered_file = self.directory / tree.OWN / "compose.rendered.json"

    # -- docker --------------------------------------------------------------------------------------------------------

    def _docker(self, *arguments: str, timeout: float = 60.0) -> str:
        what = " ".join(word for word in arguments[:2] if not word.startswith("-"))
        try:
            done = commands.run(
                [self.docker, *arguments],
                timeout=timeout,
                directory=self.directory if self.directory.is_dir() else "/",
                added={"DOCKER_HOST": self.host} if self.host else {},
            )
        except FileNotFoundError as error:
            raise ComposeError(f"the command {self.docker} is not there") from error
        except subprocess.TimeoutExpired as error:
            raise ComposeError(f"docker {what} gave no answer within {units.show(timeout, 'time')}") from error
        if done.code:
            said = " / ".join(supervisord.last_lines(supervisord.redact(done.errors, self.values()), 5))
            raise ComposeError(f"docker {what} failed: {said or f'exit code {done.code}'}")
        return done.output

    def values(self) -> list[str]:
        """The values of the release's env file, which must not show up anywhere."""
        try:
            parsed = env_file.parse((self.directory / tree.ENV_FILE).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            return []
        notations = [entry.notation.strip("'\"") for entry in parsed.entries]
        return [*env_file.read_values(parsed)[0].values(), *notations]

    def engine(self) -> list[str]:
        """Why the engine cannot be used."""
        try:
            self._docker("version", "--format", "{{.Server.Version}}", timeout=20)
            self._docker("compose", "version", "--short", timeout=20)
        except ComposeError as error:
            return [str(error)]
        return []

    def image(self, reference: str) -> dict[str, Any] | None:
        """``id`` and ``digests`` of an image that is on the engine, or None."""
        try:
            found = json.loads(self._docker("image", "inspect", reference))[0]
        except ComposeError as error:
            if "no such image" in str(error).lower():
                return None
            raise
        return {"id": str(found["Id"]), "digests": list(found.get("RepoDigests") or [])}

    def containers(self) -> list[Container]:
        """All containers of the project, whichever release they are of, without those of ``compose run``."""
        label = f"label={compose.PROJECT_LABEL}={self.name}"
        ids = self._docker("ps", "--all", "--quiet", "--no-trunc", "--filter", label).split()
        if not ids:
            return []
        inspected = json.loads(self._docker("inspect", "--type", "container", *ids))
        return [
            compose.container(one)
            for one in inspected
            if str((one["Config"].get("Labels") or {}).get(compose.ONE_OFF_LABEL, "")).lower() != "true"
        ]

    # -- what the release is made of -----------------------------------------------------------------------------------

    def recorded(self) -> dict[str, Any]:
        """What was recorded of this release. Raises ComposeError when nothing was."""
        try:
            record = json.loads(self.run_file.read_text(encoding="utf-8"))
            return {"images": dict(record["images"]), "services": list(record["services"]), "files": list(record["files"])}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ComposeError(
                f"what release {self.release} runs is not known: {self.run_file} cannot be read ({error})"
            ) from error

    def render(self) -> dict[str, Any]:
        text = self._docker(*compose.config_command(self.name, str(self.directory), self.files, self.profiles))
        try:
            rendered = json.loads(text)
        except ValueError as error:
            raise ComposeError("docker compose config printed no JSON") from error
        if not rendered.get("services"):
            raise ComposeError(f"the Compose files {', '.join(self.files)} hold no services that are active")
        return dict(rendered)

    def prepare(self, build: str, pull: str) -> None:
        """Build and pull, while what runs is left alone."""
        where = (self.name, str(self.directory), self.files, self.profiles)
        if build == "always":
            self._docker(*compose.build_command(*where), timeout=3600)
        if pull != "never":
            self._docker(*compose.pull_command(*where, policy=pull), timeout=3600)

    def record(self, services: Sequence[Mapping[str, Any]], *, build: str, pull: str, dry: bool) -> bool:
        """Write down the images by id and the rendered configuration, before anything changes; returns whether it was
        new."""
        known = self.recorded() if self.run_file.exists() else None
        if not dry and (known is None or any(self.image(str(one["id"])) is None for one in known["images"].values())):
            self.prepare(build, pull)
        rendered = self.render()
        images: dict[str, dict[str, Any]] = {}
        missing: list[str] = []
        for service, config in sorted(rendered["services"].items()):
            reference = compose.image_of(self.name, service, config)
            found = self.image(reference)
            if found is None:
                missing.append(f"{reference} (of {service})")
            else:
                images[service] = {"reference": reference, **found}
        if known is not None:
            # An image that was recorded and is still there counts, whatever became of its name.
            for service, one in known["images"].items():
                if service in images and images[service]["id"] != one["id"]:
                    raise ComposeError(
                        f"release {self.release} is already recorded with another image of {service}: {one['id']}, and "
                        f"{one['reference']} is {images[service]['id']} now; give new images a new release id"
                    )
        if missing:
            raise ComposeError(f"images are missing on the engine: {', '.join(missing)}")
        if dry:
            return known is None
        wanted = {"images": images, "services": list(services), "files": list(self.files)}
        values = self.values()
        readers = compose.settings_readers(rendered, str(self.directory / tree.ENV_FILE))
        changed = self._pin(images, self._marks(readers, readers))
        kept = json.dumps(compose.without_values(rendered, values), indent=1, sort_keys=True) + "\n"
        changed = write_atomically(self.rendered_file, kept, 0o600) or changed
        for service, one in images.items():
            self._docker("tag", str(one["id"]), compose.own_tag(self.name, service, self.release))
        return write_atomically(self.run_file, json.dumps(wanted, indent=1) + "\n", 0o600) or changed

    # Services that read the env file by themselves are marked with a label. Marks are drawn, never made from the settings,
    # and never come back: a service that was told of a change by a signal differs from its configuration all the same when
    # the change is taken back.

    def _pin(self, images: Mapping[str, Mapping[str, Any]], marks: Mapping[str, str]) -> bool:
        """Write the file that pins, and only then that these are the marks for the settings as they are: whoever is cut off
        in between draws again."""
        changed = write_atomically(self.pinned_file, json.dumps(compose.pinned(images, marks), indent=1) + "\n", 0o640)
        self._note_settings()
        return changed

    def _note_settings(self) -> None:
        write_atomically(self.settings_file, json.dumps({"digest": self._settings_digest()}, indent=1) + "\n", 0o600)

    def _settings_digest(self) -> str:
        try:
            return hashlib.sha256((self.directory / tree.ENV_FILE).read_bytes()).hexdigest()
        except FileNotFoundError:
            return ""

    def _settings_are_new(self) -> bool:
        try:
            return bool(json.loads(self.settings_file.read_text(encoding="utf-8"))["digest"] != self._settings_digest())
        except (OSError, ValueError, KeyError, TypeError):
            return True

    def _marks(self, readers: Sequence[str], concerned: Sequence[str]) -> dict[str, str]:
        """A mark for each reader: a new one for those that a change of the settings concerns, else the one it has."""
        try:
            known = compose.marks_of(json.loads(self.pinned_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, AttributeError):
            known = {}
        new = self._settings_are_new()
        return {one: known[one] if one in known and not (new and one in concerned) else self.draw() for one in readers}

    def renew(self, only: Sequence[str]) -> None:
        """Let the next start make those containers anew that read settings which have changed since; ``only`` names the
        services that the change is for, all of them when it is empty."""
        images = self.recorded()["images"]
        try:
            readers = sorted(compose.marks_of(json.loads(self.pinned_file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, AttributeError) as error:
            raise ComposeError(f"{self.pinned_file} cannot be read ({error})") from error
        self._pin(images, self._marks(readers, only or readers))

    def forget(self) -> None:
        """Take our names off the images of this release."""
        if self.run_file.exists():
            for service in self.recorded()["images"]:
                tag = compose.own_tag(self.name, service, self.release)
                if self.image(tag) is not None:
                    self._docker("image", "rm", "--no-prune", tag)

    def gone(self) -> list[str]:
        """What of the recorded release is no longer there."""
        try:
            record = self.recorded()
        except ComposeError as error:
            return [str(error)]
        lines = [
            f"the image {one['reference']} of {service} ({str(one['id'])[:19]}) is no longer on the engine"
            for service, one in sorted(record["images"].items())
            if self.image(str(one["id"])) is None
        ]
        return lines + ([] if self.pinned_file.exists() else [f"{self.pinned_file} is gone"])

    # -- how it does ---------------------------------------------------------------------------------------------------

    def _tail(self, one: Container) -> list[str]:
        line = [self.docker, "logs", "--tail", "30", one.id]
        done = commands.run(line, timeout=20, together=True, added={"DOCKER_HOST": self.host} if self.host else {})
        return supervisord.last_lines(supervisord.redact(done.output, self.values()), _TAIL_LINES)

    def wait(self, services: Sequence[Service], settle: float) -> None:
        """Wait until every service is up by its policy, and still is a while later; fail at the first that will not
        be."""
        declared = {service.name: service for service in services}
        expected = self.recorded()["images"]
        restarts = {one.id: one.restarts for one in self.containers()}
        began = self.clock()
        up_since: float | None = None
        while True:
            waiting = self._look(declared, expected, restarts)
            now = self.clock()
            if not waiting:
                up_since = now if up_since is None else up_since
                if now - up_since >= settle:
                    return
            else:
                up_since = None
                for name, reason in waiting.items():
                    limit = declared[name].start_timeout if name in declared else DEFAULT_TIMEOUT
                    if now - began > limit:
                        raise self._failure(name, f"waited {units.show(limit, 'time')}; {reason}")
            self.sleep(_EVERY)

    def _look(
        self, declared: Mapping[str, Service], expected: Mapping[str, Mapping[str, Any]], restarts: dict[str, int]
    ) -> dict[str, str]:
        """The services that are not up yet, and why. Raises ComposeError for one that will not be."""
        waiting: dict[str, str] = {}
        found = self.containers()
        for name, image in expected.items():
            mine = [one for one in found if one.service == name]
            service = declared.get(name)
            policy = service.policy if service else None
            asks = service is not None and (service.ready.http is not None or service.ready.tcp is not None)
            if not mine:
                waiting[name] = "it has no container"
            for one in mine:
                # A health check of the container wins; a page that the service declares stands in for a missing one.
                by = "running" if policy == "healthy" and one.health is None and asks else policy
                state, reason = compose.judge(one, by, restarts.setdefault(one.id, 0))
                if state == compose.FAILED:
                    raise self._failure(name, reason, one)
                if state == compose.UP and one.image != image["id"]:
                    state, reason = compose.WAITING, "it runs another image than the one that was recorded"
                if state == compose.UP and asks and service is not None:
                    reason = readiness.look(service.ready) or ""
                    state = compose.WAITING if reason else compose.UP
                if state == compose.WAITING:
                    waiting[name] = reason
        return waiting

    def _failure(self, service: str, why: str, one: Container | None = None) -> ComposeError:
        if one is None:
            one = next((found for found in self.containers() if found.service == service), None)
        tail = self._tail(one) if one is not None else []
        text = f"{service} did not come up: {why}"
        if tail:
            text += f"; its last lines: {' / '.join(tail)}"
        return ComposeError(text, program=service, reason=why, log=tail, changed=True)

    def status(self, services: Sequence[Service]) -> list[dict[str, Any]]:
        """One record for each container that should be: ``name``, ``service``, ``state``, ``healthy``, ``restarts``,
        ``reason``."""
        declared = {service.name: service for service in services}
        found = self.containers()
        records: list[dict[str, Any]] = []
        for name, image in self.recorded()["images"].items():
            service = declared.get(name)
            mine = [one for one in found if one.service == name]
            if not mine:
                record = {"name": name, "service": name, "state": "gone", "healthy": False, "restarts": 0}
                records.append({**record, "reason": "it has no container"})
            for one in mine:
                policy = service.policy if service else None
                asks = service is not None and (service.ready.http is not None or service.ready.tcp is not None)
                by = "running" if policy == "healthy" and one.health is None and asks else policy
                state, reason = compose.judge(one, by, one.restarts)
                if state == compose.UP and one.image != image["id"]:
                    reason = "it runs another image than the one that was recorded for this release"
                elif state == compose.UP and asks and service is not None and one.status == "running":
                    reason = readiness.look(service.ready) or ""
                records.append(
                    {
                        "name": one.name,
                        "service": name,
                        "state": one.status,
                        "healthy": not reason,
                        "restarts": one.restarts,
                        "reason": reason,
                    }
                )
        return records

    def down(self) -> None:
        """Remove containers and networks, known by the name of the project alone; volumes stay."""
        self._docker("compose", "--ansi", "never", "--project-name", self.name, "down", "--remove-orphans", timeout=600)
        left = [one.name for one in self.containers()]
        if left:
            raise ComposeError(f"still there after everything was stopped: {', '.join(left)}")

    def _digest(self, files: Sequence[str]) -> str:
        """What tells one rendered configuration, with its settings, from every other."""
        text = self._docker(*compose.config_command(self.name, str(self.directory), files, self.profiles))
        return hashlib.sha256(text.encode()).hexdigest()

    def _all_files(self, record: Mapping[str, Any]) -> list[str]:
        return [*record["files"], f"{tree.OWN}/{self.pinned_file.name}"]

    def note_up(self) -> None:
        """Write down which containers were made from which configuration, once they are up."""
        record = {
            "digest": self._digest(self._all_files(self.recorded())),
            "containers": sorted(one.id for one in self.containers()),
        }
        write_atomically(self.up_file, json.dumps(record, indent=1) + "\n", 0o600)

    def in_place(self) -> bool:
        """Whether the recorded release runs as its files and settings say, in the containers that were made for it.

        Then nothing must be started. Starting a project that runs would start its one-shots again.
        """
        try:
            record = self.recorded()
            noted = json.loads(self.up_file.read_text(encoding="utf-8"))
            if noted["digest"] != self._digest(self._all_files(record)):
                return False
            found = self.containers()
        except (ComposeError, OSError, ValueError, KeyError, TypeError):
            return False
        policies = {service.name: service.policy for service in read_services(record["services"], commands=False)}
        return noted["containers"] == sorted(one.id for one in found) and all(
            compose.judge(one, policies.get(one.service), one.restarts)[0] != compose.FAILED
            and one.image == record["images"].get(one.service, {}).get("id")
            for one in found
        )

    def signal(self, only: Sequence[str], name: str) -> list[str]:
        """Send a signal to the first process of each container of the services, which reads its settings again; returns the
        names of the containers."""
        chosen = [one for one in self.containers() if (not only or one.service in only) and one.status == "running"]
        unknown = [service for service in only if service not in {one.service for one in chosen}]
        if unknown:
            raise ComposeError(f"no container of {', '.join(unknown)} runs, so it cannot be told to read its settings again")
        for one in chosen:
            self._docker("kill", "--signal", name, one.id)
        if chosen:
            self._note_settings()
        return [one.name for one in chosen]
