"""Who takes part in the demo, and the configuration that this makes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import cycle, islice, pairwise
from typing import TYPE_CHECKING, Final

import hotplug
from hotplug_demo._needs import BROKER_PLUGIN, STRATEGY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplug.market import Bar

__all__ = ["BROKER", "MOST_USERS", "Player", "config_for", "players"]

BROKER: Final = "demo"

NAMES: Final = (
    *("ada", "grace", "alan", "barbara", "edsger", "donald", "frances", "dennis"),
    *("hedy", "ken", "kathleen", "linus", "margaret", "niklaus", "radia", "tony"),
)
MOST_USERS: Final = len(NAMES)

AVERAGES: Final = ((20, 50), (10, 30), (5, 20), (50, 100), (15, 45), (30, 90), (8, 21), (12, 26))

# A demonstration starts nothing that it does not show: services and hooks of strangers stay out.
# And it ends by itself, in under 20 s even if a plugin hangs: hence the short time-outs.
CONFIG: Final = f"""
[host]
load_timeout = 5
drain_timeout = 2

[plugins]
disable = ["services/*", "hooks/*"]

[brokers.{BROKER}]
plugin = "{BROKER_PLUGIN}"
connect = true
settings = {{ cash = "100000", fee_rate = "0.0005" }}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """One user: what the agent is asked, and how the user's own strategy is set."""

    context: hotplug.UserExecutionContext
    question: Mapping[str, str]
    settings: Mapping[str, int]

    @property
    def user(self) -> str:
        """The user's name, which is the account's as well."""
        return self.context.user_id

    @property
    def key(self) -> str:
        """The key that the user's strategy stands under."""
        return f"demo-{self.user}"


def players(count: int, strategy: str, bars: Sequence[Bar]) -> tuple[Player, ...]:
    """
    The first *count* users. Each asks about another stretch of *bars*.

    The demo's own strategy is set differently for each; of another one the settings are not known.
    """
    borders = [bars[place * (len(bars) - 1) // count].time.date() for place in range(count + 1)]
    stretches = [{"start": str(start), "end": str(end)} for start, end in pairwise(borders)]
    settings = [{"fast": fast, "slow": slow} if strategy == STRATEGY else {} for fast, slow in AVERAGES]
    return tuple(
        Player(
            context=hotplug.UserExecutionContext(name, thread_id=f"demo of {name}"),
            question={"symbol": bars[0].symbol, **stretch},
            settings=own,
        )
        for name, stretch, own in zip(NAMES, stretches, islice(cycle(settings), count), strict=False)
    )


def config_for(cast: Sequence[Player], strategy: str) -> hotplug.Config:
    """A connected paper broker for all, and a strategy for each."""
    name = json.dumps(strategy, ensure_ascii=False)
    tables = [
        f"[strategies.{player.key}]\nplugin = {name}\nsettings = {_inline(player.settings)}\n"
        for player in cast
    ]
    return hotplug.Config.parse("\n".join([CONFIG, *tables]), source="hotplug demo")


def _inline(settings: Mapping[str, int]) -> str:
    return "{ " + ", ".join(f"{name} = {value}" for name, value in settings.items()) + " }"
