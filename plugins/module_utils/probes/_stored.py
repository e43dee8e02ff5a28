# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The options of probes that look into the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.golive.cutover.plugins.module_utils.core import options as opt
from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError
from ansible_collections.golive.cutover.plugins.module_utils.core.options import Option
from ansible_collections.golive.cutover.plugins.module_utils.store.address import parse_address
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
