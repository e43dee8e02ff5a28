# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The releases, against each store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.golive.cutover.plugins.module_utils.core.errors import InputError
from ansible_collections.golive.cutover.plugins.module_utils.store import releases
from ansible_collections.golive.cutover.plugins.module_utils.store.errors import IllegalTransition
from ansible_collections.golive.cutover.plugins.module_utils.store.interface import Store


def go(store: Store, id: str, *, accepted: bool = True) -> None:
    releases.stage(store, id, "run", {"backend": "supervisor", "digest": f"d-{id}", "recipe": {"dir": id}})
    releases.deployed(store, id, "run", {})
    (releases.accept if accepted else releases.reject)(store, id, "run")


def ids(known: dict[str, Any]) -> tuple[str | None, str | None]:
    return (known["current"] or {}).get("id"), (known["previous"] or {}).get("id")


def statuses(store: Store) -> dict[str, str]:
    return {release["id"]: release["status"] for release in releases.read(store)["releases"]}


def test_nothing_is_known_at_first(store: Store) -> None:
    assert releases.read(store) == {"current": None, "previous": None, "releases": []}
    assert releases.previous(store, "1.0") is None


def test_the_life_of_a_release(store: Store) -> None:
    details = {"backend": "compose", "digest": "sha256:1", "recipe": {"images": {"web": "web@sha256:1"}}}
    staged = releases.stage(store, "1.0", "run-1", details)
    assert staged["changed"] and ids(staged) == (None, None)
    assert staged["releases"][0] == {
        "id": "1.0", "status": "staged", **details, "run": "run-1", "at": "2025-11-21T03:00:00Z",
    }  # fmt: skip
    assert ids(releases.deployed(store, "1.0", "run-1", {})) == ("1.0", None)
    assert statuses(store) == {"1.0": "deployed"}
    assert ids(releases.accept(store, "1.0", "run-1")) == ("1.0", None)
    assert statuses(store) == {"1.0": "accepted"}


def test_each_step_again_is_no_change_whichever_run_does_it(store: Store, clock: Any) -> None:
    details = {"backend": "compose", "digest": "sha256:1", "recipe": {"a": [1]}}
    steps: list[Callable[[str], dict[str, Any]]] = [
        lambda run: releases.stage(store, "1.0", run, details),
        lambda run: releases.deployed(store, "1.0", run, {}),
        lambda run: releases.accept(store, "1.0", run),
    ]
    for step in steps:
        assert step("run-1")["changed"]
        clock.now += 60
        assert not step("run-2")["changed"]
    before = releases.read(store)
    # A whole cutover again, with nothing to change.
    assert [step("run-3")["changed"] for step in steps] == [False, False, False]
    assert releases.read(store) == before and before["current"]["run"] == "run-1"
    assert releases.reject(store, "1.0", "run-4")["changed"]
    assert not releases.reject(store, "1.0", "run-5")["changed"]


def test_the_target_is_the_newest_accepted_other_than_the_candidate(store: Store) -> None:
    go(store, "1.0")
    go(store, "1.1")
    assert ids(releases.read(store)) == ("1.1", "1.0")
    # 1.2 is on trial: before the deploy, and after.
    releases.stage(store, "1.2", "run", {})
    assert ids(releases.read(store, "1.2")) == ("1.1", "1.1")
    assert ids(releases.read(store)) == ("1.1", "1.0")
    releases.deployed(store, "1.2", "run", {})
    assert ids(releases.read(store)) == ("1.2", "1.1")
    # It failed: back to 1.1, which stays accepted.
    releases.reject(store, "1.2", "run")
    assert ids(releases.deployed(store, "1.1", "run", {})) == ("1.1", "1.0")
    assert statuses(store) == {"1.0": "accepted", "1.1": "accepted", "1.2": "rejected"}
    # Never the bad one, and never one that was only deployed.
    releases.stage(store, "1.3", "run", {})
    releases.deployed(store, "1.3", "run", {})
    releases.stage(store, "1.4", "run", {})
    assert ids(releases.deployed(store, "1.4", "run", {})) == ("1.4", "1.1")


def test_accepting_an_older_one_again_makes_it_the_newest(store: Store) -> None:
    go(store, "1.0")
    go(store, "1.1")
    releases.deployed(store, "1.0", "run", {})
    assert releases.accept(store, "1.0", "run")["changed"]
    assert not releases.accept(store, "1.0", "run")["changed"]
    assert (releases.previous(store, "2.0") or {})["id"] == "1.0"


def test_an_accepted_release_that_turns_out_bad_is_no_target(store: Store) -> None:
    go(store, "1.0")
    go(store, "1.1")
    assert ids(releases.reject(store, "1.1", "run")) == ("1.1", "1.0")
    assert (releases.previous(store, "1.2") or {})["id"] == "1.0"


def test_steps_that_are_not_allowed(store: Store) -> None:
    for step in (releases.accept, releases.reject):
        with pytest.raises(IllegalTransition, match="not known"):
            step(store, "9", "run")
    with pytest.raises(IllegalTransition, match="stage it first"):
        releases.deployed(store, "9", "run", {})
    releases.stage(store, "1.0", "run", {})
    with pytest.raises(IllegalTransition, match="only the release that runs"):
        releases.accept(store, "1.0", "run")
    releases.reject(store, "1.0", "run")
    with pytest.raises(IllegalTransition, match="rejected"):
        releases.deployed(store, "1.0", "run", {})
    with pytest.raises(IllegalTransition, match="only the release that runs"):
        releases.accept(store, "1.0", "run")
    # Tried again after a fix.
    assert releases.stage(store, "1.0", "run", {})["changed"]
    go(store, "1.0")
    go(store, "1.1")
    with pytest.raises(IllegalTransition, match=r"current one is 1\.1"):
        releases.accept(store, "1.0", "run")


def test_what_was_accepted_cannot_become_something_else(store: Store) -> None:
    go(store, "1.0")
    for step in (releases.stage, releases.deployed):
        with pytest.raises(IllegalTransition, match="an id of its own"):
            step(store, "1.0", "run", {"digest": "other"})
    # One that is not accepted yet may be built again.
    releases.stage(store, "1.1", "run", {"digest": "a"})
    releases.deployed(store, "1.1", "run", {})
    assert releases.stage(store, "1.1", "run", {"digest": "b"})["releases"][-1]["status"] == "staged"


def test_forgetting(store: Store) -> None:
    for id in ("1.0", "1.1", "1.2"):
        go(store, id)
    with pytest.raises(IllegalTransition, match="current"):
        releases.forget(store, "1.2", "run")
    with pytest.raises(IllegalTransition, match="goes back to"):
        releases.forget(store, "1.1", "run")
    assert releases.forget(store, "1.0", "run")["changed"]
    assert not releases.forget(store, "1.0", "run")["changed"]
    assert list(statuses(store)) == ["1.1", "1.2"]


def test_check_mode_writes_nothing(store: Store) -> None:
    predicted = releases.stage(store, "1.0", "run", {}, dry=True)
    assert predicted["changed"] and predicted["releases"]
    assert releases.read(store)["releases"] == []
    go(store, "1.0")
    before = releases.read(store)
    assert releases.reject(store, "1.0", "run", dry=True)["changed"]
    assert releases.read(store) == before


def test_names_are_checked(store: Store) -> None:
    with pytest.raises(InputError) as refused:
        releases.stage(store, "../1", "", {})
    assert [problem.where for problem in refused.value.problems] == ["id", "run"]


def test_environments_do_not_see_each_other(store: Store, place: Any) -> None:
    go(store, "1.0")
    assert releases.read(place.open(environment="another"))["releases"] == []
