# SPDX-License-Identifier: Apache-2.0
"""What a caller hears, reduced to one question: is somebody speaking?"""
import asyncio
import time

from .audio import level

LOUD = 150  # mean size of the samples of 20 ms; noise of a quiet line is below 40
FRAME_S = 0.02
PART_S = 0.5  # a shorter pause is a breath inside one prompt


class Ears:
    def __init__(self):
        self.first = None  # when the first packet came
        self.last = None
        self._loud = []  # when each loud frame came, in order

    def hear(self, when, codes):
        self.first = self.first or when
        self.last = when
        if level(codes) >= LOUD:
            self._loud.append(when)

    def prompts(self, part_s=PART_S):
        """[(start, end)] of all that was heard, parted by pauses of part_s or longer."""
        found = []
        for when in self._loud:
            if found and when - found[-1][1] < part_s:
                found[-1][1] = when + FRAME_S
            else:
                found.append([when, when + FRAME_S])
        # A click is no prompt.
        return [(start, end) for start, end in found if end - start >= 0.1]

    async def prompt_goes_on(self, after, for_s, limit_s):
        """Waits until a prompt that began after that moment, or was heard then, has been heard for so long. False: not within the limit."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            if any(end - max(start, after) >= for_s for start, end in self.prompts()):
                return True
            await asyncio.sleep(0.02)
        return False

    async def prompt_ended(self, after, pause_s, limit_s):
        """Waits until something was heard after that moment and it has been quiet for pause_s since. False: not within the limit."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            heard = [prompt for prompt in self.prompts(pause_s) if prompt[1] > after]
            if heard and time.monotonic() - heard[-1][1] >= pause_s:
                return True
            await asyncio.sleep(0.05)
        return False
