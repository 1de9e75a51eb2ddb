# SPDX-License-Identifier: Apache-2.0
"""A SIP caller that hears: dials over UDP, sends ulaw and RFC 4733 digits, and keeps what it gets with the kernel's clock.

All callers of a test share one event loop. Only what this trunk needs of SIP is here: INVITE without a challenge, BYE from
either side, CANCEL while it rings, and repeats of what may be lost.
"""
import asyncio
import random
import re
import socket
import struct
import time

FRAME_S = 0.02
SILENCE = b"\xff" * 160
DIGITS = "0123456789*#ABCD"
DIGIT_S = 0.1
SO_TIMESTAMPNS = 35


def _receive(sock):
    """Yields (seconds since the epoch as the kernel saw it, bytes) for all that waits in the socket."""
    while True:
        try:
            data, extra, _, _ = sock.recvmsg(2048, 64)
        except OSError:  # nothing more, or the call has ended and closed it
            return
        when = time.time()
        for level, kind, value in extra:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, nanos = struct.unpack("qq", value[:16])
                when = seconds + nanos / 1e9
        yield when, data


class Caller:
    """One call. States: new, ringing, up, ended."""

    def __init__(self, address, server, number):
        self.number = number
        self.state = "new"
        self.cause = None  # SIP status or 'bye' when the far side ended it
        self.heard = []  # (time, payload) of each audio packet
        self.digits_sent = []
        self.began = self.answered_at = self.ended_at = None
        self._server = server
        self._address = address
        self._sip = self._bound(address)
        self._rtp = self._bound(address)
        self._rtp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._tag = f"{random.getrandbits(48):x}"
        self.call_id = f"{random.getrandbits(64):x}@{address}"
        self._branch = f"z9hG4bK{random.getrandbits(48):x}"
        self._to = f"<sip:{number}@{server[0]}:{server[1]}>"
        self._peer = None
        self._sequence = random.getrandbits(15)
        self._stamp = random.getrandbits(31)
        self._ssrc = random.getrandbits(32)
        self._digit = None  # (event, packets sent, stamp of its start)
        self._digit_ended = 0
        self._tasks = []
        self._moved = asyncio.Event()

    @staticmethod
    def _bound(address):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind((address, 0))
        return sock

    # -- SIP --------------------------------------------------------------------------------------------------------

    def _message(self, method, sequence, branch, body="", uri=None):
        host, port = self._sip.getsockname()
        lines = [
            f"{method} {uri or f'sip:{self.number}@{self._server[0]}:{self._server[1]}'} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch={branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:+493055500{port % 100:02d}@{host}>;tag={self._tag}",
            f"To: {self._to}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {sequence} {method}",
            f"Contact: <sip:caller@{host}:{port}>",
            f"Content-Length: {len(body)}",
        ]
        if body:
            lines.insert(-1, "Content-Type: application/sdp")
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def _send(self, data):
        self._sip.sendto(data, self._server)

    def dial(self):
        host, rtp = self._rtp.getsockname()
        sdp = (
            f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {rtp} RTP/AVP 0 101\r\n"
            "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n"
        )
        loop = asyncio.get_running_loop()
        loop.add_reader(self._sip, self._on_sip)
        loop.add_reader(self._rtp, self._on_rtp)
        self._invite = self._message("INVITE", 1, self._branch, sdp)
        self.began = time.time()
        self._send(self._invite)
        self._tasks.append(loop.create_task(self._repeat_invite()))

    async def _repeat_invite(self):
        for wait in (0.5, 1, 2, 4):
            await asyncio.sleep(wait)
            if self.state != "new":
                return
            self._send(self._invite)

    def _on_sip(self):
        for _, data in _receive(self._sip):
            head, _, body = data.decode(errors="replace").partition("\r\n\r\n")
            lines = head.split("\r\n")
            fields = {}
            for line in lines[1:]:
                name, _, value = line.partition(":")
                fields.setdefault(name.strip().lower(), []).append(value.strip())
            if lines[0].startswith("SIP/2.0 "):
                self._on_response(int(lines[0].split()[1]), fields, body)
            else:
                self._on_request(lines[0].split()[0], fields)

    def _on_response(self, status, fields, body):
        method = fields["cseq"][0].split()[1]
        if method != "INVITE":
            if method == "BYE":
                self._end("hung up")
            return
        if status < 200:
            if self.state == "new":
                self._set("ringing")
            return
        self._to = fields["to"][0]
        if status >= 300:
            self._send(self._message("ACK", 1, self._branch))
            self._end(str(status))
            return
        self._target = re.search(r"<([^>]+)>", fields["contact"][0]).group(1)
        self._send(self._message("ACK", 1, self._branch + "a", uri=self._target))
        if self.state in ("up", "ended"):
            return
        self._peer = (
            re.search(r"^c=IN IP4 (\S+)", body, re.M).group(1),
            int(re.search(r"^m=audio (\d+)", body, re.M).group(1)),
        )
        self.answered_at = time.time()
        self._set("up")
        self._tasks.append(asyncio.get_running_loop().create_task(self._speak()))

    def _on_request(self, method, fields):
        same = [f"{name}: {value}" for name in ("Via", "From", "To", "Call-ID", "CSeq") for value in fields[name.lower()]]
        if method != "ACK":
            self._send(("\r\n".join(["SIP/2.0 200 OK", *same, "Content-Length: 0"]) + "\r\n\r\n").encode())
        if method == "BYE":
            self._end("bye")

    def hang_up(self):
        """Ends the call from this side; ended() tells when the far side has agreed."""
        if self.state == "up":
            self._stop_speaking()
            bye = self._message("BYE", 2, self._branch + "b", uri=self._target)
            self._tasks.append(asyncio.get_running_loop().create_task(self._repeat_until_ended(bye)))
        elif self.state in ("new", "ringing"):
            self._send(self._message("CANCEL", 1, self._branch))

    async def _repeat_until_ended(self, data):
        for wait in (0.5, 1, 2, 2):
            self._send(data)
            await asyncio.sleep(wait)
        self._end("no answer to BYE")

    def abandon(self):
        """Forgets the call without a word to the far side."""
        self._end("abandoned")

    def _set(self, state):
        self.state = state
        self._moved.set()
        self._moved = asyncio.Event()

    def _end(self, cause):
        if self.state == "ended":
            return
        self.cause = cause
        self.ended_at = time.time()
        self._set("ended")
        self._stop_speaking()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._sip)
        loop.remove_reader(self._rtp)
        self._sip.close()
        self._rtp.close()

    def _stop_speaking(self):
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async def reached(self, state, limit_s):
        """Waits for `state` (or for ended); returns whether it is `state`."""
        until = time.monotonic() + limit_s
        while self.state not in (state, "ended"):
            try:
                await asyncio.wait_for(self._moved.wait(), until - time.monotonic())
            except asyncio.TimeoutError:
                break
        return self.state == state

    # -- audio ------------------------------------------------------------------------------------------------------

    def _on_rtp(self):
        for when, data in _receive(self._rtp):
            if len(data) > 12 and data[1] & 0x7F == 0:
                self.heard.append((when, data[12:]))

    def press(self, digit):
        """Sends one digit, 100 ms long. The one before must be over."""
        assert self._digit is None, "a digit is still being sent"
        self._digit = [DIGITS.index(digit), 0, self._stamp]

    def is_between_digits(self):
        """The last one is over and has had time to be heard as one: a caller may hang up without taking it along."""
        return self._digit is None and time.monotonic() - self._digit_ended > 0.1

    async def _speak(self):
        """Sends a packet each 20 ms: silence, or the digit that is pressed."""
        due = time.monotonic()
        frames = int(DIGIT_S / FRAME_S)
        while self.state == "up":
            kind, payload, stamp = 0, SILENCE, self._stamp
            if self._digit:
                event, sent, stamp = self._digit
                # The end is sent three times, as the receiver must count on losses.
                ending = sent >= frames
                kind = 101 | (0x80 if sent == 0 else 0)
                payload = struct.pack("!BBH", event, (0x80 if ending else 0) | 10, min(sent + 1, frames) * 160)
                self._digit = None if sent == frames + 2 else [event, sent + 1, stamp]
                if sent == frames:
                    self.digits_sent.append(DIGITS[event])
                    self._digit_ended = time.monotonic()
            packet = struct.pack("!BBHII", 0x80, kind, self._sequence, stamp, self._ssrc) + payload
            self._sequence = (self._sequence + 1) & 0xFFFF
            self._stamp = (self._stamp + 160) & 0xFFFFFFFF
            try:
                self._rtp.sendto(packet, self._peer)
            except OSError:
                pass
            due += FRAME_S
            await asyncio.sleep(max(0, due - time.monotonic()))
