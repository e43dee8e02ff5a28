# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Every store, by the scheme of its address. A new store is one file beside this one and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.store.address import Address, parse_address, refuse
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store, check_names
from ansible_collections.golive.cutover.plugins.module_utils.store.redis import open_redis
from ansible_collections.golive.cutover.plugins.module_utils.store.sqlite import open_sqlite

Opener = Callable[[Address, str, "str | None"], Store]
"""Takes the address, the name of the environment and the password, if one was given."""

STORES: Mapping[str, Opener] = {
    "sqlite": open_sqlite,
    "redis": open_redis,
    "rediss": open_redis,
}


def open_store(address: str, environment: str, password: str | None = None) -> Store:
    """Open the store at an address for one environment. Raises InputError, StoreError, LibraryMissing."""
    problems = check_names(environment=environment)
    if problems:
        raise InputError(problems)
    parsed = parse_address(address)
    opener = STORES.get(parsed.scheme)
    if opener is None:
        raise refuse(
            f"{parsed.scheme or 'no scheme'!r} is not a kind of store; expected "
            "sqlite:///absolute/path.db, redis://host:port/db or rediss://host:port/db"
        )
    return opener(parsed, environment, password)
