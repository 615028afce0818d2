"""A slow line: `python -m tests.faults.delay ONE OTHER` carries every frame between two interfaces, later than it came.

Lines on standard input say how: `delay_s jitter_s duplicates in_order`, for example `0.2 0.1 0.0 1`. Each is repeated on standard
output when it holds. Ends when standard input does. The kernels of small machines often have no netem, which would do the same.
"""

from __future__ import annotations

import heapq
import random
import select
import socket
import sys
import time
from dataclasses import dataclass

# linux/if_packet.h. With the header of virtio, frames that the kernel would cut up and sum up later pass as they are.
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
_ETH_P_ALL = 3
_FRAME_BYTES_MAX = 70_000
# More than any test has on the way. What comes beyond is lost, as on a real line.
_WAITING_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Manner:
    """How frames are carried: `duplicates` is the part of them that comes twice."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    duplicates: float = 0.0
    in_order: bool = True

    def line(self) -> str:
        return f"{self.delay_s} {self.jitter_s} {self.duplicates} {self.in_order:d}\n"

    @classmethod
    def read(cls, line: str) -> Manner:
        delay, jitter, duplicates, in_order = line.split()
        return cls(float(delay), float(jitter), float(duplicates), in_order == "1")


class Line:
    """Both directions."""

    def __init__(self, one: str, other: str) -> None:
        self._ends = (_open(one), _open(other))
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._latest = [0.0, 0.0]
        self._count = 0
        self._chance = random.Random(1)  # noqa: S311
        self.manner = Manner()

    def run(self) -> None:
        while True:
            pause = max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None
            ready, _, _ = select.select([*self._ends, sys.stdin], [], [], pause)
            if sys.stdin in ready:
                line = sys.stdin.readline()
                if not line:
                    return
                self.manner = Manner.read(line)
                sys.stdout.write(line)
                sys.stdout.flush()
            for end in (0, 1):
                if self._ends[end] in ready:
                    self._take(self._ends[end].recv(_FRAME_BYTES_MAX), 1 - end)
            self._send()

    def _take(self, frame: bytes, to: int) -> None:
        for _ in range(2 if self._chance.random() < self.manner.duplicates else 1):
            due = time.monotonic() + self.manner.delay_s + self._chance.uniform(-1, 1) * self.manner.jitter_s
            if self.manner.in_order:
                due = self._latest[to] = max(due, self._latest[to])
            if len(self._waiting) < _WAITING_MAX:
                self._count += 1
                heapq.heappush(self._waiting, (due, self._count, to, frame))

    def _send(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, to, frame = heapq.heappop(self._waiting)
            self._ends[to].send(frame)


def _open(interface: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    end.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    end.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    end.bind((interface, _ETH_P_ALL))
    return end


if __name__ == "__main__":
    Line(sys.argv[1], sys.argv[2]).run()
