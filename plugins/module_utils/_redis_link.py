# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Internal: one connection to one Redis server, with its refusals as our errors; and the files of that server, where it is here."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any, Optional, Protocol

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, LibraryMissing

Info = Mapping[str, Any]


class RedisRefused(CutoverError):
    """Redis answered with an error. The text is Redis' own."""


class RedisGone(CutoverError):
    """Redis cannot be reached, or the connection broke."""


class Server(Protocol):
    """What is asked of a server. Each method raises RedisRefused or RedisGone."""

    def info(self) -> Info: ...

    def config_get(self, name: str) -> str | None: ...

    def command(self, *words: str | int) -> Any: ...


class Link:
    """A `Server` by the library ``redis``. Raises LibraryMissing and RedisGone."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 6379,
        unix_socket: str | None = None,
        username: str | None = None,
        password: str | None = None,
        tls: bool = False,
        ca_file: str | None = None,
        answer_timeout: float = 15.0,
    ) -> None:
        try:
            import redis
        except ImportError:
            raise LibraryMissing("redis") from None
        self._errors = redis.exceptions
        common: dict[str, Any] = {
            "username": username,
            "password": password,
            "socket_timeout": answer_timeout,
            "socket_connect_timeout": 5.0,
            "decode_responses": True,
        }
        if unix_socket is not None:
            self._client: Any = redis.Redis(unix_socket_path=unix_socket, **common)
            self.where = unix_socket
        else:
            secure: dict[str, Any] = {"ssl": True, "ssl_ca_certs": ca_file} if tls else {}
            self._client = redis.Redis(host=host, port=port, **secure, **common)
            self.where = f"{host}:{port}"

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except self._errors.AuthenticationError as error:
            raise RedisRefused(f"Redis at {self.where} refused the login: {error}") from None
        except (self._errors.ConnectionError, self._errors.TimeoutError, OSError) as error:
            raise RedisGone(f"Redis at {self.where} cannot be reached: {error}") from None
        except self._errors.RedisError as error:
            raise RedisRefused(str(error)) from None

    def info(self) -> Info:
        with self._asking():
            # Not every version has "everything"; commandstats is not part of the default sections.
            found: dict[str, Any] = dict(self._client.info())
            with contextlib.suppress(self._errors.ResponseError):
                found.update(self._client.info("commandstats"))
            return found

    def config_get(self, name: str) -> str | None:
        with self._asking():
            value: Optional[str] = self._client.config_get(name).get(name)
            return value

    def command(self, *words: str | int) -> Any:
        with self._asking():
            return self._client.execute_command(*words)

    def close(self) -> None:
        self._client.close()


class Files:
    """The files of a server that runs on this host, in this file system."""

    def belongs(self, pid: int, directory: str) -> bool:
        """Whether the process with this id is here and works in this directory: Redis changes into its data directory.

        Compares files, not names: in a container both may be called the same and be something else.
        """
        try:
            return os.path.samefile(f"/proc/{pid}/cwd", directory)
        except OSError:
            return False

    def free(self, directory: str) -> int:
        """Free bytes for whoever we are."""
        return shutil.disk_usage(directory).free

    def size(self, path: str) -> int | None:
        try:
            return os.path.getsize(path)
        except OSError:
            return None

    def read(self, path: str) -> str | None:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except OSError:
            return None

    def included(self, pattern: str, directory: str) -> list[str]:
        """The texts of the files that an ``include`` names."""
        texts = (self.read(path) for path in sorted(glob.glob(os.path.join(directory, pattern))))
        return [text for text in texts if text is not None]

    def tail(self, path: str, start: int) -> str:
        """What was written to a log after ``start`` bytes, at most 64 KiB of it."""
        try:
            with open(path, "rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(start, file.tell() - 65536))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def copy(self, source: str, target: str) -> int:
        """Copy a file with its owner and mode, durably; returns its size. Raises CutoverError."""
        try:
            with open(source, "rb") as read:
                status = os.fstat(read.fileno())
                handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "wb") as write:
                    shutil.copyfileobj(read, write, 1024 * 1024)
                    write.flush()
                    with contextlib.suppress(PermissionError):
                        os.fchown(write.fileno(), status.st_uid, status.st_gid)
                    os.fchmod(write.fileno(), status.st_mode & 0o777)
                    os.fsync(write.fileno())
                    return os.fstat(write.fileno()).st_size
        except OSError as error:
            with contextlib.suppress(OSError):
                if not isinstance(error, FileExistsError):
                    os.unlink(target)
            raise CutoverError(f"{source} cannot be copied to {target}: {error.strerror}") from None

    def overwrite(self, path: str, text: str) -> None:
        """Write a file in place: a bind-mounted file keeps its identity only so.

        A copy is beside it meanwhile. What was there is put back when writing fails. Raises CutoverError.
        """
        beside = f"{path}.golive-{os.getpid()}"
        self.copy(path, beside)
        before = self.read(beside) or ""
        try:
            _rewrite(path, text)
        except OSError as error:
            try:
                if self.read(path) != before:
                    _rewrite(path, before)
            except OSError:
                raise CutoverError(f"{path} cannot be written: {error.strerror}; what was there is in {beside}") from None
            os.unlink(beside)
            raise CutoverError(f"{path} cannot be written: {error.strerror}") from None
        os.unlink(beside)


def _rewrite(path: str, text: str) -> None:
    with open(path, "r+", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
