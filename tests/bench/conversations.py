# SPDX-License-Identifier: Apache-2.0
"""Conversations in one worker: what a turn takes beyond its providers' time and the silence that is waited for, and what a call leaves behind.

The worker's own Lua, loop and media thread, and callers who speak RTP to it from a thread of their own in the same process. Recogniser, model and
synthesiser are played in the worker and take a fixed time, so what they cost to reach is not in it; the rest of a call (signalling, flow, database)
is measured under "Cost of a call". Where it is permitted the process runs above all else (SCHED_RR): the times are those of a machine that does nothing besides.
"""
import json
import os
import subprocess
from pathlib import Path

import world

HERE = Path(__file__).resolve().parent
TARGET = "conversations_bench"


def play(*words, timeout):
    above = ["chrt", "-r", "1"] if subprocess.run(["chrt", "-r", "1", "true"], capture_output=True).returncode == 0 else []
    done = subprocess.run([*above, world.BIN / TARGET, str(world.ROOT), str(HERE / "conversations.lua"), *map(str, words)], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=timeout)
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"{TARGET}: {done.stdout}{done.stderr}"[-2000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def run(say, table, quick):
    world.build(TARGET)
    rows, seconds = [], 10 if quick else 30
    for count in (1, 10, 100) if quick else (1, 10, 100, 500):
        one = play("latency", count, seconds if count >= 100 else seconds * 2, timeout=300)
        say(f"  {one}")

        def at(name, *shares):
            return [f"{one[name][share]:.0f}" if one.get(name) else "" for share in shares or ("p50", "p99")]

        rows.append([count, one.get("own_ms", {}).get("n", 0), *at("own_ms"), *at("wire_own_ms"), *at("buffer_ms", "p50"), *at("chunk_ms", "p99"), *at("voice_ms", "p99"), *at("send_ms", "p99"), *at("stop_ms"), *at("wire_silence_ms"),
                     *at("loop_late_ms", "p99"), one["unanswered"], f"{one['cpu_percent']:.1f}", f"{one['kb']:.0f}", f"{one['lua_kb']:.0f}"])
    at_once = 50 if quick else 100
    memory = play("memory", at_once, *((100, 500) if quick else (100, 1000, 10000)), timeout=900)
    say(f"  {memory}")
    return (__doc__.split("\n\n", 1)[1].strip()
            + "\n\nOwn: by the turn's timeline, and on the wire, from the caller's last packet with sound to the first one with sound that he gets, less 550 ms (350 of silence,\n"
            "a model that is asked after 200 and takes 250, a voice of 100; what lies in the jitter buffer is part of that silence). To silence: of the turns that interrupt; from the decision to the last packet by the timeline,\n"
            "and on the wire from the caller's first packet with sound to the last one with sound that he got before he had ended. CPU: of the whole process, callers included.\n\n"
            + table(["at once", "turns", "own p50 ms", "p99", "on the wire p50 ms", "p99", "jitter buffer p50", "text to piece p99", "voice, ours, p99", "to packet p99", "decision to silence p50 ms", "p99",
                     "speech to silence on the wire p50 ms", "p99", "loop late p99 ms", "turns unanswered", "CPU % of a core", "KiB a call", "of it Lua"], rows)
            + f"\nMemory when all calls were over, each with a greeting and a turn, {at_once} at once: what Lua and C's heap have in use, and what the process has from the system, which\n"
            "follows the most that was in use at any moment and is not given back.\n\n"
            + table(["calls", "Lua KiB", "C's heap KiB", "process KiB"], [[one["calls"], *(f"{one[name]:.0f}" for name in ("lua_kb", "heap_kb", "process_kb"))] for one in memory]))
