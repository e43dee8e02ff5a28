# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""The one place where the collection's modules meet Ansible: argument spec in, one result or one failure out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import CutoverError, InputError


def run_module(
    argument_spec: Mapping[str, Any],
    main: Callable[[AnsibleModule], dict[str, Any]],
    unshown: Collection[str] = (),
    **options: Any,
) -> None:
    """Run a module: ``main`` returns the result or raises a CutoverError, which fails the task with its text.

    ``options`` go to AnsibleModule (``supports_check_mode``, ``required_if``, …). A refused input is also returned as
    ``problems``, a list of ``where`` and ``message``. An error may carry further results in an attribute ``result``.

    ``unshown`` are parameters that may hold a secret in another spelling than the one that ``no_log`` looks for (encoded, or as a
    key), or one that nobody has told us of. The result does not repeat them under ``invocation``, which Ansible shows with -vvv,
    and the module writes no line about its parameters to the log of the host.
    """

    # With no_log a module writes no line of its own about its parameters; the result is shown as ever.
    module = AnsibleModule(argument_spec=dict(argument_spec), **{"no_log": bool(unshown), **options})
    shown = {name: value for name, value in module.params.items() if name not in unshown}
    extra = {"invocation": {"module_args": shown}} if unshown else {}
    try:
        result = main(module)
    except InputError as error:
        module.fail_json(msg=str(error), problems=[problem._asdict() for problem in error.problems], **extra)
    except CutoverError as error:
        module.fail_json(msg=str(error), **getattr(error, "result", {}), **extra)
    else:
        failed = result.pop("failed_message", None)
        if failed is not None:
            module.fail_json(msg=failed, **result, **extra)
        module.exit_json(**result, **extra)
