# SPDX-License-Identifier: Apache-2.0
"""What one test took away from the stack is there for the next one."""
import asyncio
import os
import signal

from callers import Caller, worker_pid
from test_outages import deploy
from whole import put_back


def test_what_a_test_left_stopped_is_put_back_and_told(stack):
    deploy("redis/stop", stack / "redis")
    deploy("asterisk/stop", stack / "n1")
    os.kill(worker_pid(0), signal.SIGSTOP)
    assert sorted(put_back(stack)) == ["Asterisk was gone", "Redis was gone", "worker-0 stood still"]
    assert put_back(stack) == []

    async def scene():
        async with Caller() as c:
            assert await c.prompt_over(0.8, 40, c.up), "no prompt was heard"

    asyncio.run(scene())
