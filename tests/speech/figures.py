# SPDX-License-Identifier: Apache-2.0
"""What the machine of turns makes of the set of synthetic calls, against what is true of them.

    found = figures.play(folder, calls)     # [Judged]: each call twice, with a recogniser that sets marks and with one that does not
    figures.sums(found)                     # {"turns": ..., "cut_off": ..., ...}

cases.py writes the calls down, call.py and voices.py make their sound, ears.c hears it with the media thread's own detector, turns.lua plays it
to lua/voice/turns.lua on a clock of its own; so a run gives the same figures each time, and takes seconds.
"""
import concurrent.futures
import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import cases
from voices import Studio

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STYLES = ("marked", "plain")
BEHIND_MS = 1200  # a stop so long behind speech is still because of it
GAP_MS = 300  # a shorter pause does not part what is said


def ears(folder):
    """The library by which turns.lua hears."""
    library = folder / "ears.so"
    flags = subprocess.run(["pkg-config", "--cflags", "libuv"], capture_output=True, text=True, check=True).stdout.split()
    sources = [HERE / "ears.c", ROOT / "core/media/vad.c", ROOT / "core/media/g711.c"]
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-D_GNU_SOURCE", "-I", ROOT / "core", *flags, *sources, "-o", library, "-lpthread"], check=True)
    return library


def make(folder, calls, clips=ROOT / "var/speech"):
    """Makes the sound and the truth of the calls: [truth]."""
    studio = Studio(clips)
    return [call.make(studio, folder) for call in calls]


def play(folder, calls=None):
    truths = {truth["name"]: truth for truth in make(folder, calls or cases.all_calls())}
    library = ears(folder)
    found = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for style, logs in zip(STYLES, pool.map(lambda style: played(library, folder, style, truths), STYLES)):
            found += [Judged(truths[log["name"]], log, style) for log in logs]
    return found


def played(library, folder, style, names):
    """What turns.lua tells of the calls."""
    parley = Path(os.environ.get("PARLEY_BUILD", ROOT / "build/release")) / "bin/parley"
    done = subprocess.run([parley, "run", HERE / "turns.lua", library, folder, style, *names], capture_output=True, text=True, timeout=120,
                          env={"PATH": os.environ["PATH"], "PARLEY_ROOT": str(ROOT)})  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"turns.lua failed: {done.stderr.strip() or done.stdout[-2000:]}")
    logs = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(logs) == len(names)
    return logs


def words(text):
    return re.findall(r"[\w']+", text.lower())


def joined(pieces):
    """Pieces of speech with less than GAP_MS between them as one: [(begin, end)]."""
    found = []
    for piece in sorted(pieces, key=lambda piece: piece["begin"]):
        if found and piece["begin"] - found[-1][1] < GAP_MS:
            found[-1][1] = max(found[-1][1], piece["end"])
        else:
            found.append([piece["begin"], piece["end"]])
    return found


class Judged:
    """One call: its figures, and a line for each thing that went wrong."""

    def __init__(self, truth, log, style):
        self.name, self.group, self.style = truth["name"], truth["group"], style
        self.truth, self.log = truth, log
        self.turns = self.cut_off = self.taken_back = self.missed = self.words_said = self.words_lost = 0
        self.backchannels = self.backchannel_stops = self.backchannel_hushes = self.false_stops = self.false_hushes = self.false_ducks = self.false_prompts = 0
        self.barge_ins = self.barge_ins_missed = self.too_early = self.hushes_over = self.torn = 0
        self.heard_words = self.heard_wrong = 0
        self.end_ms, self.stop_ms, self.silent_ms, self.held_ms, self.hushed_ms = [], [], [], [], []
        self.wrong = []
        self._judge_turns()
        self._judge_stops()
        self._judge_hushes()
        self._judge_barge_ins()
        for cut in log["heard"]:
            self.heard_words += cut["truth"]
            self.heard_wrong += abs(cut["truth"] - cut["claimed"])
        speaks = joined(piece for piece in truth["speech"] if piece["kind"] == "turn")
        self.false_prompts = sum(prompt["why"] != "silence" or any(begin - 300 < prompt["at"] < end for begin, end in speaks) for prompt in log["prompts"])

    def _note(self, at, text):
        self.wrong.append(f"{self.name} ({self.style}) at {at} ms: {text}")

    def _audible(self, at):
        return any(sound["from"] <= at < sound["to"] for sound in self.log["audible"])

    def _heard_before(self, reply, at):
        return any(sound["reply"] == reply and sound["from"] < min(at, sound["to"]) for sound in self.log["audible"])

    def _judge_turns(self):
        turns = self.truth["turns"]
        for i, turn in enumerate(turns):
            begin, end = turn["begin"], turn["end"]
            until = turns[i + 1]["begin"] if i + 1 < len(turns) else self.truth["ms"]
            mine = [commit for commit in self.log["commits"] if commit["text"] and commit["ended"] > begin and commit["at"] < until + BEHIND_MS and commit["ended"] < until]
            self.turns += 1
            early = [commit for commit in mine if commit["at"] < end]
            heard = [commit for commit in early if "taken_back_at" not in commit or self._heard_before(commit["reply"], end)]
            self.cut_off += bool(heard)
            self.taken_back += bool(early) and not heard
            for commit in heard:
                self._note(commit["at"], f"\"{turn['text']}\" was cut off behind \"{commit['text']}\"")
            final = [commit for commit in mine if commit["at"] >= end]
            if final:
                self.end_ms.append(final[0]["at"] - end)
            elif not heard:
                keyed = any(begin <= key["at"] <= until for key in self.truth["keys"])
                self.missed += not keyed
                if not keyed:
                    self._note(end, f"the end of \"{turn['text']}\" was missed")
            # Two turns may have become one: then the later commit has the words.
            after = [commit for commit in self.log["commits"] if commit["text"] and commit["ended"] > begin and "taken_back_at" not in commit]
            kept = Counter(word for commit in after for word in words(commit["text"]))
            lost = Counter(words(turn["text"])) - kept
            self.words_said += len(words(turn["text"]))
            self.words_lost += sum(lost.values())
            if lost and (final or heard):
                self._note(end, f"of \"{turn['text']}\" these words were lost: {' '.join(lost.elements())}")

    def _because_of(self, at, kinds):
        return any(piece["kind"] in kinds and piece["begin"] <= at <= piece["end"] + BEHIND_MS for piece in self.truth["speech"])

    def _judge_stops(self):
        over = [piece for piece in self.truth["speech"] if piece["kind"] == "backchannel" and self._audible(piece["begin"])]
        self.backchannels = len(over)
        for stop in self.log["stops"]:
            if stop["why"] == "key" or self._because_of(stop["at"], {"turn"}):
                continue
            if self._because_of(stop["at"], {"backchannel"}):
                self.backchannel_stops += 1
            else:
                self.false_stops += 1
            silent = self._silent_from(stop["silent_at"])
            self.held_ms.append(silent)
            self._note(stop["at"], f"we stopped for nothing, and were silent for {silent:.0f} ms" + ("" if "resumed_at" in stop else "; we did not go on"))
        self.false_ducks = sum(not self._because_of(duck["at"], {"turn"}) for duck in self.log["ducks"])

    def _silent_from(self, at):
        return min((sound["from"] for sound in self.log["audible"] if at < sound["from"] < sound["to"]), default=self.truth["ms"]) - at

    def _judge_hushes(self):
        """Those after which we went on: for nothing, or before it was understood what he said."""
        over = [hush for hush in self.log["hushes"] if "resumed_at" in hush]
        self.hushes_over = len(over)
        for hush in over:
            if self._because_of(hush["at"], {"turn"}):
                self.too_early += 1
                self._note(hush["resumed_at"], "we went on while he had something to say")
                continue
            self.hushed_ms.append(self._silent_from(hush["at"]))
            if self._because_of(hush["at"], {"backchannel"}):
                self.backchannel_hushes += 1
            else:
                self.false_hushes += 1
        self.torn = sum(bool(one.get("torn")) for one in self.log["hushes"] + self.log["stops"])

    def _judge_barge_ins(self):
        for begin, end in joined(piece for piece in self.truth["speech"] if piece["kind"] == "turn"):
            sound = next((sound for sound in self.log["audible"] if sound["from"] <= begin < sound["to"]), None)
            if sound is None:
                continue
            stops = [stop for stop in self.log["stops"] if begin <= stop["at"] <= end + BEHIND_MS and stop["why"] != "key"]
            if not stops and not self._audible(begin + 600):
                continue  # ours was at its end
            self.barge_ins += 1
            if not stops:
                self.barge_ins_missed += 1
                self._note(begin, "he spoke over us, and we did not stop")
                continue
            self.stop_ms.append(stops[0]["at"] - begin)
            self.silent_ms.append(max(0, stops[0]["silent_at"] - begin))


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


COUNTS = ("turns", "cut_off", "taken_back", "missed", "words_said", "words_lost", "backchannels", "backchannel_stops", "backchannel_hushes", "false_stops", "false_hushes",
          "false_ducks", "false_prompts", "barge_ins", "barge_ins_missed", "too_early", "hushes_over", "torn", "heard_words", "heard_wrong")  # fmt: skip
TIMES = ("end_ms", "stop_ms", "silent_ms", "held_ms", "hushed_ms")


def sums(found):
    total = {"calls": len(found), **{name: sum(getattr(one, name) for one in found) for name in COUNTS}}
    for name in TIMES:
        values = [value for one in found for value in getattr(one, name)]
        total[name] = {"n": len(values), "p50": percentile(values, 0.5), "p99": percentile(values, 0.99)}
    return total


HEAD = ["calls", "n", "turns", "cut off", "taken back unheard", "ends missed", "end of turn p50 ms", "p99", "words lost", "back-channels that stopped us", "that hushed us",
        "other false stops", "held p99 ms", "false hushes", "hushed p50 ms", "p99", "torn words", "barge-ins missed", "to silence p50 ms", "p99", "to a stop p50 ms", "p99",
        "gone on too early", "words wrong where cut"]  # fmt: skip
ABOUT = """The set of tests/speech: calls of voices of espeak-ng with pauses, noises, echo and interruptions, heard by the media thread's detector of voice and played to
`lua/voice/turns.lua` on a clock of its own, each twice: with a recogniser that sets marks and with one that does not (words 100 ms after they ended, a
partial text every 200 ms, the final one 150 ms behind the end). The same figures come each time, on any machine.

Cut off: our answer was heard before the turn's true end. End of turn: from the caller's last sound until it was decided. Over a sound of the caller we fall
silent at once (hushed), and words decide whether we stop or go on with the word that was broken off. To silence, to a stop: from his first sound over ours
until that was decided; the wire adds the next packet and the fade, up to 30 ms. Hushed: how long we were silent where it was a back-channel or no speech
at all. Gone on too early: he had something to say, and was heard only then. Torn words: what we went on with began inside of a word. A second voice that the
recogniser understands as the caller's stops us, and so does music: these are the false stops; held: so long they silenced us. Words wrong: between those
that had been heard and those that the history keeps.
"""


def rows(found):
    groups = {one.group: None for one in found}
    parts = [(group, [one for one in found if one.group == group]) for group in groups]
    parts += [(f"all, recogniser {style}", [one for one in found if one.style == style]) for style in STYLES]
    for name, part in parts:
        s = sums(part)

        def at(times, share):
            return "" if s[times][share] is None else f"{s[times][share]:.0f}"

        def of(count, whole):
            return f"{s[count]} of {s[whole]}" if s[whole] else ""

        yield [name, s["calls"], s["turns"], s["cut_off"], s["taken_back"], s["missed"], at("end_ms", "p50"), at("end_ms", "p99"), of("words_lost", "words_said"),
               of("backchannel_stops", "backchannels"), of("backchannel_hushes", "backchannels"), s["false_stops"], at("held_ms", "p99"), s["false_hushes"],
               at("hushed_ms", "p50"), at("hushed_ms", "p99"), of("torn", "hushes_over"), of("barge_ins_missed", "barge_ins"), at("silent_ms", "p50"), at("silent_ms", "p99"),
               at("stop_ms", "p50"), at("stop_ms", "p99"), s["too_early"], of("heard_wrong", "heard_words")]  # fmt: skip
