"""Where a series is heading: robust trend, seasons taken out, and the time at which a limit is reached.

Pure: numbers in, `Outlook` out. numpy and scipy are loaded where something is computed, which is in workers only.
"""

from knowledge.forecasts.model import Breach, Outlook, Point
from knowledge.forecasts.outlook import look_ahead
from knowledge.forecasts.recurrence import Recurrence, next_time

__all__ = ["Breach", "Outlook", "Point", "Recurrence", "look_ahead", "next_time"]
