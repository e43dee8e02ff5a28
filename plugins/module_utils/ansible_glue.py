# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The one place where the collection's modules meet Ansible: argument spec in, one result or one failure out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, InputError


def run_module(
    argument_spec: Mapping[str, Any],
    main: Callable[[AnsibleModule], dict[str, Any]],
    **options: Any,
) -> None:
    """Run a module: ``main`` returns the result or raises a CutoverError, which fails the task with its text.

    ``options`` go to AnsibleModule (``supports_check_mode``, ``required_if``, …). A refused input is also returned as
    ``problems``, a list of ``where`` and ``message``. An error may carry further results in an attribute ``result``.
    """
    module = AnsibleModule(argument_spec=dict(argument_spec), **options)
    try:
        result = main(module)
    except InputError as error:
        module.fail_json(msg=str(error), problems=[problem._asdict() for problem in error.problems])
    except CutoverError as error:
        module.fail_json(msg=str(error), **getattr(error, "result", {}))
    else:
        failed = result.pop("failed_message", None)
        if failed is not None:
            module.fail_json(msg=failed, **result)
        module.exit_json(**result)
