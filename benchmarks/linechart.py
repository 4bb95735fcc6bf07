"""Line charts on logarithmic axes as SVG that need no library and are the same on every machine."""

from collections.abc import Callable, Sequence
from html import escape
from math import ceil, floor, log10

from benchmarks.charts import GRID, OTHERS, OURS, TEXT

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 380, 70, 175, 50, 50
COLOURS = (OURS, OTHERS)


def decades(values: Sequence[float]) -> tuple[int, int]:
    """The exponents of the powers of ten around some positive numbers."""
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    return low, max(high, low + 1)


def axis(bounds: tuple[int, int], start: float, stop: float) -> Callable[[float], float]:
    """From a number to its place between ``start`` and ``stop``."""
    low, high = bounds
    return lambda value: start + (stop - start) * (log10(value) - low) / (high - low)


def lines(
    title: str, x_label: str, y_label: str, x: Sequence[float], series: dict[str, Sequence[float]]
) -> str:
    """A line with dots for each of one or two series; both axes are logarithmic, and y is told in its own unit."""
    all_y = [value for values in series.values() for value in values]
    x_bounds, y_bounds = decades(x), decades(all_y)
    across, up = axis(x_bounds, LEFT, WIDTH - RIGHT), axis(y_bounds, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="13" fill="{TEXT}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="14" y="24" font-weight="bold">{escape(title)}</text>',
    ]
    for exponent in range(x_bounds[0], x_bounds[1] + 1):
        at, foot = across(10.0**exponent), HEIGHT - BOTTOM
        parts += [
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{foot}" stroke="{GRID}"/>',
            f'<text x="{at:.1f}" y="{foot + 18}" text-anchor="middle" font-size="11">{10**exponent:,}</text>',
        ]
    for exponent in range(y_bounds[0], y_bounds[1] + 1):
        at = up(10.0**exponent)
        parts += [
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="{GRID}"/>',
            f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end" font-size="11">{10.0**exponent:g}</text>',
        ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts += [
        f'<text x="{middle:.0f}" y="{HEIGHT - 12}" text-anchor="middle" font-size="11">{escape(x_label)}</text>',
        f'<text x="14" y="{TOP - 10}" font-size="11">{escape(y_label)}</text>',
    ]
    for (name, values), colour in zip(series.items(), COLOURS, strict=False):
        points = [(across(a), up(b)) for a, b in zip(x, values, strict=True)]
        drawn = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in points]
        last_x, last_y = points[-1]
        parts.append(
            f'<text x="{last_x + 10:.1f}" y="{last_y + 4:.1f}" fill="{colour}" font-weight="bold">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])
