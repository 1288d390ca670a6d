"""The command line of the chaos suite."""

import argparse
import asyncio
import logging
import os
import sys
import tempfile
from pathlib import Path

from streaming.telemetry import configure_logs
from tests.chaos.run import Plan, run
from tests.support.containers import why_no_docker


def main() -> int:
    """Run as the command line says. Return 0 if everything held, 1 if not, 2 if it cannot run."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="The system under fire; docs/promises.md."
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events", type=int, default=3_000)
    parser.add_argument("--faults", type=int, default=25)
    parser.add_argument("--minutes", type=float, default=10, help="nothing new begins after that")
    parser.add_argument("--together", type=int, default=4, help="faults at the same time, at most")
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--brokers", type=int, default=1)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--redis", choices=("container", "valkey"), default="container")
    parser.add_argument("--folder", type=Path, help="where logs and the report go")
    options = parser.parse_args()
    is_alone = "TEST_KAFKA_BOOTSTRAP" in os.environ and options.redis == "valkey"
    if not is_alone and (reason := why_no_docker()) is not None:
        print(
            f"The chaos suite needs Docker: {reason}\nWithout it, an empty Kafka that you start: "
            "TEST_KAFKA_BOOTSTRAP=host:port, with --redis valkey. It is left alone then, "
            "only the rest is struck.",
            file=sys.stderr,
        )
        return 2
    configure_logs(logging.ERROR)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it says is that it was struck
    folder = options.folder or Path(tempfile.mkdtemp(prefix="pfdo-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        seed=options.seed,
        events=options.events,
        faults=options.faults,
        minutes=options.minutes,
        together=options.together,
        partitions=options.partitions,
        brokers=options.brokers,
        replicas=options.replicas,
        redis=options.redis,
    )
    report = asyncio.run(run(plan, folder))
    report.write(folder)
    print(report.to_markdown())
    print(f"Logs and report: {folder}")
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
