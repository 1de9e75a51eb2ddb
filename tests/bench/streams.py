# SPDX-License-Identifier: Apache-2.0
"""Many callers' sound: how many two-way streams the media thread holds beside a bare loop, what bad lines and hostile packets do to them,
and the whole way to a recogniser and back.

The callers are rtpgen's, on the same machine. Of one worker the media thread is pinned to the first core and rtpgen to the second.
"""
import json
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / "build/release/bin"
WARM_S = 3  # buffers fill, VADs settle
P99_US = 2000  # what is held: no frame is missing, and this
RATE = 16000  # what the recogniser is given

SENTENCES = [
    ("en-us", "Hello, I am calling about the insurance for my house. I was told that somebody would ring me back this week."),
    ("en-gb+f3", "Yes, that is right. My number is five five five, zero one two, three four five six, and I am at home in the evenings."),
    ("de", "Guten Tag, ich wollte nachfragen, ob mein Antrag schon bearbeitet wurde. Es eilt nicht, aber ich wüsste es gern."),
    ("en-us+m3", "No, thank you. Could you tell me what it costs in a year, and whether I can cancel it at any time?"),
]


def voice_file(folder):
    """Some seconds of four voices with pauses between them, as a caller speaks: 16 bit, 8000 Hz."""
    from voices import Studio

    studio, path = Studio(folder), Path(folder) / "callers.s16"
    with open(path, "wb") as f:
        for voice, text in SENTENCES:
            f.write(studio.say(text, voice).samples.tobytes())
            f.write(bytes(2 * 8000 * 2))
    return path


def free_port():
    while True:
        port = random.randrange(24000, 30000, 2)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Program:
    """One that is spoken to by lines. With a priority it runs before what else runs on the machine; its own threads have those that they
    choose (the media thread 10, rtpgen's sound 5). A worker's loop must not come before its media thread: where it is woken it waits,
    spinning, until that has done so."""

    def __init__(self, core, *words, priority=None):
        pin = ["taskset", "-c", str(core % os.cpu_count())] if core is not None else []
        if priority and os.geteuid() == 0:
            pin = ["chrt", "--rr", str(priority), *pin]
        self.process = subprocess.Popen([*pin, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=ROOT)

    def hear(self, word=""):
        line = self.process.stdout.readline()
        if not line.startswith(word) or not line:
            self.end()
            raise RuntimeError(f"{self.process.args}: {line.strip() or 'it ended'}")
        return line

    def say(self, line):
        self.process.stdin.write(line + "\n")

    def ask(self, line, word=""):
        self.say(line)
        return self.hear(word)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def one(kind, count, seconds, voice, *line, listen=False, first=0, workers=1):
    """What the far end and rtpgen say of so many streams for so many seconds. One worker has the first core and rtpgen the second; of
    several each has its share of the streams and an rtpgen of its own, and the kernel places them all."""
    fars, nears, spent, heard = [], [], [], []
    try:
        for _ in range(workers):
            port, own = free_port(), free_port()
            core = lambda n: n if workers == 1 else None  # noqa: E731
            fars.append(far := Program(core(0), "chrt", "--other", "0", BIN / "streams_bench", kind, port))
            far.hear("ready")
            nears.append(near := Program(core(1), BIN / "rtpgen", "--to", f"127.0.0.1:{port}", "--streams", count // workers, "--port", own, "--voice", voice, *line, priority=20))
            near.hear("ready")
            far.ask(f"open {own} {count // workers} {voice} {first}{' listen' if listen else ''}", "opened")
        time.sleep(WARM_S)
        for far, near in zip(fars, nears):
            near.say("begin")
            far.ask("begin", "begun")
        time.sleep(seconds)
        for far, near in zip(fars, nears):
            spent.append(json.loads(far.ask("end")))
            heard.append(json.loads(near.ask("end")))
        return together(spent), together(heard)
    finally:
        for program in fars + nears:
            program.end()


ADDED = {"cpu_percent", "loop_cpu_percent", "received", "sent", "lost", "late", "duplicated", "reordered", "unknown", "frames", "missing", "again", "out_of_order", "strange"}


def together(workers):
    """What several say, as if one had said it: counts and CPU are added, of all else it is the worst."""
    def of(name):
        values = [worker[name] for worker in workers]
        if isinstance(values[0], dict):
            return {k: max(v[k] for v in values) for k in values[0]}
        return sum(values) if name in ADDED else min(values) if name == "mos" else max(values)

    return {name: of(name) for name in workers[0]}


def is_held(kind, spent, heard):
    return heard["missing"] == 0 and heard["pacing_us"]["p99"] < P99_US and (kind == "echo" or spent["lost"] == 0)


def held(say, voice, quick):
    """Rows of streams by who holds them, and what is held: the most of one worker and of as many as there are cores, in all rounds."""
    seconds, rounds = (2, 1) if quick else (4, 3)
    rows, most = [], {}
    shared = [(os.cpu_count(), (500,) if quick else (4000, 5000, 6000))] if os.cpu_count() > 1 else []
    for workers, counts in [(1, (100, 500) if quick else (100, 1000, 2000, 3000, 4000, 5000)), *shared]:
        most[workers] = 0
        for count in counts:
            found = {"echo": [], "media": []}
            for _ in range(rounds):
                for kind in found:
                    found[kind].append(one(kind, count, seconds, voice, workers=workers))
                    say(f"  {workers} {count} {kind}: {found[kind][-1]}")
            more, good = compared(workers, count, rounds, found)
            rows += more
            if good == rounds:
                most[workers] = count
            if all(heard["missing"] > heard["frames"] / 20 for _, heard in found["media"]):
                break  # what it cannot hold any more says nothing of what comes after
    return rows, most


def compared(workers, count, rounds, found):
    """A row of each, and how many rounds of the media threads were held."""
    cost, rows = {}, []
    for kind, list_ in found.items():
        mid = lambda of: median(of(spent, heard) for spent, heard in list_)  # noqa: E731
        good = sum(is_held(kind, *pair) for pair in list_)
        cost[kind] = mid(lambda spent, _: spent["cpu_percent"] * 1e4 / (50 * count))
        rows.append([workers, count, "bare loop" if kind == "echo" else "media thread", f"{good} of {rounds}", f"{mid(lambda spent, _: spent['cpu_percent']):.0f}",
                     f"{cost[kind]:.2f}", "1" if kind == "echo" else f"{cost['media'] / cost['echo']:.2f}", max(heard["missing"] for _, heard in list_),
                     max(heard["out_of_order"] for _, heard in list_), *(f"{mid(lambda _, heard, k=k: heard['pacing_us'][k]) / 1000:.2f}" for k in ("p50", "p99", "max")),
                     "" if kind == "echo" else f"{mid(lambda spent, _: spent['kb_a_stream']):.1f}", f"{mid(lambda _, heard: heard['own_lateness_us']['p99']) / 1000:.1f}",
                     f"{mid(lambda _, heard: heard['cpu_percent']):.0f}"])
    return rows, good


HELD_HEAD = ["workers", "streams", "who", "rounds held", "% of a core", "us a packet both ways", "ratio", "missing at most", "out of order", "pacing error p50 ms", "p99", "max", "KiB a stream",
             "rtpgen late p99 ms", "rtpgen % of a core"]

LINES = [
    ("good", []),
    ("loss 5 %", ["--loss", "5"]),
    ("jitter 60 ms", ["--jitter", "60"]),
    ("5 % overtaken", ["--reorder", "5"]),
    ("5 % twice", ["--duplicate", "5"]),
    ("all four", ["--loss", "5", "--jitter", "60", "--reorder", "5", "--duplicate", "5"]),
    ("forged, as many again", ["--forge", "100"]),
    ("a new SSRC every 3 s", ["--new-source", "3"]),
    ("other codec, 1 s of 2", ["--other-codec", "1"]),
    ("50,000 a second of strangers", ["--flood", "50000"]),
    ("200,000 a second of strangers", ["--flood", "200000"]),
    ("50,000 a second as the first stream", ["--flood-known", "50000"]),
    ("200,000 a second as the first stream", ["--flood-known", "200000"]),
    ("200,000 a second of strangers, 2,000 streams", ["--flood", "200000"]),
]
LINE_STREAMS = 100
MANY_STREAMS = 2000  # so many have ticks in all slices
LINE_HEAD = ["the line", "lost", "late", "twice", "overtaken", "of unknown", "made up %", "buffer's delay ms", "jitter ms", "MOS", "missing", "pacing error p99 ms", "max", "% of a core"]


def lines(say, voice, quick):
    rows = []
    for name, words in LINES[:3] if quick else LINES:
        count = MANY_STREAMS if "2,000" in name else LINE_STREAMS
        spent, heard = one("media", count, 2 if quick else 8, voice, *words, first=1 if "--flood-known" in words else 0)
        say(f"  {name}: {spent} {heard}")
        share = lambda n: f"{n * 100 / max(1, spent['received'] + spent['lost']):.2f} %" if n else "0"  # noqa: E731
        rows.append([name, share(spent["lost"]), share(spent["late"]), share(spent["duplicated"]), share(spent["reordered"]), f"{spent['unknown']:.0f}",
                     f"{spent['concealed_share'] * 100:.2f}", f"{spent['delay_ms']:.0f}", f"{spent['jitter_ms']:.1f}", f"{spent['mos']:.2f}", heard["missing"],
                     f"{heard['pacing_us']['p99'] / 1000:.2f}", f"{heard['pacing_us']['max'] / 1000:.2f}", f"{spent['cpu_percent']:.1f}"])
    return rows


PIPELINE_HEAD = ["callers", "media thread % of a core", "loop % of a core", "MiB", "KiB a caller", "batches/s", "dropped frames", "sound to partial text p50 ms", "p99", "end to final text p50 ms", "p99",
                 "failed", "missing", "pacing error p99 ms"]


def pipelined(count, seconds, voice):
    port, own = free_port(), free_port()
    hearing = Program(None, BIN / "hearing", RATE, priority=1)
    near = far = None
    try:
        at = json.loads(hearing.hear())["port"]
        near = Program(None, BIN / "rtpgen", "--to", f"127.0.0.1:{port}", "--streams", count, "--port", own, "--voice", voice, priority=20)
        near.hear("ready")
        far = Program(None, BIN / "pipeline_bench", port, own, count, voice, f"ws://127.0.0.1:{at}", RATE, priority=1)
        far.hear("ready")
        time.sleep(2 * WARM_S)
        near.say("begin")
        far.ask("begin", "begun")
        time.sleep(seconds)
        spent = json.loads(far.ask("end"))
        return spent, json.loads(near.ask("end"))
    finally:
        for program in (far, near, hearing):
            if program:
                program.end()


def pipeline(say, voice, quick):
    rows, bare = [], None
    for count in (20, 100) if quick else (1, 500, 1000, 1500, 2000):
        spent, heard = pipelined(count, 3 if quick else 10, voice)
        say(f"  pipeline {count}: {spent} {heard}")
        seen = spent["seen"]
        bare = bare or spent["private_mb"]
        rows.append([count, f"{spent['media_cpu_percent']:.1f}", f"{spent['loop_cpu_percent']:.1f}", f"{spent['private_mb']:.0f}", f"{(spent['private_mb'] - bare) * 1024 / count:.0f}" if count > 1 else "",
                     f"{seen['batches'] / spent['seconds']:.0f}", seen["dropped"], *(f"{seen[what][k]:.0f}" for what in ("partial_ms", "final_ms") for k in ("p50", "p99")), seen["failed"],
                     heard["missing"], f"{heard['pacing_us']['p99'] / 1000:.2f}"])
    return rows
