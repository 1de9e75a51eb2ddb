# SPDX-License-Identifier: Apache-2.0
"""Who calls whom: a Phone is one UDP port with any number of calls, placed (dial) and taken (on_call).

A Call goes through: new, ringing, up, ended. `cause` then says why: "far side" (it said BYE), "hung up" (we did), a SIP
status such as "486 Busy Here", or what went wrong. What may be lost over UDP is sent again until it is answered.
"""
import asyncio
import random
import socket
import time

from . import audio, message
from .rtp import Audio

REPEAT_S = (0.5, 1, 2, 4, 4, 4)


def _token():
    return f"{random.getrandbits(64):x}"


class Phone:
    @classmethod
    async def open(cls, address, port=0, on_call=None):
        """on_call(call) is called for each call that comes in: call.ring(), call.take(), call.refuse(). Without it all are refused."""
        phone = cls()
        phone.address = address
        phone.calls = {}
        phone._on_call = on_call
        phone._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        phone._socket.setblocking(False)
        phone._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        phone._socket.bind((address, port))
        phone.port = phone._socket.getsockname()[1]
        asyncio.get_running_loop().add_reader(phone._socket, phone._on_datagram)
        return phone

    def dial(self, number, server, caller):
        """Calls `number` at server (host, port) as `caller`; returns the Call at once."""
        call = Call(self, server, number, caller)
        self.calls[call.call_id] = call
        call._dial()
        return call

    async def close(self):
        """Hangs up what is up and ends."""
        left = [call for call in self.calls.values() if call.state != "ended"]
        for call in left:
            call.hang_up()
        await asyncio.gather(*(call.reached("ended", 3) for call in left))
        for call in self.calls.values():
            call._end("the phone was closed")
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def send(self, data, to):
        if self._socket.fileno() >= 0:
            self._socket.sendto(data, to)

    def reply(self, request, status, to, source, contact=False, body=""):
        fields = [(name, value) for name in ("Via", "From") for value in request.fields[name.lower()]]
        fields += [("To", to), ("Call-ID", request.field("call-id")), ("CSeq", request.field("cseq"))]
        if contact:
            fields.append(("Contact", f"<sip:phone@{self.address}:{self.port}>"))
        self.send(message.build(f"SIP/2.0 {status}", fields, body), source)

    def _on_datagram(self):
        while True:
            try:
                data, source = self._socket.recvfrom(65535)
            except OSError:
                return
            got = message.parse(data)
            if got is None:
                continue
            call = self.calls.get(got.field("call-id"))
            if got.status is not None:
                if call is not None:
                    call._on_response(got)
            elif call is not None:
                call._on_request(got, source)
            elif got.method == "INVITE" and self._on_call is not None:
                call = Call(self, source, message.user_of(got.field("to")), message.user_of(got.field("from")), invite=got)
                self.calls[call.call_id] = call
                self._on_call(call)
            elif got.method == "OPTIONS":
                self.reply(got, "200 OK", got.field("to"), source)
            elif got.method != "ACK":
                self.reply(got, "404 Not Found" if got.method == "INVITE" else "481 Call/Transaction Does Not Exist", got.field("to"), source)


class Call:
    def __init__(self, phone, server, number, caller, invite=None):
        self.number, self.caller = number, caller
        self.state, self.cause = "new", None
        self.began, self.answered_at, self.ended_at = time.monotonic(), None, None
        self.digits = []  # (when, digit) of each one sent
        self.audio = Audio(phone.address)
        self.ears = self.audio.ears
        self._phone, self._server, self._invite = phone, server, invite
        self._tasks = set()
        self._moved = asyncio.Event()
        self._branch = "z9hG4bK" + _token()
        self._cseq = 1
        self._tag = _token()
        host = f"{server[0]}:{server[1]}"
        if invite is None:
            self.call_id = f"{_token()}@{phone.address}"
            self._target = f"sip:{number}@{host}"
            self._local = f"<sip:{caller}@{phone.address}>;tag={self._tag}"
            self._remote = f"<sip:{number}@{host}>"
        else:
            self.call_id = invite.field("call-id")
            self._target = message.uri_of(invite.field("contact")) or f"sip:{host}"
            self._local = invite.field("to") + f";tag={self._tag}"
            self._remote = invite.field("from")

    # -- both ways ---------------------------------------------------------------------------------------------------------

    def _request(self, method, branch, cseq, target=None, body=""):
        fields = [
            ("Via", f"SIP/2.0/UDP {self._phone.address}:{self._phone.port};branch={branch};rport"),
            ("Max-Forwards", "70"),
            ("From", self._local),
            ("To", self._remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", f"<sip:phone@{self._phone.address}:{self._phone.port}>"),
            ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS"),
        ]
        return message.build(f"{method} {target or self._target} SIP/2.0", fields, body)

    def _do(self, work):
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _repeat(self, data, while_state, failure):
        for wait in REPEAT_S:
            self._phone.send(data, self._server)
            await asyncio.sleep(wait)
            if self.state not in while_state:
                return
        self._end(failure)

    def _set(self, state):
        self.state = state
        self._moved.set()
        self._moved = asyncio.Event()

    def _end(self, cause):
        if self.state == "ended":
            return
        self.cause, self.ended_at = cause, time.monotonic()
        self.audio.close()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._set("ended")

    async def reached(self, state, limit_s):
        """Waits for `state` (or for ended); returns whether it is `state`."""
        until = time.monotonic() + limit_s
        while self.state not in (state, "ended") and until > time.monotonic():
            try:
                await asyncio.wait_for(self._moved.wait(), until - time.monotonic())
            except asyncio.TimeoutError:
                break
        return self.state == state

    def _listen_to(self, body):
        """Takes the far side's SDP; False when there is no audio we speak."""
        found = message.read_sdp(body)
        if found is None:
            return False
        self.audio.start(*found)
        return True

    async def press(self, digits):
        """Sends the digits one after the other; returns when the last is over."""
        for digit in digits:
            if self.state != "up":
                return
            self.digits.append((time.monotonic(), digit))
            await self.audio.press(digit)

    async def speak(self, frames):
        if self.state == "up":
            await self.audio.speak(frames)

    async def far_side_spoke(self, after, pause_s=1.0, limit_s=30):
        """Waits until something was heard after that moment and it is quiet, for pause_s, or the call is over; returns whether we may speak now."""
        return await self._heard(self.ears.prompt_ended(after, pause_s, limit_s), limit_s)

    async def far_side_speaks(self, after, for_s=1.0, limit_s=30):
        """Waits until the far side has spoken for so long since that moment, or the call is over; returns whether we may interrupt it now."""
        return await self._heard(self.ears.prompt_goes_on(after, for_s, limit_s), limit_s)

    async def _heard(self, waits, limit_s):
        heard = asyncio.ensure_future(waits)
        over = asyncio.ensure_future(self.reached("ended", limit_s))
        await asyncio.wait({heard, over}, return_when=asyncio.FIRST_COMPLETED)
        found = heard.done() and heard.result()
        heard.cancel()
        over.cancel()
        return found and self.state == "up"

    async def say(self, text):
        """Says it now, in the caller's voice; returns when the last of it has gone."""
        await self.speak(await asyncio.to_thread(audio.say, text))

    def recording(self):
        """What was heard since the answer (or since the first sound before it), as mu-law."""
        first = self.ears.first
        if first is None:
            return b""
        return self.audio.recording(min(first, self.answered_at or first), self.ears.last)

    def hang_up(self):
        """Ends the call from this side; reached("ended") tells when the far side has agreed."""
        if self.state == "up":
            self._cseq += 1
            self._do(self._repeat(self._request("BYE", "z9hG4bK" + _token(), self._cseq), ("up",), "the far side did not answer BYE"))
        elif self._invite is not None:
            self.refuse("480 Temporarily Unavailable")
        elif self.state in ("new", "ringing"):
            self._cancelled = True
            cancel = self._request("CANCEL", self._branch, 1, self._first_target)
            self._do(self._repeat(cancel, ("new", "ringing"), "the far side did not answer CANCEL"))

    # -- calls we place ----------------------------------------------------------------------------------------------------

    _cancelled = False

    def _dial(self):
        self._first_target = self._target
        invite = self._request("INVITE", self._branch, 1, body=message.sdp(self._phone.address, self.audio.port))
        self._do(self._repeat(invite, ("new",), "no answer: is the platform running at that address?"))

    def _on_response(self, got):
        if got.method != "INVITE":
            if got.method == "BYE" and got.status >= 200:
                self._end("hung up")
            return
        if self._invite is not None or got.cseq != 1:
            return
        if got.status < 200:
            if self.state == "new":
                self._set("ringing")  # 100 too: somebody has it, what follows is theirs to say
            if got.body:
                self._listen_to(got.body)  # audio before the answer
            return
        self._remote = got.field("to")
        if got.status >= 300:
            self._phone.send(self._request("ACK", self._branch, 1, self._first_target), self._server)
            self._end("hung up" if self._cancelled and got.status == 487 else f"{got.status} {got.reason}")
            return
        self._target = message.uri_of(got.field("contact")) or self._target
        self._phone.send(self._request("ACK", "z9hG4bK" + _token(), 1), self._server)
        if self.state in ("up", "ended"):
            return
        heard = self._listen_to(got.body)
        self.answered_at = time.monotonic()
        self._set("up")
        if not heard or self._cancelled:
            self.hang_up()

    # -- calls we take -----------------------------------------------------------------------------------------------------

    def ring(self):
        self._phone.reply(self._invite, "180 Ringing", self._local, self._server, contact=True)
        self._set("ringing")

    async def announce(self, frames):
        """Says this before anybody answers (early media, RFC 3960), as carriers do with ringing tones and "the person you are calling ..."."""
        if self.state not in ("new", "ringing") or not self._listen_to(self._invite.body):
            return
        self._phone.reply(self._invite, "183 Session Progress", self._local, self._server, contact=True, body=message.sdp(self._phone.address, self.audio.port))
        self._set("ringing")
        await self.audio.speak(frames)

    def take(self):
        """Answers. The call is up once the far side has said so with ACK."""
        if self.state not in ("new", "ringing"):
            return
        if not self._listen_to(self._invite.body):
            self.refuse("488 Not Acceptable Here")
            return
        self._set("answering")
        self._do(self._answer())

    async def _answer(self):
        body = message.sdp(self._phone.address, self.audio.port)
        for wait in REPEAT_S:
            self._phone.reply(self._invite, "200 OK", self._local, self._server, contact=True, body=body)
            await asyncio.sleep(wait)
            if self.state != "answering":
                return
        self._end("the far side did not acknowledge our answer")

    def refuse(self, status="486 Busy Here"):
        self._phone.reply(self._invite, status, self._local, self._server)
        self._end(status)

    def _on_request(self, got, source):
        if got.method == "ACK":
            if self.state == "answering":
                self.answered_at = time.monotonic()
                self._set("up")
        elif got.method == "INVITE":
            if self._invite is not None and got.cseq == self._invite.cseq:
                if self.state == "ringing":
                    self._phone.reply(got, "180 Ringing", self._local, source, contact=True)
                return  # sent again; our answer is repeated until ACK
            # A change within the call: the audio may come from elsewhere now.
            self._listen_to(got.body)
            self._phone.reply(got, "200 OK", got.field("to"), source, contact=True, body=message.sdp(self._phone.address, self.audio.port))
        elif got.method == "CANCEL":
            self._phone.reply(got, "200 OK", self._local, source)
            if self.state in ("new", "ringing"):
                self._phone.reply(self._invite, "487 Request Terminated", self._local, source)
                self._end("cancelled by the far side")
        else:
            self._phone.reply(got, "200 OK", got.field("to"), source)
            if got.method == "BYE":
                self._end("far side")
