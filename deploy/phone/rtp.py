# SPDX-License-Identifier: Apache-2.0
"""The audio of one call: a packet each 20 ms out (silence, speech or a digit), everything that comes in kept with its time."""
import asyncio
import random
import socket
import struct
import time

from .audio import FRAME, SILENCE
from .ears import FRAME_S, Ears

DIGITS = "0123456789*#ABCD"
DIGIT_FRAMES = 5
BETWEEN_FRAMES = 5
MAX_HEARD_S = 3600
CLOCK_OFF = 8000  # samples


class Audio:
    def __init__(self, address):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((address, 0))
        self.port = self.socket.getsockname()[1]
        self.ears = Ears()
        self.heard = []  # (when, mu-law) of each packet
        self._stamps = []  # and its (SSRC, timestamp)
        self._peer = None
        self._digit_type = 101
        self._queue = []  # (payload type, marker, payload, timestamp ahead) still to send, one each 20 ms
        self._said = asyncio.Event()
        self._said.set()
        self._sequence = random.getrandbits(15)
        self._stamp = random.getrandbits(31)
        self._ssrc = random.getrandbits(32)
        self._sender = None
        asyncio.get_running_loop().add_reader(self.socket, self._on_packet)

    def start(self, host, port, digit_type):
        """Sends to the far side from now on; a second time changes where to."""
        self._peer = (host, port)
        self._digit_type = digit_type
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send())

    def close(self):
        if self.socket.fileno() < 0:
            return
        if self._sender is not None:
            self._sender.cancel()
        asyncio.get_running_loop().remove_reader(self.socket)
        self.socket.close()
        self._said.set()

    def _on_packet(self):
        while True:
            try:
                data, source = self.socket.recvfrom(2048)
            except OSError:
                return
            # Only from where the far side said it would speak, version 2, mu-law.
            if len(data) <= 12 or data[0] >> 6 != 2 or data[1] & 0x7F != 0 or (self._peer and source != self._peer):
                continue
            when, codes = time.monotonic(), data[12 + 4 * (data[0] & 15) :]
            self.ears.hear(when, codes)
            if when - self.ears.first < MAX_HEARD_S:
                self.heard.append((when, codes))
                self._stamps.append((data[8:12], int.from_bytes(data[4:8], "big")))

    async def press(self, digit):
        """Sends one digit of RFC 4733, 100 ms long with 100 ms of silence after it; returns when it is over."""
        if self._digit_type is None:
            raise RuntimeError("the far side takes no digits (no telephone-event in its SDP)")
        event = DIGITS.index(digit)
        for frame in range(DIGIT_FRAMES + 3):
            # The end goes out three times, because packets are lost.
            ending = frame >= DIGIT_FRAMES
            payload = struct.pack("!BBH", event, (0x80 if ending else 0) | 10, min(frame + 1, DIGIT_FRAMES) * FRAME)
            self._queue.append((self._digit_type, frame == 0, payload, -frame))
        self._queue += [(0, False, SILENCE, 0)] * BETWEEN_FRAMES
        await self._sent()

    async def speak(self, frames):
        """Sends the mu-law frames; returns when the last one has gone."""
        self._queue += [(0, i == 0, frame, 0) for i, frame in enumerate(frames)]
        await self._sent()

    async def _sent(self):
        self._said.clear()
        await self._said.wait()

    async def _send(self):
        due = time.monotonic()
        while True:
            kind, marker, payload, ahead = self._queue.pop(0) if self._queue else (0, False, SILENCE, 0)
            if not self._queue:
                self._said.set()
            stamp = self._stamp + ahead * FRAME & 0xFFFFFFFF
            try:
                self.socket.sendto(struct.pack("!BBHII", 0x80, kind | (0x80 if marker else 0), self._sequence, stamp, self._ssrc) + payload, self._peer)
            except OSError:
                pass  # a far side that has closed its port is heard of by SIP
            self._sequence = self._sequence + 1 & 0xFFFF
            self._stamp = self._stamp + FRAME & 0xFFFFFFFF
            # Who was held up goes on from there. Caught up with, two digits could come so close together that Asterisk tells of one twice.
            due = max(due + FRAME_S, time.monotonic() - FRAME_S)
            await asyncio.sleep(max(0, due - time.monotonic()))

    def recording(self, since, until):
        """What was heard between two moments as mu-law, with silence where nothing came. Each packet lies where its sender's clock says, for a busy
        machine takes many at once; a clock that is further off than that, as that of another sender, is set by the packet's coming."""
        out = bytearray()
        ssrc = stamp = None
        place = 0  # of the packet before
        for (when, codes), (new_ssrc, new_stamp) in zip(self.heard, self._stamps):
            if not since <= when <= until:
                continue
            came = round((when - since) * 8000)
            if new_ssrc == ssrc:
                place += (new_stamp - stamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
            if new_ssrc != ssrc or abs(came - place) > CLOCK_OFF:
                place = came
            ssrc, stamp = new_ssrc, new_stamp
            # Timestamps are rounded; only a hole of 60 ms and more is one.
            if place - len(out) > 3 * FRAME:
                out += b"\xff" * (place - len(out))
            out += codes
        return bytes(out)
