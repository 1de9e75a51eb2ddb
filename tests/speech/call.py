# SPDX-License-Identifier: Apache-2.0
"""One synthetic call: what its caller does, when, and what is true of it.

    call = Call("number-1", "pauses in numbers", seed=1)
    call.asks("What is your number?", expect={"kind": "digits", "count": 10})   # the agent speaks; time goes on to its end
    call.wait(0.5)
    call.turn("Four one five", 1.1, "five five five", 0.9, "zero one four two")  # one turn of the caller, with pauses in seconds
    call.settle()                                                               # the agent answers

A part of a turn is text, a pause in seconds, or a sound in the pause: ("slam", 0.3).

Times are in seconds of the call while it is written, in ms in what is kept. The agent's own speech is at fixed times where it is asks(); what
it answers to a turn comes when the machine of turns has ended the turn, and is the runner's, as is the echo of what it says.
"""
import json
import random

from voices import mix

VOICES = ["en-us+m3", "en-us+f2", "en-gb+m1", "en-gb+f4", "en-gb-scotland+m2", "en-us+f5", "en-us+m7", "en-gb+f1"]
VOICE_OF = {"de": ["de+m3", "de+f2"], "fr": ["fr+m3", "fr+f2"], "es": ["es+m3", "es+f2"]}
AGENT = {"en": "en-us", "de": "de", "fr": "fr", "es": "es"}
ANSWER = {"en": ["All right, I have noted that.", "Let me see what we can do for you."], "de": ["Gut, das habe ich notiert.", "Ich sehe gleich nach."],
          "fr": ["Bien, c'est note.", "Je regarde tout de suite."], "es": ["Bien, lo he anotado.", "Lo miro ahora mismo."]}  # fmt: skip
SOUNDS = {"mm-hm": "[[mh'm]]", "uh-huh": "[[Vh'V]]"}  # espeak-ng would spell them
QUICK = 60  # words a minute more: a back-channel is short
REPLY_S = 6.5  # so long a turn's end, the answer and a pause take at most


class Call:
    def __init__(self, name, group, seed, language="en", noise_db=None):
        self.name, self.group, self.seed, self.language = name, group, seed, language
        self.dice = random.Random(seed)
        self.voice = self.dice.choice(VOICE_OF.get(language, VOICES))
        self.rate, self.pitch = self.dice.randint(140, 185), self.dice.randint(35, 65)
        self.gain = self.dice.uniform(0.5, 1.0)
        self.noise_db = self.dice.uniform(-66, -50) if noise_db is None else noise_db
        self.t, self.echo_db = 0.6, None
        self.agent, self.turns, self.speech, self.sounds, self.keys = [], [], [], [], []
        self._parts = []  # (function of a studio -> clip, at, gain): sound that needs no more to be known
        self._steps = []

    # What is written down is played in order when there is a studio: only then is it known how long each clip is.
    def asks(self, text, **how): self._steps.append(("_asks", (text,), how)); return self
    def wait(self, seconds): self._steps.append(("_wait", (seconds,), {})); return self
    def turn(self, *parts, **how): self._steps.append(("_turn", parts, how)); return self
    def settle(self, seconds=REPLY_S): return self.wait(seconds)
    def over(self, at, *parts, **how): self._steps.append(("_over", (at, parts), how)); return self
    def sound(self, kind, *how, **more): self._steps.append(("_sound", (kind, how), more)); return self
    def press(self, digits, **how): self._steps.append(("_press", (digits,), how)); return self

    def _wait(self, _, seconds):
        self.t += seconds

    def _asks(self, studio, text, expect=None, echo_db=None):
        """The agent says it, sentence by sentence. echo_db: so much softer all it says comes back with the caller's sound."""
        pieces, at = [], self.t
        for sentence in sentences(text):
            clip, ends = studio.words(sentence, AGENT[self.language])
            pieces.append({"text": sentence, "ms": round(clip.ms), "ends": ends, "sound": str(clip.path)})
            at += clip.ms / 1000
        self.agent.append({"at": self.t, "pieces": pieces, "expect": expect or {"kind": "open"}})
        self.echo_db = echo_db or self.echo_db
        self.asked = self.t
        self.t = at

    def _says(self, studio, parts, at, who, kind, heard=True, gain=None, voice=None):
        began = at
        for part in parts:
            if isinstance(part, (int, float)):
                at += part
                continue
            if isinstance(part, tuple):
                at = self._lay(studio, part[0], part[1:], at, 1.0)
                continue
            clip = studio.say(SOUNDS.get(part, part), voice or self.voice, self.rate + QUICK * (kind == "backchannel"), self.pitch)
            self._parts.append((clip, at, self.gain if gain is None else gain))
            self.speech.append({"begin": at, "end": at + clip.ms / 1000, "text": part, "who": who, "kind": kind, "heard": heard})
            at += clip.ms / 1000
        return began, at

    def _turn(self, studio, *parts, barge_in=False, at=None):
        began, self.t = self._says(studio, parts, self.t if at is None else at, "caller", "turn")
        text = " ".join(part for part in parts if isinstance(part, str))
        self.turns.append({"begin": began, "end": self.t, "text": text, "barge_in": barge_in})

    def _over(self, studio, at, parts, kind="backchannel"):
        """Said so many seconds after the agent began; the time stays."""
        now, began = self.t, self.asked + at
        if kind == "backchannel":
            self._says(studio, parts, began, "caller", kind)
            return
        # A pause of a second and more is for the answer: what follows is a turn of its own.
        while parts:
            long = next((i for i, part in enumerate(parts) if isinstance(part, (int, float)) and part >= 1), len(parts))
            self._turn(studio, *parts[:long], barge_in=True, at=began)
            began, parts = self.t + sum(parts[long : long + 1]), parts[long + 1 :]
        self.t = max(now, self.t)

    def _sound(self, studio, kind, how, at=None, gain=1.0, text=None, heard=False, voice="en-us+m5"):
        """A sound so many seconds after the agent began, or now. text: of a second voice; heard: the recogniser takes it for the caller's."""
        began = self.t if at is None else self.asked + at
        if kind == "voice":
            self._says(studio, [text], began, "other", "other", heard, gain, voice)
            end = self.speech[-1]["end"]
        else:
            end = self._lay(studio, kind, how, began, gain)
        if at is None:
            self.t = end

    def _lay(self, studio, kind, how, at, gain):
        clip = getattr(studio, kind)(*how)
        end = at + clip.ms / 1000
        self._parts.append((clip, at, gain))
        self.sounds.append({"kind": kind, "begin": at, "end": end})
        return end

    def _press(self, studio, digits, at=None, every=0.35):
        now = self.t if at is None else self.asked + at
        for digit in digits:
            self.keys.append({"at": now, "digit": digit})
            self._parts.append((studio.key(), now, 0.3))
            now += every
        if at is None:
            self.t = now

    def make(self, studio, folder):
        """Writes NAME.wav and NAME.json; returns what is true of the call."""
        for name, words, how in self._steps:
            getattr(self, name)(studio, *words, **how)
        self.t += 1.0
        self._parts.append((studio.noise(20, "pinknoise", self.noise_db), 0, 1.0))
        for at in range(20, int(self.t) + 1, 20):
            self._parts.append((studio.noise(20, "pinknoise", self.noise_db), at, 1.0))
        mix(self._parts, self.t, folder / f"{self.name}.wav")
        answer = []
        for sentence in ANSWER[self.language]:
            clip, ends = studio.words(sentence, AGENT[self.language])
            answer.append({"text": sentence, "ms": round(clip.ms), "ends": ends, "sound": str(clip.path)})
        truth = {"name": self.name, "group": self.group, "seed": self.seed, "language": self.language, "ms": round(self.t * 1000), "answer": answer}
        if self.echo_db is not None:
            truth["echo"] = 10 ** (self.echo_db / 20)
        truth.update(agent=self.agent, turns=self.turns, speech=self.speech, sounds=self.sounds, keys=self.keys)
        truth = in_ms(truth)
        (folder / f"{self.name}.json").write_text(json.dumps(truth, indent=1) + "\n")
        return truth


def sentences(text):
    found, begin = [], 0
    for i, mark in enumerate(text):
        if mark in ".!?" and text[i + 1 : i + 2] in ("", " "):
            found.append(text[begin : i + 1].strip())
            begin = i + 1
    return found + [text[begin:].strip()] if text[begin:].strip() else found


def in_ms(value, name=""):
    if isinstance(value, dict):
        return {key: in_ms(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [in_ms(inner) for inner in value]
    return round(value * 1000) if name in ("at", "begin", "end") else value
