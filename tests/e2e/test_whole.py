# SPDX-License-Identifier: Apache-2.0
"""What one test took away from the stack is there for the next one."""
import asyncio
import os
import signal

import api
from callers import Caller
from test_outages import deploy, pid_of
from whole import put_back, state_of


def test_what_a_test_left_stopped_is_put_back_and_told(stack):
    deploy("redis/stop", stack / "redis")
    deploy("asterisk/stop", stack / "n1")
    os.kill(pid_of(stack, "mysql"), signal.SIGSTOP)
    api.until(lambda: state_of(stack / "mysql/mysql.pid") == "T", 10, "MariaDB standing still")
    assert sorted(put_back(stack)) == ["Asterisk was gone", "Redis was gone", "mysql stood still"]
    assert put_back(stack) == []

    async def scene():
        async with Caller() as c:
            assert await c.prompt_over(0.8, 40, c.up), "no prompt was heard"

    asyncio.run(scene())
