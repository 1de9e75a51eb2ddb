# SPDX-License-Identifier: Apache-2.0
"""One bare ARI client: what a worker does about slots and legs, and nothing else. Run by bare_world.py as its own process.

    client.py NAME NODE REDIS_SOCKET ARI_URL ARI_USER TONE_HZ     (the ARI password comes on stdin)

It plays a tone to each caller of its slots and journals what it learns of a call. Orders come as JSON through the Redis
list `inbox:NAME`, from the test, which stands for the master, and from the other client:

    take slots dead      the leases of these slots, also those of the dead owner named
    sweep                from now on take every lease that has run out
    give slots to        planned hand-over, make before break
    offer slot from      (from a giver) the lease names you as its successor
    flushed slot         (from a giver) my last write for the slot is done
    taken slot call      (from a taker) my leg of this call plays, yours is about to go; without a call: I have them all
    steal slots          dial in without a lease, as a worker would that missed losing it
    report               write counters to the log

A slot's life:  take the lease -> dial in -> reconcile -> act on events -> replaced, or lease lost -> drop.
"""
import asyncio
import functools
import itertools
import json
import math
import random
import signal
import socket
import struct
import sys
import time

import aiohttp

from ari import Ari, AriError
from lease import LEASE_S, Lease
from resp import Redis

FRAME_S = 0.02
MEDIA_START_LIMIT_S = 0.1
LEG_LOOKS, LEG_LOOK_S = 10, 0.1
# Asterisk's listen backlog is 10: more at once, and one waits a second for its SYN to be sent again.
DIALS_AT_ONCE = 4
DIAL_LIMIT_S = 0.25
FLUSH_LIMIT_S = 0.5
GIVEN_LIMIT_S = 2
PROOF_LIMIT_S = 0.15
DEATH_SETTLES_S = 0.02
LOOK_AGAIN_S = 1


def ulaw(sample):
    """G.711 of one 16 bit sample."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | (magnitude >> (exponent + 3)) & 0x0F) & 0xFF


def tone_frame(hertz):
    """One packet of a tone that has whole periods in it, so that packets join without a step."""
    return bytes(ulaw(int(8000 * math.sin(2 * math.pi * hertz * i / 8000))) for i in range(160))


class Lost(Exception):
    """The slot is not ours to act on any more."""


def call_of(name):
    """The SIP channel that an own name belongs to: m-FENCE-CHANNEL or b-CHANNEL."""
    return name.split("-", 2)[2] if name.startswith("m-") else name[2:]


class Call:
    def __init__(self, channel):
        self.channel = channel
        self.bridge = f"b-{channel}"
        self.media = None  # channel id of our media leg
        self.address = None  # where Asterisk hears that leg; tone is sent while set
        self.sequence = random.getrandbits(16)
        self.stamp = random.getrandbits(32)
        self.ssrc = random.getrandbits(32)
        self.start_heard = False


class Slot:
    def __init__(self, k, fence):
        self.k, self.fence = k, fence
        self.app = f"parley-{k}"
        self.ari = None
        self.calls = {}  # SIP channel id -> Call
        self.set_ups = {}  # Call -> task that makes its leg
        self.queued = []  # events that came before reconciling was done; None when they are acted on at once
        self.media_started = {}  # media channel id -> future of its StasisStart
        self.proof = None  # (name, future) of the event we sent to ourselves
        self.steps = asyncio.Queue()  # per slot one step after the other, as its journal demands
        self.acting = True  # false from ApplicationReplaced on
        self.given = False  # flushed for a successor; only its tone goes on, until told
        self.thefts = 0
        self.suspects = set()  # what the last look found wrong
        self.worker = None


class Client:
    def __init__(self, name, node, ari_url, ari_user, password, hertz):
        self.name = name
        self._ari_of = lambda app: Ari(ari_url, ari_user, password, app)
        self._node = node
        self._tone = tone_frame(hertz)
        self.slots = {}
        self._flushed = {}  # slot number -> future, while we are its successor
        self._sweeping = False
        self._ticked = time.monotonic()
        self._may_send = asyncio.Event()
        self._may_send.set()
        self._pauses = 0
        self._resumed = None  # when the last pause was noticed
        self._dials = asyncio.Semaphore(DIALS_AT_ONCE)
        self._proofs = itertools.count(1)
        self._requests = []  # (time, slot, fence, request) of everything sent to Asterisk
        self._tones_after_pause = 0
        self.counts = dict.fromkeys(("stolen", "duplicate_starts", "refused_writes", "unknown_packets", "packets"), 0)

    async def run(self, redis_path):
        self._redis = await Redis.open(redis_path)
        self._inbox = await Redis.open(redis_path)
        self._lease = Lease(self._redis, self._node, self.name)
        self._session = aiohttp.ClientSession()
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp.setblocking(False)
        self._rtp.bind(("127.0.0.1", 0))
        self._sources = {}
        loop = asyncio.get_running_loop()
        loop.add_reader(self._rtp, self._on_rtp)
        self._tasks = [loop.create_task(task) for task in (self._renewing(), self._sweep(), self._looking(), self._sending(), self._ticking())]
        await self._log("ready")
        while True:
            _, text = await self._inbox.call("BLPOP", f"inbox:{self.name}", 0)
            order = json.loads(text)
            task = loop.create_task(getattr(self, "_do_" + order.pop("do"))(**order))
            self._tasks.append(task)
            task.add_done_callback(self._on_order_done)

    def _on_order_done(self, task):
        self._tasks.remove(task)
        if not task.cancelled() and task.exception():
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": "an order failed", "exception": task.exception()})

    async def _log(self, what, **more):
        await self._redis.call("RPUSH", "log", json.dumps({"t": time.time(), "who": self.name, "what": what, **more}))

    # -- the pause rule -------------------------------------------------------------------------------------------------
    # A loop that stood still for more than a third of the lease may have lost it. Everything that leaves for Asterisk asks
    # here first, so whichever callback runs first after the pause closes the gate, and only a confirmed lease opens it.

    def _tick(self):
        now = time.monotonic()
        if now - self._ticked > LEASE_S / 3:
            self._pauses += 1
            self._resumed = time.time()
            self._may_send.clear()
            asyncio.get_running_loop().create_task(self._confirm())
        self._ticked = now

    async def _ticking(self):
        while True:
            self._tick()
            await asyncio.sleep(0.1)

    async def _gate(self, slot):
        self._tick()
        await self._may_send.wait()
        if self.slots.get(slot.k) is not slot or not slot.acting:
            raise Lost

    async def _request(self, slot, method, uri, query=None):
        await self._gate(slot)
        self._requests.append((time.time(), slot.k, slot.fence, f"{method} {uri}"))
        return await slot.ari.request(method, uri, query)

    async def _journal(self, slot, call, keep=True, **entry):
        entry.update(t=time.time(), who=self.name)
        if not await self._lease.journal(slot.k, slot.fence, call, json.dumps(entry), keep):
            self.counts["refused_writes"] += 1
            raise Lost

    # -- leases ---------------------------------------------------------------------------------------------------------

    async def _confirm(self):
        """Renews all leases in one pipeline, drops the lost slots and opens the gate."""
        asked_after = self._pauses
        mine = [slot for slot in self.slots.values() if not slot.given]
        answers = await self._redis.many([self._lease.renew_command(slot.k) for slot in mine])
        for slot, answer in zip(mine, answers):
            if (not answer or answer[0] != slot.fence) and self.slots.get(slot.k) is slot:
                await self._drop(slot, "lease lost")
        # An answer to what was asked before the pause says nothing about the time in it.
        if asked_after == self._pauses:
            self._may_send.set()

    async def _renewing(self):
        while True:
            await self._confirm()
            await asyncio.sleep(LEASE_S / 3)

    async def _sweep(self):
        while True:
            if self._sweeping and self._may_send.is_set():
                await self._do_take([k for k in range(1, 17) if k not in self._flushed])
            await asyncio.sleep(0.5)

    async def _do_sweep(self):
        self._sweeping = True

    async def _do_take(self, slots, dead=""):
        slots = [k for k in slots if k not in self.slots]
        if dead:
            # Asterisk is just clearing away the dead one's sockets, see _prove(); let it.
            await asyncio.sleep(DEATH_SETTLES_S)
        fences = await self._redis.many([self._lease.take_command(k, dead) for k in slots])
        await asyncio.gather(*(self._own(k, fence) for k, fence in zip(slots, fences) if fence))

    async def _own(self, k, fence):
        """The lease was taken in this step: dial in, set right what is there, then act."""
        slot = self.slots[k] = Slot(k, fence)
        await self._dial(slot)
        await self._settle(slot)

    async def _dial(self, slot):
        """Dials in, and again until events are seen to come."""
        slot.queued = []
        while True:
            old = slot.ari
            slot.ari = ari = self._ari_of(slot.app)
            async with self._dials:
                try:
                    handler = functools.partial(self._on_event, slot, ari)
                    await asyncio.wait_for(ari.open(self._session, handler), DIAL_LIMIT_S)
                except asyncio.TimeoutError:
                    await self._log("dial late", slot=slot.k)
                    continue
                finally:
                    if old:
                        await old.close()
            if await self._prove(slot):
                return
            await self._log("deaf", slot=slot.k)

    async def _prove(self, slot):
        """Sends an event to ourselves through the slot.

        When a socket of the slot's old owner ends in the same moment as we dial in, Asterisk may switch the application off
        by its name, and with it us: the socket stays up, requests work when the slot has calls, and no event ever comes.
        """
        heard = asyncio.get_running_loop().create_future()
        name = f"proof{next(self._proofs)}"
        slot.proof = (name, heard)
        try:
            # No lease is needed: nothing in Asterisk changes.
            proof = slot.ari.request("POST", f"events/user/{name}", {"application": slot.app})
            await asyncio.wait_for(asyncio.gather(proof, heard), PROOF_LIMIT_S)
            return True
        except (asyncio.TimeoutError, AriError):
            return False

    async def _settle(self, slot, taken=None):
        await self._reconcile(slot, taken)
        for event in slot.queued:
            self._act(slot, event)
        slot.queued = None
        if slot.worker is None:
            slot.worker = asyncio.get_running_loop().create_task(self._stepping(slot))
        await self._log("settled", slot=slot.k, calls=len(slot.calls), fence=slot.fence)

    async def _drop(self, slot, why):
        """Forgets the slot. Nothing of it is told to Asterisk: it is another's now."""
        if self.slots.get(slot.k) is not slot:
            return
        del self.slots[slot.k]
        slot.acting = False
        self._hush(slot)
        if slot.worker:
            slot.worker.cancel()
        asyncio.get_running_loop().create_task(slot.ari.close())
        await self._log("dropped", slot=slot.k, why=why)

    def _hush(self, slot):
        for call in slot.calls.values():
            self._silence(call)

    def _silence(self, call):
        """Before the media channel goes: its port may be another call's a moment later."""
        self._sources.pop(call.address, None)
        call.address = None

    # -- planned hand-over --------------------------------------------------------------------------------------------------

    async def _do_give(self, slots, to):
        for k in slots:
            if k in self.slots and await self._lease.note(k, "successor", to):
                await self._redis.call("RPUSH", f"inbox:{to}", json.dumps({"do": "offer", "slot": k, "giver": self.name}))

    async def _do_offer(self, slot, giver):
        """We are to follow: dial in while the giver is still there, wait for its flush mark, then add our leg to its."""
        k = slot
        if (await self._lease.read(k)).get("successor") != self.name:
            return
        flushed = self._flushed[k] = asyncio.get_running_loop().create_future()
        slot = Slot(k, None)
        await self._dial(slot)
        try:
            await asyncio.wait_for(flushed, FLUSH_LIMIT_S)
        except asyncio.TimeoutError:
            await self._log("flush mark late", slot=k)
        slot.fence = await self._redis.call(*self._lease.take_command(k))
        del self._flushed[k]
        if not slot.fence:
            return await slot.ari.close()
        self.slots[k] = slot

        async def taken(call=None):
            await self._redis.call("RPUSH", f"inbox:{giver}", json.dumps({"do": "taken", "slot": k, "call": call}))

        await self._settle(slot, taken)
        await taken()

    async def _do_flushed(self, slot):
        if slot in self._flushed and not self._flushed[slot].done():
            self._flushed[slot].set_result(None)

    async def _do_taken(self, slot, call):
        slot = self.slots.get(slot)
        if slot is None or not slot.given:
            return
        if call is None:
            await self._drop(slot, "handed over")
        elif call in slot.calls:
            self._silence(slot.calls[call])

    async def _replaced(self, slot):
        """Somebody dialled in with our slot's name: stop, and read the lease to learn who was right."""
        slot.acting = False
        lease = await self._lease.read(slot.k)
        if lease.get("owner") != self.name or lease.get("fence") != slot.fence:
            return await self._drop(slot, "replaced by its new owner")
        if lease.get("successor"):
            # Planned: finish the steps whose events we had, mark the slot, keep the tone until we are told.
            await self._steps_done(slot)
            slot.given = True
            asyncio.get_running_loop().call_later(GIVEN_LIMIT_S, self._forget_given, slot)
            await self._lease.note(slot.k, "flushed", 1)
            await self._redis.call("RPUSH", f"inbox:{lease['successor']}", json.dumps({"do": "flushed", "slot": slot.k}))
            return await self._log("flushed", slot=slot.k)
        # A thief: it is still ours. Go back in, later each time, so that two who both think so do not fight at full speed.
        self.counts["stolen"] += 1
        slot.thefts += 1
        for task in slot.set_ups.values():
            task.cancel()  # half made; the look after dialling in makes them whole
        await asyncio.sleep(min(1, 0.02 * 2**slot.thefts) * random.uniform(0.5, 1))
        if not await self._redis.call(*self._lease.renew_command(slot.k)):
            return await self._drop(slot, "lease lost")
        await self._dial(slot)
        slot.acting = True
        await self._settle(slot)
        await self._log("won back", slot=slot.k)

    def _forget_given(self, slot):
        if self.slots.get(slot.k) is slot:
            asyncio.get_running_loop().create_task(self._drop(slot, "given, and never told that it was taken"))

    async def _steps_done(self, slot):
        try:
            await asyncio.wait_for(slot.steps.join(), FLUSH_LIMIT_S / 2)
        except asyncio.TimeoutError:
            await self._log("steps unfinished", slot=slot.k)

    # -- events -----------------------------------------------------------------------------------------------------------

    def _on_event(self, slot, ari, event):
        if ari is not slot.ari:
            return
        if event is None:
            if slot.acting and self.slots.get(slot.k) is slot:
                asyncio.get_running_loop().create_task(self._drop(slot, "socket gone"))
            return
        if event["type"] == "ApplicationReplaced":
            self._tasks.append(asyncio.get_running_loop().create_task(self._replaced(slot)))
            return
        if event["type"] == "ChannelUserevent":
            if slot.proof and slot.proof[0] == event["eventname"] and not slot.proof[1].done():
                slot.proof[1].set_result(None)
            return
        # The start of our own media leg is awaited inside a step, so it must not queue behind one.
        if event["type"] == "StasisStart":
            started = slot.media_started.pop(event["channel"]["id"], None)
            if started and not started.done():
                return started.set_result(None)
        if slot.queued is not None:
            slot.queued.append(event)
        else:
            self._act(slot, event)

    def _act(self, slot, event):
        channel = event.get("channel", {}).get("id", "")
        if channel.startswith("m-") or event["type"] not in ("StasisStart", "StasisEnd", "ChannelDtmfReceived"):
            return
        slot.steps.put_nowait((event["type"], channel, event))

    async def _stepping(self, slot):
        """The slot's events, one after the other; set-ups run beside them, as one call must not wait for another's."""
        while True:
            kind, channel, event = await slot.steps.get()
            try:
                # A giver's last steps are journalled after ApplicationReplaced, under its fence.
                self._tick()
                await self._may_send.wait()
                if self.slots.get(slot.k) is not slot:
                    raise Lost
                if kind == "StasisStart":
                    await self._start(slot, channel, event["channel"])
                elif kind == "StasisEnd":
                    await self._end(slot, channel, "event")
                elif channel in slot.calls:
                    await self._journal(slot, channel, digit=event["digit"], at=event["timestamp"])
            except Lost:
                pass
            finally:
                slot.steps.task_done()

    async def _start(self, slot, channel, heard=None):
        """A new call, heard of by its StasisStart, or found by a look and never heard of."""
        if channel in slot.calls:
            call = slot.calls[channel]
            if heard and call.start_heard:
                self.counts["duplicate_starts"] += 1
            elif heard:
                call.start_heard = True
                await self._journal(slot, channel, heard="after a look had found it")
            return
        heard = heard or self._queued(slot, "StasisStart", channel)
        call = slot.calls[channel] = Call(channel)
        call.start_heard = heard is not None
        try:
            detail = heard or await self._request(slot, "GET", f"channels/{channel}")
        except AriError:
            del slot.calls[channel]  # gone before anybody knew of it
            return
        await self._journal(slot, channel, start="event" if heard else "reconcile", sip=detail["protocol_id"])
        self._set_up(slot, call)

    def _queued(self, slot, kind, channel):
        """Takes an event from those that came while the slot was being set right; returns its channel, or None."""
        for event in slot.queued or ():
            if event["type"] == kind and event["channel"]["id"] == channel:
                slot.queued.remove(event)
                return event["channel"]
        return None

    def _set_up(self, slot, call, old=frozenset(), taken=None):
        task = asyncio.get_running_loop().create_task(self._leg(slot, call, old, taken))
        slot.set_ups[call] = task
        self._tasks.append(task)
        task.add_done_callback(self._on_order_done)
        task.add_done_callback(lambda _: slot.set_ups.pop(call, None))
        return task

    async def _end(self, slot, channel, how):
        call = slot.calls.pop(channel, None)
        if call is None:
            return
        self._silence(call)
        if self._queued(slot, "StasisEnd", channel):
            how = "event"
        await self._journal(slot, channel, keep=False, end=how)
        await self._remove(slot, [f"channels/{call.media}"] if call.media else [], [f"bridges/{call.bridge}"])

    async def _remove(self, slot, *stages):
        for uris in stages:
            for uri in uris:
                try:
                    await self._request(slot, "DELETE", uri)
                except AriError as error:
                    # 409: a bridge that somebody else is just removing.
                    if error.status not in (404, 409):
                        raise

    # -- legs -------------------------------------------------------------------------------------------------------------

    async def _leg(self, slot, call, old, taken):
        """Answered, bridged and with a media leg of ours, from whatever state the call is in; then without the old ones."""
        try:
            await self._leg_steps(slot, call, old, taken)
        except Lost:
            pass
        except AriError as error:
            await self._leg_failed(slot, call, error)

    async def _leg_failed(self, slot, call, error):
        """Mostly the caller went in the middle of it: then its StasisEnd or the next look ends the call. For a moment Asterisk may still tell of
        a channel that is gone to whoever does something with it."""
        try:
            for _ in range(LEG_LOOKS):
                await self._request(slot, "GET", f"channels/{call.channel}")
                await asyncio.sleep(LEG_LOOK_S)
            await self._log("leg failed", slot=slot.k, call=call.channel, why=str(error))
        except (Lost, AriError):
            pass

    async def _leg_steps(self, slot, call, old, taken):
        media = call.media = f"m-{slot.fence}-{call.channel}"
        started = slot.media_started[media] = asyncio.get_running_loop().create_future()
        host, port = self._rtp.getsockname()
        _, bridge, leg = await asyncio.gather(
            self._request(slot, "POST", f"channels/{call.channel}/answer"),
            self._open_bridge(slot, call.bridge),
            self._open_media(slot, media, f"{host}:{port}"),
        )
        if not started.done() and leg["state"] != "there already":
            await self._media_started(slot, call, started)
        wanted = [channel for channel in (call.channel, media) if channel not in bridge["channels"]]
        if wanted:
            await self._request(slot, "POST", f"bridges/{call.bridge}/addChannel", {"channel": ",".join(wanted)})
        place = leg["channelvars"]
        if slot.calls.get(call.channel) is not call:
            return await self._remove(slot, [f"channels/{media}"], [f"bridges/{call.bridge}"])
        call.address = (place["UNICASTRTP_LOCAL_ADDRESS"], int(place["UNICASTRTP_LOCAL_PORT"]))
        self._sources[call.address] = call
        await self._journal(slot, call.channel, media=media)
        if taken:
            await taken(call.channel)
        await self._remove(slot, [f"channels/{leg}" for leg in old - {media}])

    async def _media_started(self, slot, call, started):
        """Waits for the event; when it does not come, asks. A channel that is not in Stasis yet cannot be bridged."""
        for _ in range(10):
            try:
                return await asyncio.wait_for(asyncio.shield(started), MEDIA_START_LIMIT_S)
            except asyncio.TimeoutError:
                channel = await self._request(slot, "GET", f"channels/{call.media}")
                if channel["dialplan"]["app_name"] == "Stasis":
                    return await self._log("media start unheard", slot=slot.k, call=call.channel)

    async def _open_bridge(self, slot, bridge):
        try:
            return await self._request(slot, "POST", f"bridges/{bridge}", {"type": "mixing"})
        except AriError as error:
            if error.status != 409:
                raise
            return await self._request(slot, "GET", f"bridges/{bridge}")

    async def _open_media(self, slot, media, host):
        query = {
            "channelId": media,
            "app": slot.app,
            "external_host": host,
            "format": "ulaw",
            "encapsulation": "rtp",
            "transport": "udp",
            "connection_type": "client",
            "direction": "both",
            "data": "media",
        }
        try:
            return await self._request(slot, "POST", "channels/externalMedia", query)
        except AriError as error:
            if error.status != 500:
                raise
            # The id is in use when an earlier try got through and its answer did not.
            leg = {"state": "there already", "channelvars": {}}
            for name in ("UNICASTRTP_LOCAL_ADDRESS", "UNICASTRTP_LOCAL_PORT"):
                answer = await self._request(slot, "GET", f"channels/{media}/variable", {"variable": name})
                leg["channelvars"][name] = answer["value"]
            return leg

    async def _look(self, slot):
        """What Asterisk has in this slot: SIP channels, our media channels, our bridges."""
        there = await self._request(slot, "GET", f"applications/{slot.app}")
        sip = {channel for channel in there["channel_ids"] if not channel.startswith("m-")}
        return sip, set(there["channel_ids"]) - sip, {bridge for bridge in there["bridge_ids"] if bridge.startswith("b-")}

    async def _reconcile(self, slot, taken=None):
        """On connect: ends what has gone, gives a leg to each call, starts what nobody started, removes the rest."""
        try:
            sip, media, bridges = await self._look(slot)
            known = set(await self._redis.call("SMEMBERS", f"calls:{self._lease.tag(slot.k)}"))
            for channel in known - sip:
                slot.calls.setdefault(channel, Call(channel))
                await self._end(slot, channel, "reconcile")
            work = []
            for channel in sip:
                if channel not in known:
                    await self._start(slot, channel)
                elif channel not in slot.calls or not slot.calls[channel].address:
                    call = slot.calls.setdefault(channel, Call(channel))
                    old = {leg for leg in media if call_of(leg) == channel}
                    work.append(self._set_up(slot, call, old, taken))
            await self._remove(
                slot,
                [f"channels/{leg}" for leg in media if call_of(leg) not in sip],
                [f"bridges/{bridge}" for bridge in bridges if call_of(bridge) not in sip],
            )
            await asyncio.gather(*work, return_exceptions=True)
        except Lost:
            pass

    async def _looking(self):
        """Now and then the same while events flow: only what two looks in a row find wrong is wrong."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            for slot in list(self.slots.values()):
                if slot.queued is None and slot.acting and self._may_send.is_set():
                    try:
                        if not await self._prove(slot) and slot.acting and self.slots.get(slot.k) is slot:
                            await self._log("deaf", slot=slot.k)
                            await self._dial(slot)
                            await self._settle(slot)
                        await self._look_again(slot)
                    except (Lost, AriError):
                        pass

    async def _look_again(self, slot):
        sip, media, bridges = await self._look(slot)
        legs = {call.media for call in slot.calls.values()}
        wrong = {("start", channel) for channel in sip - set(slot.calls)}
        wrong |= {("end", channel) for channel in set(slot.calls) - sip}
        wrong |= {("channels", leg) for leg in media - legs}
        wrong |= {("bridges", bridge) for bridge in bridges if call_of(bridge) not in slot.calls}
        sure, slot.suspects = wrong & slot.suspects, wrong
        for what, name in sorted(sure):
            await self._log("found by a later look", slot=slot.k, wrong=what, name=name)
            if what == "start":
                await self._start(slot, name)
            elif what == "end":
                await self._end(slot, name, "reconcile")
            else:
                await self._remove(slot, [f"{what}/{name}"])

    # -- audio ------------------------------------------------------------------------------------------------------------

    def _on_rtp(self):
        while True:
            try:
                _, source = self._rtp.recvfrom(2048)
            except OSError:
                return
            self.counts["packets" if source in self._sources else "unknown_packets"] += 1

    async def _sending(self):
        due = time.monotonic()
        while True:
            self._tick()
            if self._may_send.is_set():
                for slot in self.slots.values():
                    for call in slot.calls.values():
                        if call.address:
                            self._send_tone(call)
            due = max(due + FRAME_S, time.monotonic() - 5 * FRAME_S)
            await asyncio.sleep(max(0, due - time.monotonic()))

    def _send_tone(self, call):
        call.sequence = (call.sequence + 1) & 0xFFFF
        call.stamp = (call.stamp + 160) & 0xFFFFFFFF
        if self._resumed:
            self._tones_after_pause += 1
        try:
            self._rtp.sendto(struct.pack("!BBHII", 0x80, 0, call.sequence, call.stamp, call.ssrc) + self._tone, call.address)
        except OSError:
            pass

    # -- for the test -----------------------------------------------------------------------------------------------------

    async def _do_steal(self, slots):
        """Dials in without a lease and does nothing; leaves when it is replaced in turn, or after 2 s."""

        async def steal(k):
            gone = asyncio.get_running_loop().create_future()
            seen = []

            def on_event(event):
                seen.append(event and event["type"])
                if (event is None or event["type"] == "ApplicationReplaced") and not gone.done():
                    gone.set_result(None)

            ari = self._ari_of(f"parley-{k}")
            await ari.open(self._session, on_event)
            try:
                await asyncio.wait_for(gone, 2)
            except asyncio.TimeoutError:
                pass
            await ari.close()
            digits = sum(kind == "ChannelDtmfReceived" for kind in seen)
            await self._log("stole", slot=k, replaced="ApplicationReplaced" in seen, digits=digits)

        await asyncio.gather(*(steal(k) for k in slots))

    async def _do_report(self):
        late = [request for request in self._requests if self._resumed and request[0] >= self._resumed]
        await self._log(
            "report",
            slots=sorted(self.slots),
            pauses=self._pauses,
            requests_after_pause=late,
            tones_after_pause=self._tones_after_pause,
            requests=len(self._requests),
            **self.counts,
        )


async def main():
    name, node, redis_path, ari_url, ari_user, hertz = sys.argv[1:]
    password = sys.stdin.readline().strip()
    client = Client(name, node, ari_url, ari_user, password, int(hertz))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sys.exit)
    await client.run(redis_path)


if __name__ == "__main__":
    asyncio.run(main())
