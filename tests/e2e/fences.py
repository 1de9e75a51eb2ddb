# SPDX-License-Identifier: Apache-2.0
"""Reads the log of fenced writes: who wrote for a call with which fence, and when by Redis's own clock.

A call has one owner at any time when its fences never go back and each fence is one worker's. The log level must be debug.
"""
import json
from collections import Counter, defaultdict
from datetime import datetime


FLOW = """local flow = require "flow"
return flow.define {
  start = "greeting",
  greeting = function(call)
    local pin = call:gather { prompt = "Your number, please.", digits = 3, timeout = %d, between = %d }
    call.data.told = "typed " .. tostring(pin)
    return "note"
  end,
  note = function(call)
    call:create_lead { notes = call.data.told }
    return "bye"
  end,
  bye = function(call) call:hangup() end,
}
"""


def flow(timeout_s, between_s):
    """Calls that type three digits, for as long, and become a lead once each."""
    return FLOW % (timeout_s, between_s)


def read_log(path, host=""):
    """The lines as tables, with `host` and `t` (seconds)."""
    lines = []
    for text in path.read_text(errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        line["host"] = host
        line["t"] = datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp()
        lines.append(line)
    return lines


def slot_in(text):
    return text.split()[1].rstrip(",:")


def takings(lines):
    """Who took a slot: [(t, (host, pid), slot, fence)], in order."""
    found = []
    for line in lines:
        if line["event"] == "slot.taken" and "text" in line:
            words = line["text"].replace(",", "").split()
            found.append((line["t"], (line["host"], line["pid"]), words[1], int(words[3])))
    return sorted(found)


def owners(lines):
    """slot -> (host, pid) of who took it last."""
    return {slot: who for _, who, slot, _ in takings(lines)}


def dropped(lines, who, since):
    """Slots that the owner found to be another's after a moment, by the lease or because it was replaced at the node."""
    return {slot_in(line["text"]) for line in lines if line["event"] == "slot.lost" and (line["host"], line["pid"]) == who
            and line.get("text", "").endswith(("expired", "stolen")) and line["t"] > since}


def check_writes(lines):
    """Fails where a call had two owners at a time. Returns how many records were written, how many calls changed hands, what was refused."""
    fences = defaultdict(set)  # (slot, fence) -> owners
    for _, who, slot, fence in takings(lines):
        fences[slot, fence].add(who)
    written, refused = defaultdict(list), []
    for line in lines:
        who = line["host"], line["pid"]
        if line["event"] == "write.fenced":
            fences[line["slot"], int(line["fence"])].add(who)
            if line["what"] == "record":
                written[line["call"]].append((int(line["at_us"]), int(line["fence"]), who))
        elif line["event"] == "write.refused":
            refused.append(line)
    assert not [(key, whose) for key, whose in fences.items() if len(whose) > 1], "a fence of two workers"
    moved = 0
    for call, writes in written.items():
        writes.sort()
        assert [fence for _, fence, _ in writes] == sorted(fence for _, fence, _ in writes), f"the fences of {call} go back: {writes}"
        moved += len({who for _, _, who in writes}) > 1
    return sum(map(len, written.values())), moved, refused


class Kept:
    """What MariaDB and Redis hold when all is over. sql(text, schema) -> rows of text; keys: of Redis."""

    def __init__(self, sql, schema, keys):
        self.rows = sql("SELECT public_id, channel_id, end_time IS NOT NULL FROM `call`", schema)
        self.leads = sql("SELECT call_id, COUNT(*) FROM `lead` GROUP BY call_id", schema)
        self.events = sql("SELECT type, subject, COUNT(*) FROM event WHERE type IN ('call.started', 'call.ended', 'lead.created') GROUP BY type, subject", schema)
        self.keys = keys

    def check_once(self, calls, report):
        """Each of so many calls has one row, one lead, one event of each kind, and nothing is left of it anywhere."""
        assert (report["failed"], report["channels_left"], report["bridges_left"], report["requests_stale"]) == (0, 0, 0, 0), report
        assert len(self.rows) == calls == len({channel for _, channel, _ in self.rows}), len(self.rows)
        assert all(ended == "1" for *_, ended in self.rows)
        assert len(self.leads) == calls and all(count == "1" for _, count in self.leads), [lead for lead in self.leads if lead[1] != "1"]
        assert all(count == "1" for *_, count in self.events), self.events
        assert Counter(kind for kind, _, _ in self.events) == {"call.started": calls, "call.ended": calls, "lead.created": calls}
        assert self.keys == [], self.keys
