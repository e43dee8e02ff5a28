# Copyright (c) the golive.cutover contributors
# SPDX-License-Identifier: BSD-2-Clause
"""Leader election by a lock with a time to live in Redis.

The lock is taken by ``SET NX PX`` and extended or released only by whoever holds it (compare and act in one script).
A leader that cannot reach Redis stops being one when its lock *would have* expired, by its own monotonic clock and
counted from before the request was sent: so it always gives up before another instance can be elected.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

LOCK_KEY = "spark:alerts:scheduler:lock"

_EXTEND = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class LeaderLock:
    """The lock as one instance sees it. ``owner`` must differ between processes, not only between instances."""

    def __init__(
        self,
        redis: Redis,
        owner: str,
        ttl: float,
        *,
        key: str = LOCK_KEY,
        ignore_holder: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.redis = redis
        self.owner = owner
        self.ttl_ms = int(ttl * 1000)
        self.key = key
        self.ignore_holder = ignore_holder  # the fault of the release 1.1.0-two-leaders
        self._clock = clock
        self._valid_until = float("-inf")
        self._extend = redis.register_script(_EXTEND)
        self._release = redis.register_script(_RELEASE)

    @property
    def held(self) -> bool:
        """Whether this instance is the leader now. Needs no network and never outlives the lock."""
        return self._clock() < self._valid_until

    async def acquire(self) -> bool:
        """Take the lock if it is free."""
        asked = self._clock()
        if not await self.redis.set(self.key, self.owner, nx=not self.ignore_holder, px=self.ttl_ms):
            return False
        self._valid_until = asked + self.ttl_ms / 1000
        return True

    async def extend(self) -> bool:
        """Start the time to live anew; false when the lock is no longer ours."""
        if self.ignore_holder:
            return await self.acquire()
        asked = self._clock()
        if not await self._extend(keys=[self.key], args=[self.owner, self.ttl_ms]):
            self._valid_until = float("-inf")
            return False
        self._valid_until = asked + self.ttl_ms / 1000
        return True

    async def release(self) -> None:
        """Give the lock up, if it is ours. Without Redis it expires by itself."""
        self._valid_until = float("-inf")
        try:
            await self._release(keys=[self.key], args=[self.owner])
        except RedisError:
            return

    async def holder(self) -> str | None:
        return cast("str | None", await self.redis.get(self.key))
