"""Where a program writes: its container's own layer, or a claim's volume that outlives it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Volume:
    """A claim's data; every pod that mounts the claim sees the same. Sizes in bytes; capacity 0: unknown, endless."""

    used_bytes: float = 0.0
    capacity_bytes: float = 0.0


@dataclass(slots=True)
class Disk:
    """Writes go to the claim if there is one, else to ephemeral storage, which ends with the container."""

    ephemeral_bytes: float = 0.0
    #: of the machine, shared by all on it; 0: unknown, endless
    ephemeral_room_bytes: float = 0.0
    volume: Volume | None = None

    def write(self, amount: float) -> None:
        if self.volume is not None:
            capacity = self.volume.capacity_bytes
            used = self.volume.used_bytes + amount
            self.volume.used_bytes = min(used, capacity) if capacity else used
        elif not self.ephemeral_room_bytes or self.ephemeral_bytes < self.ephemeral_room_bytes:
            self.ephemeral_bytes += amount

    @property
    def full(self) -> bool:
        if self.volume is not None:
            return 0 < self.volume.capacity_bytes <= self.volume.used_bytes
        return 0 < self.ephemeral_room_bytes <= self.ephemeral_bytes
