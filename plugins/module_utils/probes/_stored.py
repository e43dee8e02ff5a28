# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The options of probes that look into the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.store.address import is_shared, parse_address
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import check_names


def address(value: Any) -> str:
    text = opt.text(value)
    try:
        parse_address(text)
    except CutoverError as error:
        raise ValueError(str(error)) from error
    return text


def name_of(value: Any) -> str:
    text = opt.text(value)
    for problem in check_names(name=text):
        raise ValueError(problem.message)
    return text


STORE_OPTIONS: Mapping[str, Option] = {
    "store": Option(address, "address of the store", required=True),
    "environment": Option(name_of, "environment that it belongs to", required=True),
    "store_password": Option(opt.secret_only, "password of the store, as {secret: NAME}"),
}


def whose(store: str, host: str) -> str:
    """The host whose samples are meant: none in a store of one host. Raises ValueError when a shared one is not told."""
    if not is_shared(store):
        return ""
    if not host:
        raise ValueError(f"the store {store} is shared by hosts, and none is named: give host, the name of the one that is meant")
    return host


def with_host(checks: Sequence[Any], host: str) -> list[Any]:
    """Checks as they are written, with the host that they are asked on in each of the probe ``window`` that does not name one."""

    def named(one: Any) -> Any:
        options = one.get("window") if isinstance(one, Mapping) else None
        return {**one, "window": {"host": host, **options}} if isinstance(options, Mapping) and host else one

    return [named(one) for one in checks]
