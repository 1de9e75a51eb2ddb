# SPDX-License-Identifier: Apache-2.0
"""Tenants' processes: what one is, what thousands at rest cost, and what each wall around a tenant's code adds, beside nginx."""
import json
import os
import re
import resource
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from statistics import median

import peer as peers

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build/release"
WAYS = {  # name in the programs' output -> what it is, and beside which it stands
    "compiled": ("LuaJIT, compiled", None),
    "interpreted": ("LuaJIT, interpreted: compiled code asks no hook, so it could not be stopped", "compiled"),
    "counted": ("the same, counting instructions by a hook (a budget as others do it; ours costs nothing until it is used up)", "interpreted"),
    "library": ("the sandbox's own globals: patterns with a budget, pairs() in a fixed order, merge sort", "interpreted"),
    "slices": ("a run of its own: coroutine, timer for slices, input and result as values", "library"),
    "cell": ("a process of its own: messages over its socket", "slices"),
    "hook": ("the worker: its loop, its checks, its Lua. This is what a hook costs", "cell"),
    "hooks": ("the same, 8 at a time", "cell"),
    "flow": ("as a state of a flow that looks one value up by a verb: two messages each way more", "hook"),
    "echo": ("nginx with Lua, the request alone: HTTP and JSON there and back", None),
    "on": ("nginx with Lua, the handler for each request, compiled", "echo"),
    "off": ("nginx with Lua, the handler for each request, interpreted", "echo"),
}
WRK = """local bodies = {{ {bodies} }}
local i = 0
request = function()
  i = i + 1
  return wrk.format("POST", nil, nil, bodies[i % #bodies + 1])
end
done = function(summary, latency)
  io.write(("figures %d %d %f %f %f\\n"):format(summary.requests, summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout,
    summary.duration / 1e6, latency:percentile(50), latency:percentile(99)))
end
"""


def compiled(name, *floors):
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "luajit", "jansson", "libseccomp"], capture_output=True, text=True, check=True).stdout.split()
    libraries = [BUILD / f"libparley_{floor}.a" for floor in floors]
    subprocess.run(["cc", "-O2", "-std=gnu11", "-D_GNU_SOURCE", "-I", ROOT / "core", HERE / f"{name}.c", HERE / "cell_host.c", "-o", BUILD / "bin" / name, *libraries, *flags, "-lpthread", "-lm"], check=True)
    return BUILD / "bin" / name


def lines(*words):
    done = subprocess.run(list(map(str, words)), env={"PATH": os.environ["PATH"], "PARLEY_ROOT": str(ROOT)}, capture_output=True, text=True, timeout=480)  # a tenth of it on a machine with nothing else to do
    if done.returncode:
        raise RuntimeError(f"{words[0]}: {done.stdout}{done.stderr}"[-2000:])
    return [line.split("|") for line in done.stdout.splitlines()]


def worker(*words):
    return lines(BUILD / "bin/parley", "run", HERE / "worker_cells.lua", *words)


def cells(say, quick):
    """(rows of what a cell is, rows of what cells at rest cost)"""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    rows = lines(compiled("cells_bench", "script", "base"), BUILD / "bin/parley-cell", 400 if quick else 5000)
    aims = {"private memory at rest": "under 150 KiB", "cells at once": "5000", "spawn to running flow": "under 2 ms", "a verb there and back": "p50 under 20 us, p99 under 100"}
    rows = [[*row, next((aim for name, aim in aims.items() if row[0].startswith(name)), "")] for row in rows]
    found = {row[0]: row[1:] for row in worker("flow", 50 if quick else 200)}
    for name, how, aim in (("first20", "one now and then", "under 2 ms"), ("first0", "one directly after the other", "")):
        rows.append([f"first use to running flow through the worker's Lua and loop, the bundle in memory, {how}", f"p50 {found[name][0]} ms", f"p99 {found[name][1]} ms", aim])
    for name, how in (("trip0", "one after the other"), ("trip1", "one a millisecond")):
        p50, p99, own, its = found[name]
        rows.append([f"a verb there and back through the worker's Lua and loop, {how}; CPU {own} us of the worker, {its} of the cell", f"p50 {p50} us", f"p99 {p99} us",
                     "p50 under 20 us, p99 under 100"])
    for row in rows:
        say("  " + " | ".join(row))
    idle = []
    for kind, count, own, zygote, theirs, watch in worker("idle", 2 if quick else 8, *((10, 200) if quick else (10, 1000, 5000))):
        what = "none" if count == "0" else "at rest" if kind == "rest" else "with a call that waits in each"
        idle.append([count, what, own, watch, zygote, theirs, f"{float(own) * 1000 / int(count):.1f}" if count != "0" else ""])
        say(f"  {idle[-1]}")
    return rows, idle


def wrk(url, script, seconds, connections):
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script, url], capture_output=True, text=True, check=True).stdout
    n, bad, took, p50, p99 = map(float, re.search(r"^figures (.*)$", out, re.M).group(1).split())
    if bad or not n:
        raise RuntimeError(f"{url}: {bad:.0f} of {n:.0f} requests failed")
    return n, n / took, p50, p99


def nginx(folder, rounds, seconds, answer):
    """answer: what the handler says of the first lead. way -> list of (runs/s, CPU us, p50 us, p99 us); latencies with one connection, the rest with 16."""
    leads = ("local function j(v) if type(v) ~= 'table' then return ('%q'):format(v) end local p = {} for k, x in pairs(v) do p[#p + 1] = ('%q:%s'):format(k, j(x)) end "
             "return '{' .. table.concat(p, ',') .. '}' end for _, lead in ipairs(dofile(...)) do print(j(lead)) end return 0\n")
    (folder / "leads.lua").write_text(leads)
    bodies = [row[0] for row in lines(BUILD / "bin/parley", "run", folder / "leads.lua", HERE / "leads.lua")]
    script = folder / "bodies.lua"
    script.write_text(WRK.format(bodies=", ".join(f"[==[{body}]==]" for body in bodies)))
    found = {"echo": [], "on": [], "off": []}
    with peers.Nginx(folder / "on", "handler.conf", JIT="on") as on, peers.Nginx(folder / "off", "handler.conf", JIT="off") as off:
        for server in (on, off):
            said = json.load(urllib.request.urlopen(server.url + "/handle", bodies[0].encode()))["line"]
            if said != answer:
                raise RuntimeError(f"nginx says '{said}', a cell '{answer}'")
        for _ in range(rounds):
            for way, server, path in (("echo", on, "/echo"), ("on", on, "/handle"), ("off", off, "/handle")):
                wrk(server.url + path, script, 1, 16)
                *_, p50, p99 = wrk(server.url + path, script, seconds, 1)
                before = server.cpu()
                n, rate, *_ = wrk(server.url + path, script, seconds, 16)
                found[way].append((rate, (server.cpu() - before) * 1e6 / n, p50, p99))
    return found


def sandbox(say, quick):
    """Rows: letter, way, runs/s, CPU us, p50 us, p99 us, ratio to interpreted LuaJIT, what it adds to which."""
    rounds, runs = (1, 2000) if quick else (3, 20000)
    found = {name: [tuple(map(float, figures))] for name, *figures in
             lines(compiled("handler_bench", "cell", "metrics", "script", "base"), BUILD / "bin/parley-cell", HERE, runs, 1 if quick else 7)}
    with tempfile.TemporaryDirectory(prefix="parley-bench.") as folder:
        os.chmod(folder, 0o755)
        for _ in range(rounds):
            (_, answer), *figures = worker("handler", HERE, runs)
            for name, rate, own, its, p50, p99 in figures:
                found.setdefault(name, []).append((float(rate), float(own) + float(its), float(p50), float(p99)))
        found.update(nginx(Path(folder), rounds, 1 if quick else 3, answer))
    mid = {name: [median(column) for column in zip(*values)] for name, values in found.items()}
    rows = []
    letters = dict(zip(WAYS, "abcdefghijklmnopqrstuvwxyz"))
    for name, (what, beside) in WAYS.items():
        rate, cpu, p50, p99 = mid[name]
        adds = f"{cpu - mid[beside][1]:+.1f} to {letters[beside]}" if beside else ""
        rows.append([letters[name], what, f"{rate:.0f}", f"{cpu:.1f}", f"{p50:.1f}", f"{p99:.1f}", f"{cpu / mid['interpreted'][1]:.2f}", adds])
        say(f"  {name}: {rows[-1]}")
    return rows
