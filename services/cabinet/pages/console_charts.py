"""Where the parts of the console's pictures stand. Pure; the templates draw them as SVG.

Every picture says the same in words, and its numbers stand beside it in a table or a list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

WIDTH = 1000
HEIGHT = 300
PART_MIN = 12
"""Every part that holds anything is seen, however small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a bar: its colour by name, its words, its sum."""

    name: str
    label: str
    kopecks: int
    x: int = 0
    width: int = 0


def stacked(parts: Sequence[tuple[str, str, int]]) -> list[Part]:
    """Return the parts of a bar, side by side, by name, label and sum.

    They fill `WIDTH` exactly; parts of nothing are left out.
    """
    told = [each for each in parts if each[2] > 0]
    total = sum(kopecks for _, _, kopecks in told)
    placed: list[Part] = []
    x, left, before = 0, len(told), 0
    for name, label, kopecks in told:
        left -= 1
        before += kopecks
        end = max(WIDTH * before // total, x + PART_MIN)
        end = min(end, WIDTH - left * PART_MIN) if left else WIDTH
        placed.append(Part(name=name, label=label, kopecks=kopecks, x=x, width=end - x))
        x = end
    return placed


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How something grew day by day towards a ceiling. Points are `x,y` pairs of SVG.

    `line` is what was, `area` the same down to the ground, `ahead` what is to be expected.
    """

    line: str
    area: str
    ahead: str
    ceiling_y: int
    today_x: int


def growth(
    steps: Mapping[date, int],
    begins: date,
    ends: date,
    today: date,
    ceiling: int,
    ahead: tuple[date, int] | None,
) -> Growth:
    """Return the picture of a sum that grows by `steps` on their days, up to today.

    `ahead` is a day and what the sum will be then.
    """
    days = max(1, (ends - begins).days)
    top = max(ceiling, sum(max(0, step) for step in steps.values()), 1)

    def x_of(day: date) -> int:
        return WIDTH * min(days, max(0, (day - begins).days)) // days

    def y_of(number: int) -> int:
        # A tenth of the height stays free above the ceiling.
        return HEIGHT - HEIGHT * 9 * number // (10 * top)

    points = [(0, y_of(0))]
    number = 0
    for day, step in sorted(steps.items()):
        if day > today:
            break
        points.append((x_of(day), y_of(number)))
        number += step
        points.append((x_of(day), y_of(number)))
    now = (x_of(today), y_of(number))
    points.append(now)
    expected = [now, (x_of(ahead[0]), y_of(ahead[1]))] if ahead is not None else []
    return Growth(
        line=_pairs(points),
        area=_pairs([*points, (now[0], HEIGHT), (0, HEIGHT)]),
        ahead=_pairs(expected),
        ceiling_y=y_of(ceiling),
        today_x=now[0],
    )


def _pairs(points: Sequence[tuple[int, int]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What a week spent; a week that gave back more than it spent stands at the ground."""

    monday: date
    kopecks: int
    x: int
    y: int
    width: int
    height: int


def weeks(spent: Mapping[date, int], begins: date, ends: date) -> list[Bar]:
    """Return a bar for each week from `begins` to `ends`, by what its days spent."""
    first = begins - timedelta(days=begins.weekday())
    number = (ends - first).days // 7 + 1
    sums = dict.fromkeys(range(number), 0)
    for day, kopecks in spent.items():
        week = (day - first).days // 7
        sums[min(max(week, 0), number - 1)] += kopecks
    top = max([*sums.values(), 1])
    bars = []
    for week, kopecks in sums.items():
        x = WIDTH * week // number
        height = HEIGHT * max(0, kopecks) // top
        if kopecks > 0:
            height = max(height, 4)
        bars.append(
            Bar(
                monday=first + timedelta(days=7 * week),
                kopecks=kopecks,
                x=x,
                y=HEIGHT - height,
                width=max(2, WIDTH * (week + 1) // number - x - 3),
                height=height,
            )
        )
    return bars
