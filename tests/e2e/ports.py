# SPDX-License-Identifier: Apache-2.0
"""Ports for what a test starts."""
import os
import random
import socket

# Of the processes of pytest-xdist that run tests side by side: 0 to 3; 0 where there is only this one.
LANE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
# The first of the 10000 ports of a lane's stack; one that runs alone may be given another.
RTP_BASE = (20000, 10000, 44000, 30000)[LANE] if "PYTEST_XDIST_WORKER" in os.environ else int(os.environ.get("PARLEY_RTP_BASE", 20000))


def free_ports(count):
    """Ports free for TCP and UDP, above those the system gives to clients and those of the audio."""
    found = []
    first = 61000 + 900 * LANE + random.randrange(800)
    for port in range(first, 65000):
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as s:
                    s.bind(("127.0.0.1", port))
            found.append(str(port))
        except OSError:
            continue
        if len(found) == count:
            return found
    raise RuntimeError("no free ports above 61000")
