"""Charts as SVG that need no library and are the same on every machine."""

from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT, LINE, HEAD, FOOT = 860, 170, 185, 26, 40, 34
OURS, OTHERS, GRID, TEXT = "#b4541a", "#4a6f94", "#e2e2e2", "#222222"


@dataclass(frozen=True)
class Panel:
    """Named numbers on one axis, each with a note beside it; smaller ones are better."""

    title: str
    points: list[tuple[str, float, str]]


def ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers from below ``low`` to above ``high``."""
    step = 10.0 ** (len(f"{int(1 / (high - low))}") * -1)
    for factor in (1, 2, 5, 10, 20, 50):
        first, last = int(low / (step * factor)), int(high / (step * factor)) + 1
        if last - first <= 5:
            return [round(i * step * factor, 6) for i in range(first, last + 1)]
    return [low, high]


def dots(panels: list[Panel], ours: str) -> str:
    """A dot for each point, one panel below the other; names that begin with ``ours`` stand out."""
    height = sum(HEAD + FOOT + LINE * len(panel.points) for panel in panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="13" fill="{TEXT}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    top = 0
    for panel in panels:
        parts += _panel(panel, top, ours)
        top += HEAD + FOOT + LINE * len(panel.points)
    return "\n".join([*parts, "</svg>\n"])


def _panel(panel: Panel, top: int, ours: str) -> list[str]:
    numbers = [number for _, number, _ in panel.points]
    marks = ticks(min(numbers), max(numbers))
    bottom = top + HEAD + LINE * len(panel.points)

    def x(number: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (number - marks[0]) / (marks[-1] - marks[0])

    parts = [f'<text x="14" y="{top + 24}" font-weight="bold">{escape(panel.title)}</text>']
    for mark in marks:
        parts += [
            f'<line x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="{top + HEAD - 4}" y2="{bottom}" stroke="{GRID}"/>',
            f'<text x="{x(mark):.1f}" y="{bottom + 17}" text-anchor="middle" font-size="11">{mark:g}</text>',
        ]
    for i, (name, number, note) in enumerate(panel.points):
        y, mine = top + HEAD + LINE * i + LINE // 2, name.startswith(ours)
        weight, colour = ("bold", OURS) if mine else ("normal", OTHERS)
        parts += [
            f'<text x="{LEFT - 14}" y="{y + 4}" text-anchor="end" font-weight="{weight}">{escape(name)}</text>',
            f'<line x1="{LEFT}" x2="{x(number):.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="1.5" '
            'stroke-dasharray="2 3"/>',
            f'<circle cx="{x(number):.1f}" cy="{y}" r="6" fill="{colour}"/>',
            f'<text x="{WIDTH - 12}" y="{y + 4}" text-anchor="end" font-size="11">{number:.4g} · {escape(note)}</text>',
        ]
    return parts
