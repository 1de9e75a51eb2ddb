# SPDX-License-Identifier: Apache-2.0
"""A tenant's process that has been taken over: it spins in machine code, where no hook and no share of its own is heard of."""
import asyncio
import ctypes
import os
import re
import time
from pathlib import Path

import pytest

import api
from callers import GAP_MS, Caller, leads_of, make_tenant, push, to_sales

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may reach into a cell")

FLOW = """local flow = require "flow"
return flow.define {
  start = "greeting",
  greeting = function(call)
    call.data.key = call:gather { prompt = "Press a key.", digits = 1, timeout = 60 }
    return "note"
  end,
  note = function(call)
    call:create_lead { notes = "key " .. call.data.key }
    call:hangup()
  end,
}
"""
ADDRESS, NUMBER = "127.0.0.51", "+15550901"
ATTACH, POKE, DETACH, GET_REGISTERS = 16, 4, 17, 12
RIP = 16  # in struct user_regs_struct
JUMP_TO_ITSELF = 0xFEEB


def cells():
    """Those that serve a tenant: one that waits for its tenant holds the socket to the zygote (WALLS_REPORT)."""
    zygote = int((Path(os.environ["PARLEY_PIDS"]) / "zygote.pid").read_text())
    children = map(int, Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split())
    return {pid for pid in children if not Path(f"/proc/{pid}/fd/4").is_symlink()}


def take_over(pid):
    """From now on the process does nothing but jump to where it stands, whatever system call it waited in."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    registers = (ctypes.c_ulong * 27)()
    assert libc.ptrace(ATTACH, pid, None, None) == 0, os.strerror(ctypes.get_errno())
    os.waitpid(pid, 0)
    assert libc.ptrace(GET_REGISTERS, pid, None, registers) == 0
    # The system call is two bytes before; it is made again when the process goes on.
    words = (JUMP_TO_ITSELF << 32 | JUMP_TO_ITSELF << 16 | JUMP_TO_ITSELF) & (2**64 - 1)
    assert libc.ptrace(POKE, pid, registers[RIP] - 2, words) == 0, os.strerror(ctypes.get_errno())
    assert libc.ptrace(DETACH, pid, None, None) == 0


def metric(name, **labels):
    text = api.call("GET", "/metrics").body.decode()
    found = re.findall(rf"^{name}(?:\{{([^}}]*)\}})? (\S+)$", text, re.M)
    return sum(float(n) for given, n in found if all(f'{k}="{v}"' in given for k, v in labels.items()))


async def ended(pid, limit_s):
    """Waits for the end of a process, and returns the CPU seconds it was last seen with."""
    until, used = time.monotonic() + limit_s, 0
    while time.monotonic() < until:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            return used
        used = int(fields[11]) / os.sysconf("SC_CLK_TCK")
        await asyncio.sleep(0.1)
    pytest.fail(f"the cell spins on, after {used} s of processor time")


def test_a_cell_that_was_taken_over_is_held_and_ended_and_another_tenants_call_notices_nothing():
    token = make_tenant("taken", ADDRESS, NUMBER)
    bundle = 'return { numbers = { ["*"] = "flows/main.lua" }, fallback = { say = "Sorry.", hangup = true } }'
    assert push(token, {"bundle.lua": bundle, "flows/main.lua": FLOW}).status == 201

    async def scene():
        async with Caller() as warm:  # so that the other tenant's cell is there
            await warm.at(2)
            before = cells()
            async with Caller(NUMBER, ADDRESS, token) as c:
                assert await c.prompt_over(0.8, 25, c.up), "no prompt was heard"
                # One that is being made for nobody yet looks as if it served somebody, for a moment.
                mine = await asyncio.to_thread(api.until, lambda: len(found := cells() - before) == 1 and found, 20, "one cell more")
                pid, idle = mine.pop(), metric("cells_throttled_total", step="idle")
                take_over(pid)
                first, used = await asyncio.gather(to_sales(), ended(pid, 40))
                # On a machine that is full it may have been given too little to be over its share; it was silent all the same.
                assert used < 1.5 or metric("cells_throttled_total", step="idle") > idle, used
                await c.call.press("7")  # its call goes on in a new one
                await c.ended(40)
                return first, c

    killed = metric("cells_killed_total")
    first, c = asyncio.run(scene())
    assert metric("cells_killed_total") > killed
    assert first.row()["status"] == "completed" and len(leads_of(first.caller)) == 1
    assert first.longest_gap_ms() < GAP_MS
    assert [lead["notes"] for lead in leads_of(c.caller, token)] == ["key 7"], c.row(token)


def test_nobody_who_holds_himself_was_touched():
    """What all calls of this stack did so far was honest but for the one above."""
    held = [line for line in (Path(os.environ["PARLEY_VAR"]) / "log/parleyd.log").read_text(errors="replace").splitlines() if '"cell.throttled"' in line]
    assert all('"tenant":"taken"' in line for line in held), held
