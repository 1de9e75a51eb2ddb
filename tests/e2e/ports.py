# SPDX-License-Identifier: Apache-2.0
"""Ports for what a test starts."""
import random
import socket


def free_ports(count):
    """Ports free for TCP and UDP, above those the system gives to clients and those of the audio."""
    found = []
    first = random.randrange(61000, 64000)
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
