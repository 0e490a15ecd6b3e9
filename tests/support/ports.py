"""A port for a server that is started a moment later."""

import random
import socket

# Below the range (32768 up, ip(7)) from which the kernel gives ports to outgoing connections: one from there can be
# taken by any connection of another test between the choice and the start.
LOWEST, HIGHEST = 20000, 32000


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    for port in random.sample(range(LOWEST, HIGHEST), 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port on loopback")
