# SPDX-License-Identifier: Apache-2.0
"""callgen on command: calls that begin one by one, and when each was over.

    with Exchange(w, limit=300) as phones:
        name = phones.dial(trunk, number)       the caller goes with the platform's hang-up, or after stay_s
        why, at = phones.wait([name])[name]     "-" or how it failed; time.monotonic()
"""
import queue
import subprocess
import threading
import time

import world


class Exchange:
    def __init__(self, w, limit=120):
        self.over, self.count, self._lines, self._changed = {}, 0, queue.Queue(), threading.Condition()
        self.nodes = w.nodes
        self._process = subprocess.Popen([world.BIN / "callgen", "--port", str(w.port), "--nodes", str(w.nodes), "--commands", "--limit", str(limit)],
                                         env={**w.env, "PARLEY_ARI_PASSWORD": "secret-of-callgen"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.DEVNULL, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        if self._lines.get(timeout=90) != "ready":
            raise RuntimeError("callgen is not ready")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _read(self):
        for line in self._process.stdout:
            words = line.split(None, 2)
            if words and words[0] == "over":
                with self._changed:
                    self.over[words[1]] = words[2].strip(), time.monotonic()
                    self._changed.notify_all()
            else:
                self._lines.put(line.strip())

    def _say(self, text):
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def next_node(self):
        """Where the next call begins, from 0."""
        return self.count % self.nodes

    def dial(self, trunk, number, stay_s=0, app=0):
        """Begins a call and returns its name. app: the node's application that is tried first; 0: a random one."""
        self.count += 1
        self._say(f"call k{self.count} {stay_s} {trunk} {number} {app}")
        return f"k{self.count}"

    def wait(self, names, seconds=60):
        """name -> (why, when), once all of them are over."""
        end = time.monotonic() + seconds
        with self._changed:
            while not all(name in self.over for name in names):
                if not self._changed.wait(max(0, end - time.monotonic())) and time.monotonic() >= end:
                    raise RuntimeError(f"not over within {seconds} s: {[name for name in names if name not in self.over][:5]}")
            return {name: self.over[name] for name in names}

    def channels_left(self):
        self._say("left")
        return int(self._lines.get(timeout=20).split()[1])
