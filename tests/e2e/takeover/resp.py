# SPDX-License-Identifier: Apache-2.0
"""As much of Redis' protocol as these tests need: commands, pipelines and scripts over one UNIX socket."""
import asyncio


class RedisError(Exception):
    pass


class Redis:
    """Calls may overlap: answers come in the order of the commands. A blocking command needs a connection of its own."""

    def __init__(self):
        self._waiting = asyncio.Queue()

    @classmethod
    async def open(cls, path):
        self = cls()
        self._reader, self._writer = await asyncio.open_unix_connection(path)
        self._task = asyncio.get_running_loop().create_task(self._read())
        return self

    async def _read(self):
        while True:
            answer = await self._value()
            waiting = self._waiting.get_nowait()
            if not waiting.done():
                waiting.set_result(answer)

    async def _value(self):
        line = (await self._reader.readuntil(b"\r\n"))[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            if rest == b"-1":
                return None
            return (await self._reader.readexactly(int(rest) + 2))[:-2].decode()
        return None if rest == b"-1" else [await self._value() for _ in range(int(rest))]

    async def many(self, commands):
        """One pipeline; returns the answers in order."""
        loop = asyncio.get_running_loop()
        answers, data = [], bytearray()
        for command in commands:
            words = [word if isinstance(word, bytes) else str(word).encode() for word in command]
            data += b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
            answers.append(loop.create_future())
            self._waiting.put_nowait(answers[-1])
        self._writer.write(data)
        results = await asyncio.gather(*answers)
        for result in results:
            if isinstance(result, RedisError):
                raise result
        return results

    async def call(self, *command):
        return (await self.many([command]))[0]

    async def close(self):
        self._task.cancel()
        self._writer.close()
