# SPDX-License-Identifier: Apache-2.0
"""Sound for the calls: voices of espeak-ng, and noises and music of sox, each a clip of 8000 samples a second. The same words give the same clip.

Both are run as programs. A clip is made once for each folder and lies there under a name made of how it came about.
"""
import array
import hashlib
import subprocess
from pathlib import Path

RATE = 8000
TELEPHONE = ["highpass", "250", "lowpass", "3400"]
QUIET = 0.02  # of the loudest sample: what is softer at a clip's ends is no part of it


class Missing(RuntimeError):
    """A program that is not installed."""


class Clip:
    def __init__(self, path, samples):
        self.path, self.samples = path, samples

    @property
    def ms(self):
        return len(self.samples) * 1000 / RATE


def run(words, **more):
    try:
        done = subprocess.run([str(word) for word in words], capture_output=True, timeout=60, **more)
    except FileNotFoundError:
        raise Missing(f"{words[0]} is missing: apt-get install {words[0]}") from None
    if done.returncode:
        raise RuntimeError(f"{words[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def read(path):
    samples = array.array("h")
    samples.frombytes(Path(path).read_bytes())
    return samples


def trimmed(samples):
    least = max((abs(value) for value in samples), default=0) * QUIET
    first = next((i for i, value in enumerate(samples) if abs(value) > least), 0)
    last = next((i for i in range(len(samples), 0, -1) if abs(samples[i - 1]) > least), 0)
    return samples[first:last]


class Studio:
    """Makes clips in a folder."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def _clip(self, recipe, make):
        path = self.folder / (hashlib.sha256(repr(recipe).encode()).hexdigest()[:20] + ".s16")
        if not path.exists():
            part = path.with_suffix(".part")
            part.write_bytes(make())
            part.rename(path)
        return Clip(path, read(path))

    def say(self, text, voice, rate=165, pitch=50):
        """One voice says the text, without the silence around it."""

        def make():
            spoken = run(["espeak-ng", "--stdout", "-v", voice, "-s", rate, "-p", pitch], input=text.encode())
            raw = run(["sox", "--ignore-length", "-t", "wav", "-", "-t", "raw", "-r", RATE, "-e", "signed", "-b", 16, "-c", 1, "-", *TELEPHONE, "norm", -9], input=spoken)
            samples = array.array("h")
            samples.frombytes(raw)
            return trimmed(samples).tobytes()

        return self._clip(["say", text, voice, rate, pitch], make)

    def sox(self, *effects):
        """What sox makes of nothing: noise, tones."""
        return self._clip(["sox", *effects], lambda: run(["sox", "-R", "-n", "-t", "raw", "-r", RATE, "-e", "signed", "-b", 16, "-c", 1, "-", *effects]))

    def together(self, name, clips):
        """Clips one behind the other: a clip."""

        def make():
            return b"".join(clip.samples.tobytes() for clip in clips)

        return self._clip([name, *(str(clip.path) for clip in clips)], make)

    def words(self, text, voice, gap_ms=25, rate=165):
        """A text said word by word, so that it is known when each has ended: (clip, [ms])."""
        parts, ends, at = [], [], 0.0
        for word in text.split():
            clip = self.say(word.strip(".,;:!?"), voice, rate)
            parts.append(clip)
            at += clip.ms
            ends.append(round(at))
            pause = gap_ms + (330 if word[-1] in ".!?" else 160 if word[-1] in ",;:" else 0)
            parts.append(self.silence(pause))
            at += pause
        return self.together("words", parts[:-1]), ends

    def silence(self, ms):
        return self._clip(["silence", ms], lambda: bytes(2 * (ms * RATE // 1000)))

    def slam(self, hard):
        """A door: a thud, and what rattles behind it."""
        return self.sox("synth", hard, "brownnoise", "lowpass", 900, "fade", "l", 0.002, hard, hard * 0.9, "norm", -4)

    def music(self, seconds):
        """Four chords again and again."""
        chords = [(262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294)]
        played = [self.sox("synth", 0.6, "triangle", a, "synth", 0.6, "sine", "mix", b, "synth", 0.6, "sine", "mix", c, "fade", "t", 0.01, 0.6, 0.15, "norm", -12) for a, b, c in chords]
        return self.together("music", [played[i % 4] for i in range(round(seconds / 0.6))])

    def noise(self, seconds, kind, db):
        return self.sox("synth", seconds, kind, "norm", db)

    def key(self):
        """What is heard of a key before the telephone takes the tone out."""
        return self.sox("synth", 0.04, "sine", 770, "synth", 0.04, "sine", "mix", 1336, "norm", -12)


def mix(parts, seconds, target):
    """Lays clips over each other into a WAV file: parts are (clip, at in s, gain)."""
    channels = []
    for clip, _, _ in parts:
        channels += ["-t", "raw", "-r", RATE, "-e", "signed", "-b", 16, "-c", 1, clip.path]
    head = ["sox", "-R", "-M"] if len(parts) > 1 else ["sox", "-R"]
    delays = ["delay", *(f"{at:.4f}" for _, at, _ in parts)]
    sums = ["remix", ",".join(f"{i + 1}v{gain:.4f}" for i, (_, _, gain) in enumerate(parts))]
    run([*head, *channels, "-D", "-b", 16, target, *delays, *sums, "pad", 0, f"{seconds:.3f}", "trim", 0, f"{seconds:.3f}"])
