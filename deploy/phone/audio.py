# SPDX-License-Identifier: Apache-2.0
"""Audio as the phone needs it: mu-law both ways, WAV files, and a voice for the caller. 8000 samples a second."""
import functools
import math
import operator
import struct
import subprocess
import wave

RATE = 8000
FRAME = 160  # samples of 20 ms, which are as many bytes of mu-law
SILENCE = b"\xff" * FRAME


def _linear(code):
    code = ~code & 0xFF
    value = (((code & 0x0F) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return -value if code & 0x80 else value


def _code(sample):
    sign, size = (0x80, -sample) if sample < 0 else (0, sample)
    size = min(size, 32635) + 0x84
    exponent = size.bit_length() - 8
    return ~(sign | exponent << 4 | size >> exponent + 3 & 0x0F) & 0xFF


LINEAR = [_linear(code) for code in range(256)]
_LEVEL = [abs(value) for value in LINEAR]
_CODES = bytes(_code((top << 4) - 32768 + 8) for top in range(4096))  # by the upper 12 of 16 bits


def to_ulaw(samples):
    return bytes(_CODES[sample + 32768 >> 4] for sample in samples)


def to_linear(codes):
    return [LINEAR[code] for code in codes]


def level(codes):
    """The mean size of the samples, 0 to 32124. Silence is about 0, speech some hundreds and more."""
    return sum(_LEVEL[code] for code in codes) / len(codes) if codes else 0


@functools.lru_cache(4)
def _kernels(rate):
    """(steps, kernels, half): of output sample n * len(kernels) + k the middle lies n * steps + k * rate / RATE samples in; kernels[k] is (first sample,
    relative to n * steps; what it and those after it count)."""
    shared = math.gcd(rate, RATE)
    step, cut = rate / RATE, min(1.0, RATE / rate) * 0.92
    half = int(12 / cut)
    kernels = []
    for k in range(RATE // shared):
        first = math.ceil(k * step - half)
        weights = []
        for i in range(first, first + 2 * half):
            x = i - k * step
            sinc = cut if abs(x) < 1e-9 else math.sin(math.pi * x * cut) / (math.pi * x)
            weights.append(sinc * (0.5 + 0.5 * math.cos(math.pi * x / half)))
        kernels.append((first, weights))
    return rate // shared, kernels, half


def resample(samples, rate):
    """To 8000 a second, through a windowed sinc that takes out what 8000 cannot hold."""
    if rate == RATE:
        return samples
    steps, kernels, half = _kernels(rate)
    padded = [0] * half + list(samples) + [0] * (2 * half)
    out = []
    for n in range(len(samples) * RATE // rate):
        turn, k = divmod(n, len(kernels))
        first, weights = kernels[k]
        at = turn * steps + first + half
        out.append(max(-32768, min(32767, round(sum(map(operator.mul, padded[at : at + 2 * half], weights))))))
    return out


@functools.lru_cache(64)
def say(text):
    """mu-law frames of a voice that says the text. Raises RuntimeError with what to do when there is no voice."""
    try:
        # The text goes in by stdin, so that no text is taken for an option.
        made = subprocess.run(["espeak-ng", "--stdout", "-v", "en-us+m3", "-s", "160"], input=text.encode(), capture_output=True, timeout=30)
    except FileNotFoundError:
        raise RuntimeError("espeak-ng is missing: apt-get install espeak-ng") from None
    data = made.stdout
    at = data.find(b"data", 12)  # espeak-ng does not know the length when it writes the head
    if made.returncode or data[:4] != b"RIFF" or at < 0:
        raise RuntimeError("espeak-ng failed: " + (made.stderr.decode(errors="replace").strip() or f"exit {made.returncode}"))
    rate = struct.unpack("<I", data[24:28])[0]
    pcm = data[at + 8 :]
    pcm = pcm[: len(pcm) // 2 * 2]
    codes = to_ulaw(resample(list(struct.unpack(f"<{len(pcm) // 2}h", pcm)), rate))
    codes += SILENCE[: -len(codes) % FRAME]
    return [codes[i : i + FRAME] for i in range(0, len(codes), FRAME)]


def write_wav(path, codes):
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(struct.pack(f"<{len(codes)}h", *to_linear(codes)))
