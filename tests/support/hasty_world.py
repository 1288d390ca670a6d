"""A world whose services do not wait until all is said."""

from collections.abc import Mapping, Sequence
from typing import Any

from streaming.bus import Appended
from tests.support.world import World


class HastyWorld(World):
    """A world whose services work while a segment is still being published."""

    async def publish(self, *events: Mapping[str, Any]) -> Sequence[Appended]:
        """Publish one event after the other, and let somebody do something in between.

        Return where each stands; of a day, which stands in each partition, the first place.
        """
        appended: list[Appended] = []
        for event in events:
            appended += (await super().publish(event))[:1]
            for _ in range(self.random.randrange(3)):
                name = self.random.choice([*self.services])
                await self.step(name, self.random.randrange(self.partitions))
        return appended
