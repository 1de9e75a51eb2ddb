# SPDX-License-Identifier: Apache-2.0
"""What a gateway to AI providers adds: Parley's /v1, @portkey-ai/gateway and nginx as a bare reverse proxy before the same fake provider, in turns.

Each is one process that answers (Parley: one worker), without limits, cache or budget. Beside the answer itself Parley checks the API key, chooses by policy, counts
the usage, prices it and writes a row of it; Portkey keeps no record; nginx copies bytes. The fake answers at once, so that what is measured is the way there and back.
"""
import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from statistics import median

import peer
import world

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(ROOT / "tests/e2e"))
PORTKEY = "1.15.2"
MODEL = "gpt-4.1-mini"
RATES, AT_ONCE, BELOW_MS = (100, 1000), (1, 2, 4, 8, 16, 32, 64, 128), (1, 5, 10, 50)
GAP_MS, FRAMES = 20, 64


def portkey_folder():
    """The package, brought from npm once. Newer versions of its web framework than these break its streams."""
    folder = peer.CACHE / f"portkey-{PORTKEY}"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": {"@portkey-ai/gateway": PORTKEY}, "overrides": {"hono": "4.9.7", "@hono/node-server": "1.13.5"}}))
        subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True, timeout=400)
        # It would listen on all addresses.
        (folder / "local.js").write_text("const net = require('net');\nconst listen = net.Server.prototype.listen;\n"
                                         "net.Server.prototype.listen = function (port, ...rest) {\n"
                                         "  if (typeof port === 'number') return listen.call(this, port, '127.0.0.1', ...rest.filter((one) => typeof one !== 'string'));\n"
                                         "  if (port && typeof port === 'object' && port.port !== undefined) return listen.call(this, { ...port, host: '127.0.0.1' }, ...rest);\n"
                                         "  return listen.call(this, port, ...rest);\n};\n")
        (folder / "done").touch()
    return folder


def answers(url, pid, seconds=20):
    """Waits until something listens there."""
    for _ in range(seconds * 10):
        try:
            urllib.request.urlopen(url, timeout=2).read()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if pid.poll() is not None:
                break
            time.sleep(0.1)
    raise RuntimeError(f"nothing answers at {url}")


def failed(one):
    """How many failed, and what the first of them was told."""
    return f"{one['bad']} failed" + (f" ({one['first_bad']})" if one["bad"] else "")


class Way:
    """One way to the provider: where, with which headers, as which model, and the process whose CPU and memory count (None: none between)."""

    def __init__(self, name, url, headers, model=MODEL, pid=None):
        self.name, self.url, self.headers, self.model, self.pid = name, url, headers, model, pid

    def cpu_s(self):
        return world.cpu_of(Path(f"/proc/{self.pid}/stat")) if self.pid else 0

    def memory_mb(self):
        if not self.pid:
            return 0
        return int(next(line for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")).split()[1]) / 1024

    def load(self, content="hello there", fault="", **how):
        """What ai_load.js tells, with cpu_ms of each request."""
        body = {"model": self.model + (f"@{fault}" if fault else ""), "messages": [{"role": "user", "content": content}]}
        if how.get("streams"):
            body["stream"] = True
        before = self.cpu_s()
        out = subprocess.run(["node", HERE / "ai_load.js", json.dumps({"url": self.url, "headers": self.headers, "body": body, **how})], check=True, capture_output=True, text=True, timeout=300)
        found = json.loads(out.stdout)
        for of in ("ms", "first_ms", "gap_ms"):
            # Where none came to its end there is no time to tell: later than any limit.
            found[of] = {name: float("inf") if value is None else value for name, value in found[of].items()}
        found["cpu_ms"] = (self.cpu_s() - before) * 1000 / max(1, found["ms"]["n"])
        found["rate"] = found["ms"]["n"] / found["seconds"]
        return found


@contextlib.contextmanager
def portkey(folder, upstream):
    port = world.free_ports(1)[0]
    where = portkey_folder()
    with open(folder / "portkey.log", "w") as log:
        process = subprocess.Popen(["node", "--require", where / "local.js", where / "node_modules/@portkey-ai/gateway/build/start-server.js", f"--port={port}", "--headless"], cwd=where,
                                   env={**os.environ, "NODE_ENV": "production"}, stdout=log, stderr=log)
        try:
            answers(f"http://127.0.0.1:{port}/", process)
            yield Way("Portkey " + PORTKEY, f"http://127.0.0.1:{port}/v1/chat/completions",
                      {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1", "authorization": "Bearer k"}, pid=process.pid)
        finally:
            process.terminate()
            process.wait(20)


@contextlib.contextmanager
def all_ways(fakes):
    """Nobody between, nginx, Portkey and Parley, all up at once."""
    upstream = fakes.ports["http"]
    with world.World() as w, peer.Nginx(w.dir / "gateway", "gateway.conf", UPSTREAM=upstream) as nginx, portkey(w.dir, upstream) as other:
        yield w, [
            Way("direct", f"http://127.0.0.1:{upstream}/v1/chat/completions", {"authorization": "Bearer k"}),
            Way("nginx", nginx.url + "/v1/chat/completions", {"authorization": "Bearer k"}, pid=nginx.worker),
            other,
            parley(w, fakes),
        ]


def parley(w, fakes):
    """Sets up the one provider of a world's tenant."""
    os.environ["PARLEY_URL"] = w.env["PARLEY_URL"]
    import ai_tenant
    import api
    token = api.login(w.env["PARLEY_ADMIN_EMAIL"], w.env["PARLEY_ADMIN_PASSWORD"])
    w.parley("operator", "set", "--email", "operator@load.example", "--password", api.PASSWORD)
    ai_tenant.Providers("load", fakes, api.login("operator@load.example", api.PASSWORD)).add("openai_chat", "fake", [MODEL, f"{MODEL}@gap_ms={GAP_MS}"], [])
    key = ai_tenant.api_key(token, ["ai:use"])
    pid = next(pid for pid, role in w.processes().items() if role == "worker")
    return Way("Parley", w.env["PARLEY_URL"] + "/v1/chat/completions", {"authorization": "Bearer " + key}, pid=pid)


def whole(ways, say, seconds, rounds):
    """{ name: { rate: [added p50 ms, added p99 ms, CPU ms a request, bad] } }, medians over rounds in turns."""
    found = {way.name: {rate: [] for rate in RATES} for way in ways}
    for turn in range(rounds):
        for rate in RATES:
            for way in ways if turn % 2 == 0 else reversed(ways):
                way.load(rate=rate, seconds=1)
                one = way.load(rate=rate, seconds=seconds)
                found[way.name][rate].append((one["ms"]["p50"], one["ms"]["p99"], one["cpu_ms"], one["bad"]))
                say(f"  {way.name} at {rate}/s: p50 {one['ms']['p50']:.2f} ms, p99 {one['ms']['p99']:.2f} ms, {one['cpu_ms']:.3f} ms CPU, {failed(one)}")
    return {name: {rate: [median(column) for column in zip(*rows)] for rate, rows in rates.items()} for name, rates in found.items()}


def most(ways, say, seconds):
    """{ name: ({ limit in ms: requests/s }, CPU ms a request when busiest) }: the most whole answers a second with a p99 below each limit, and none that failed."""
    found = {}
    for way in ways:
        best, busiest = {limit: 0 for limit in BELOW_MS}, (0, 0)
        for count in AT_ONCE:
            one = way.load(at_once=count, seconds=seconds)
            busiest = max(busiest, (one["rate"], one["cpu_ms"]))
            for limit in BELOW_MS:
                if not one["bad"] and one["ms"]["p99"] < limit:
                    best[limit] = max(best[limit], one["rate"])
            say(f"  {way.name}, {count} at once: {one['rate']:.0f}/s, p99 {one['ms']['p99']:.1f} ms, {one['cpu_ms']:.3f} ms CPU, {failed(one)}")
        found[way.name] = best, busiest[1]
    return found


def streamed(ways, say, counts):
    """{ name: [ (streams, first token p50, p99, gap p50, p99, lost, bad) ] }: paced streams of so many frames."""
    found = {way.name: [] for way in ways}
    for count in counts:
        for way in ways:
            one = way.load(content=f"count to {FRAMES}", fault=f"gap_ms={GAP_MS}", streams=count, frames=FRAMES)
            found[way.name].append((count, one["first_ms"]["p50"], one["first_ms"]["p99"], one["gap_ms"]["p50"], one["gap_ms"]["p99"], one["lost"], one["bad"]))
            say(f"  {way.name}, streams: {found[way.name][-1][:-1]}, {failed(one)}")
    return found


def run(say, table, quick):
    """The text of the part of RESULTS.md."""
    import fakes
    seconds, rounds, counts = (2, 1, (1, 50)) if quick else (5, 3, (1, 50, 200, 500, 1000))
    with fakes.running() as running, all_ways(running) as (w, ways):
        direct, between = ways[0], ways[1:]
        idle = {way.name: way.memory_mb() for way in between}
        at_rate = whole(ways, say, seconds, rounds)
        reached = most(ways, say, seconds)
        streams = streamed(ways, say, counts)
        under = {way.name: way.memory_mb() for way in between}
        time.sleep(5)
        after = {way.name: way.memory_mb() for way in between}
        errors = len(w.errors())
    rows = []
    for way in between:
        mine, bare = at_rate[way.name], at_rate[direct.name]
        rows.append([way.name, *(f"{mine[rate][i] - bare[rate][i]:.2f}" for rate in RATES for i in (0, 1)), *(f"{mine[rate][2]:.3f}" for rate in RATES), *(f"{mine[rate][3]:.0f}" for rate in RATES)])
    text = __doc__.split("\n\n", 1)[1].strip() + "\n\n" + table(
        ["who", *(f"added p{p} ms at {rate}/s" for rate in RATES for p in (50, 99)), *(f"CPU ms/request at {rate}/s" for rate in RATES), *(f"failed at {rate}/s" for rate in RATES)], rows)
    text += "\nThe most whole answers a second with p99 below, and the CPU of a request when busiest:\n\n" + table(
        ["who", *(f"{limit} ms" for limit in BELOW_MS), "CPU ms/request"],
        [[way.name, *(f"{reached[way.name][0][limit]:.0f}" for limit in BELOW_MS), f"{reached[way.name][1]:.3f}" if way.pid else "-"] for way in ways])
    rows = []
    for way in between:
        for mine, bare in zip(streams[way.name], streams[direct.name]):
            rows.append([way.name, mine[0], *(f"{mine[i] - bare[i]:.2f}" for i in (1, 2, 3, 4)), mine[5], mine[6]])
    text += f"\nStreams of {FRAMES} frames, {GAP_MS} ms apart, all begun within half a second; added to what they are without anybody between:\n\n" + table(
        ["who", "streams", "first token p50 ms", "p99", "gap p50 ms", "p99", "lost frames", "failed"], rows)
    text += "\nMemory (proportional set size of the process), MB:\n\n" + table(
        ["who", "idle", "under load", "5 s after"], [[way.name, *(f"{of[way.name]:.0f}" for of in (idle, under, after))] for way in between])
    return text + f"\nErrors that Parley logged: {errors}.\n"
