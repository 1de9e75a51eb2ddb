# SPDX-License-Identifier: Apache-2.0
"""What a scenario did to its calls, in numbers. Arithmetic only."""
from caller import DIGITS

LOUD = 300  # mean of |sample|; the tone has about 5000


def linear(code):
    """A sample of G.711 mu-law."""
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 132 << (code >> 4 & 7)) - 132
    return -magnitude if code & 0x80 else magnitude


SIZE = [abs(linear(code)) for code in range(256)]
_loud = {}


def is_loud(payload):
    if payload not in _loud:
        _loud[payload] = sum(SIZE[code] for code in payload) > LOUD * len(payload)
    return _loud[payload]


def gap_ms(heard, since, until):
    """The longest time without the tone between two moments, as the caller's socket saw it. None: not one packet of it."""
    times = [when for when, payload in heard if since - 0.5 <= when <= until + 0.5 and is_loud(payload)]
    if len(times) < 2:
        return None
    gaps = [b - a for a, b in zip(times, times[1:]) if b >= since and a <= until]
    if times[-1] < until:
        gaps.append(until - times[-1])
    return max(gaps) * 1000 if gaps else None


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else None


def digits_lost(sent, got):
    """(lost, doubled): digits are sent in the order of DIGITS, so the step from one to the next tells what is between."""
    lost = doubled = 0
    expected = 0
    for digit in got:
        index = DIGITS.index(digit)
        step = (index - expected) % len(DIGITS)
        if step == len(DIGITS) - 1:
            doubled += 1
            continue
        lost += step
        expected = (index + 1) % len(DIGITS)
    lost += (len(sent) - expected) % len(DIGITS)
    return lost, doubled


def tally(calls, journals, gaps, left, reports):
    """One row of the report."""
    row = {"calls": len(calls)}
    row["answered"] = sum(call.answered_at is not None for call in calls)
    # Lost: it ended without its caller wanting it, or a caller who waited was never answered.
    row["lost_calls"] = sum(call.state != "ended" or not call.own_end or call.cause not in ("hung up", "487") for call in calls)
    row["lost_calls"] += sum(call.answered_at is None and call.cause != "487" for call in calls)
    own = [(call, journals.get(call.call_id, [])) for call in calls]
    starts = [[e for e in journal if "start" in e] for _, journal in own]
    ends = [[e for e in journal if "end" in e] for _, journal in own]
    row["starts_unheard"] = sum(not any(e.get("start") == "event" or "heard" in e for e in journal) for _, journal in own)
    row["ends_unheard"] = sum(not any(e["end"] == "event" for e in s) for s in ends)
    row["never_started"] = sum(not s for s in starts)
    row["never_ended"] = sum(not s for s in ends)
    row["doubled_starts"] = sum(max(0, len(s) - 1) for s in starts) + sum(r["duplicate_starts"] for r in reports)
    row["doubled_ends"] = sum(max(0, len(s) - 1) for s in ends)
    row["digits_sent"] = sum(len(call.digits_sent) for call in calls)
    counted = [digits_lost(call.digits_sent, [e["digit"] for e in journal if "digit" in e]) for call, journal in own]
    row["digits_lost"] = sum(lost for lost, _ in counted)
    row["digits_doubled"] = sum(doubled for _, doubled in counted)
    row["gap_samples"] = len(gaps)
    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1)):
        row[f"gap_{name}_ms"] = round(percentile(gaps, share), 1) if gaps else None
    row["stuck"] = len(left)
    row["refused_writes"] = sum(r["refused_writes"] for r in reports)
    return row
