# SPDX-License-Identifier: Apache-2.0
"""Who owns a slot: one Redis hash each, `slot:{NODE.K}`, gone when its owner has not renewed it for LEASE_S.

    owner      the worker that may act
    fence      grows with each taking, also over a Redis that has forgotten: never below its clock in microseconds
    successor  set by an owner that gives the slot away
    flushed    set by it when its last write is done

Every script touches one tag only, so all of it works on a cluster.
"""
LEASE_S = 3

# ARGV: me, the dead owner whose lease may be taken ('' for none). -> fence, or 0 when it is another's.
TAKE = """
local owner, last, successor = unpack(redis.call('HMGET', KEYS[1], 'owner', 'fence', 'successor'))
if owner and owner ~= ARGV[1] and owner ~= ARGV[2] and successor ~= ARGV[1] then return 0 end
local now = redis.call('TIME')
local fence = math.max((tonumber(last or 0)) + 1, now[1] * 1000000 + now[2])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'fence', string.format('%.0f', fence))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return string.format('%.0f', fence)
"""

# ARGV: me, lease in ms. -> {fence, successor}, or 0 when it is no longer mine.
RENEW = """
local owner, fence, successor = unpack(redis.call('HMGET', KEYS[1], 'owner', 'fence', 'successor'))
if owner ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {fence, successor or ''}
"""

# ARGV: me, field, value: what only the owner may note in its lease. -> 1, or 0 when it is no longer mine.
NOTE = """
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return 1
"""

# KEYS: slot, the call's journal, the slot's index of calls. ARGV: fence, call id, entry, 'keep' or 'forget'.
# -> 1, or 0 when the fence is not the slot's: the writer has lost it and nothing is written.
JOURNAL = """
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 0 end
redis.call('RPUSH', KEYS[2], ARGV[3])
if ARGV[4] == 'forget' then redis.call('SREM', KEYS[3], ARGV[2]) else redis.call('SADD', KEYS[3], ARGV[2]) end
return 1
"""


class Lease:
    def __init__(self, redis, node, me):
        self._redis, self._node, self._me = redis, node, me

    def tag(self, k):
        return f"{{{self._node}.{k}}}"

    def take_command(self, k, dead=""):
        return ("EVAL", TAKE, 1, f"slot:{self.tag(k)}", self._me, dead, LEASE_S * 1000)

    def renew_command(self, k):
        return ("EVAL", RENEW, 1, f"slot:{self.tag(k)}", self._me, LEASE_S * 1000)

    async def note(self, k, field, value):
        return await self._redis.call("EVAL", NOTE, 1, f"slot:{self.tag(k)}", self._me, field, value) == 1

    async def read(self, k):
        fields = await self._redis.call("HGETALL", f"slot:{self.tag(k)}")
        return dict(zip(fields[::2], fields[1::2]))

    async def journal(self, k, fence, call, entry, keep=True):
        """Returns False when the slot has gone to another: nothing was written."""
        tag = self.tag(k)
        return 1 == await self._redis.call(
            "EVAL", JOURNAL, 3, f"slot:{tag}", f"call:{tag}:{call}", f"calls:{tag}", fence, call, entry, "keep" if keep else "forget"
        )
