# SPDX-License-Identifier: Apache-2.0
"""A SIP phone that hears: Python's standard library only, so that it runs wherever the platform does.

    phone = await Phone.open("127.0.0.2")                     # the address a trunk is known by
    call = phone.dial("+15550100", ("127.0.0.1", 5060), "+12025550123")
    await call.reached("up", 30)
    await call.ears.prompt_ended(after=call.answered_at, pause_s=1, limit_s=30)
    await call.press("1")
    if await call.far_side_spoke(time.monotonic()):           # its next prompt has ended
        await call.say("I have a large flat roof")            # in the voice of espeak-ng
    await call.reached("ended", 60)

message   SIP messages as text               audio   mu-law, WAV, resampling, the caller's voice (espeak-ng)
sip       Phone and Call: who calls whom     rtp     the audio of one call: sends each 20 ms, keeps what it hears
ears      when somebody on the other side spoke, and for how long

All times are seconds of time.monotonic(). One event loop; nothing here is thread safe.
"""
from .ears import Ears  # noqa: F401
from .sip import Call, Phone  # noqa: F401
