"""What a pacer knows of the machine, and whom it tells: sensors, joules, the board for monitors."""

from __future__ import annotations

from dataclasses import dataclass, field

from lapwing.power.governor.observation import Observation
from lapwing.power.pacing.joules import Joules
from lapwing.power.pacing.look import Look
from lapwing.power.pacing.status import Board, Status
from lapwing.power.sensors.discovery import Sensors, discover
from lapwing.power.sensors.load import OtherLoad


@dataclass
class Senses:
    """Of one machine, or of a copy of its files."""

    sensors: Sensors
    eyes: Look
    joules: Joules
    board: Board = field(default_factory=Board)
    last: Observation | None = None
    looks: int = 0

    @classmethod
    def of_this_machine(cls) -> Senses:
        """Looks for every sensor, once."""
        return cls.of(discover())

    @classmethod
    def of(cls, sensors: Sensors) -> Senses:
        """With what was found."""
        others = OtherLoad(sensors.tree)
        joules = Joules(sensors.energy_source(), sensors.why_not("energy"))
        return cls(sensors, Look(sensors, others.read), joules)

    def look(self) -> Observation:
        """Reads what the governor needs."""
        self.last = self.eyes.now(self.joules.tick)
        return self.last

    def park(self) -> None:
        """Nobody will look for a while."""
        self.joules.park()
        self.board.withdraw()

    def tell(self, status: Status) -> None:
        """Monitors, at every other look: that costs as much as a look."""
        self.looks += 1
        if self.looks % 2:
            self.board.publish(status)

    def power_source(self) -> tuple[str | None, str]:
        """`mains` or `battery`; None, and why."""
        if self.last is None or self.last.on_battery is None:
            return None, self.sensors.why_not("plugged")
        return ("battery" if self.last.on_battery else "mains"), ""
