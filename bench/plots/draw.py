#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
"""Draws the documents' pictures from the figures that programs wrote as JSON. Needs matplotlib, 3.6 or newer.

    bench/plots/draw.py                               # bench/results to docs/images: all pictures of the documents
    bench/plots/draw.py replay mine.json mine.svg     # of `replay --compare --json > mine.json`
    bench/plots/draw.py evaluate mine.json mine.svg   # of `evaluate --json mine.json`; mine_cost.svg beside it
    bench/plots/draw.py recall mine.json mine.svg     # of `evaluate --recall ... --json mine.json`
    bench/plots/draw.py grid mine.json mine.svg       # of `attend_grid_bench --benchmark_out=mine.json`

The ending of the picture's name chooses its kind: .svg, .png, .pdf. It is as wide as a page shows it, 830 pixels.
A picture whose labels leave it, or lie over each other, is an error.
"""

import hashlib
import itertools
import json
import math
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, PercentFormatter  # noqa: E402
from matplotlib.transforms import Bbox  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = 830  # pixels
DPI = 96

plt.rcParams.update(
    {
        "font.size": 9.5,
        "axes.titlesize": 10.5,
        "axes.grid": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": "#e4e4e4",
        "legend.frameon": False,
        "savefig.facecolor": "white",
        "svg.hashsalt": "folio",  # the same figures are the same file
    }
)

# Colors that are told apart by colorblind readers, too (Okabe and Ito), and marks for those who print.
POLICIES = {
    "oracle": ("#000000", "x"),
    "adaptive": ("#d55e00", "o"),
    "s3fifo": ("#0072b2", "s"),
    "sieve": ("#5d3a9b", "p"),
    "lru": ("#009e73", "^"),
    "lfu": ("#56b4e9", "v"),
    "slru": ("#cc79a7", "D"),
    "cost_aware": ("#8a6d00", "P"),
    "none": ("#888888", "."),
}


def new_figure(height, rows=1, columns=1):
    """A figure of the page's width, `height` pixels high."""
    return plt.subplots(
        rows, columns, figsize=(PAGE / DPI, height / DPI), dpi=DPI, layout="constrained", squeeze=False
    )


def spread(wanted, gap, highest):
    """Places in the order of `wanted` (ascending) and near it, at least `gap` apart and at most `highest`."""

    def middle(cluster):
        return min(sum(cluster) / len(cluster), highest - gap * (len(cluster) - 1) / 2)

    clusters = []  # each: the places that are wanted, of names that stand one on the other
    for at in wanted:
        clusters.append([at])
        while len(clusters) > 1:
            lower, upper = clusters[-2:]
            if middle(upper) - middle(lower) >= gap * (len(upper) + len(lower)) / 2:
                break
            clusters[-2:] = [lower + upper]
    return [middle(cluster) + gap * (i - (len(cluster) - 1) / 2) for cluster in clusters for i in range(len(cluster))]


def name_ends(axes, ends, pixels=16):
    """Names each of `ends`, (name, color, x, y), to the right of the axes; a thin line leads there."""
    ends = sorted(ends, key=lambda end: end[3])
    heights = [axes.transData.transform((x, y))[1] for _, _, x, y in ends]
    for (name, color, x, y), height, place in zip(ends, heights, spread(heights, pixels, axes.bbox.y1)):
        axes.annotate(
            name,
            (x, y),
            xytext=(26, (place - height) * 72 / axes.figure.dpi),
            textcoords="offset points",
            color=color,
            va="center",
            annotation_clip=False,
            arrowprops=leader(color, 1),
        )


def leader(color, side):
    """The thin line from a name to its point, from the name's left end where it stands on the right (side 1)."""
    return {
        "arrowstyle": "-",
        "color": color,
        "linewidth": 0.6,
        "relpos": (0 if side > 0 else 1, 0.5),
        "shrinkA": 1,
        "shrinkB": 4,
    }


def name_points(axes, points):
    """Names each of `points`, (name, color, x, y), at the nearest place where there is room."""
    points = sorted(points, key=lambda point: point[3])  # from below, so that names lean away from those under them
    renderer = axes.figure.canvas.get_renderer()
    inside = axes.get_window_extent(renderer)
    marks = [axes.transData.transform((x, y)) for _, _, x, y in points]
    taken = [Bbox.from_extents(x - 4, y - 4, x + 4, y + 4) for x, y in marks]
    for (name, color, x, y), mark in zip(points, marks):
        for distance, side, angle in itertools.product(range(7, 90, 3), (1, -1), (0, 0.5, -0.5, 1, -1)):
            label = axes.annotate(
                name,
                (x, y),
                xytext=(side * distance * (1 - abs(angle) / 2) * 0.75, angle * distance * 0.75),
                textcoords="offset points",
                color=color,
                ha="left" if side > 0 else "right",
                va="center",
                arrowprops=leader(color, side) if distance > 10 else None,
            )
            box = text_box(label, renderer)
            free = inside.x0 <= box.x0 and box.x1 <= inside.x1 + 40 and inside.y0 <= box.y0 and box.y1 <= inside.y1
            if free and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            label.remove()
        else:
            raise SystemExit(f"draw.py: there is no room for the name {name}")


def text_box(text, renderer):
    """What the words cover, without the line that leads to them."""
    if isinstance(text, matplotlib.text.Annotation):
        text.update_positions(renderer)
    return matplotlib.text.Text.get_window_extent(text, renderer)


def check_texts(figure):
    """Every text is inside the picture, and none is over another."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    hidden = set()  # marks of an axis beyond its ends, which matplotlib keeps and does not draw
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        hidden.update(t.label1 for t in axis.get_major_ticks() if not low <= t.get_loc() <= high)
    texts = figure.findobj(lambda artist: isinstance(artist, matplotlib.text.Text) and artist not in hidden)
    shown = [text for text in texts if text.get_visible() and text.get_text().strip()]
    boxes = [(t.get_text(), text_box(t, renderer)) for t in shown]
    for text, box in boxes:
        if box.x0 < 0 or box.y0 < 0 or box.x1 > figure.bbox.x1 or box.y1 > figure.bbox.y1:
            raise SystemExit(f'draw.py: "{text}" leaves the picture')
    for (text, box), (other, other_box) in itertools.combinations(boxes, 2):
        if Bbox.intersection(box, other_box) is not None and shrink(box).overlaps(shrink(other_box)):
            raise SystemExit(f'draw.py: "{text}" lies over "{other}"')


def shrink(box):
    return Bbox.from_extents(box.x0 + 1, box.y0 + 2, box.x1 - 1, box.y1 - 2)


def save(figure, path, source):
    """Writes the picture. It names the file of its figures and their digest, which tests/docs/check.cmake compares."""
    check_texts(figure)
    name = source.relative_to(ROOT) if source.is_relative_to(ROOT) else source.name
    facts = f"{name} {hashlib.sha256(source.read_bytes()).hexdigest()}"
    kind = path.suffix
    metadata = {".svg": {"Date": None, "Source": facts}, ".png": {"Source": facts}, ".pdf": {"CreationDate": None}}
    figure.savefig(path, dpi=DPI, metadata=metadata.get(kind))
    if kind == ".svg":  # so that a file is as git wants it
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")
    plt.close(figure)
    print(f"drawn: {path}")


def draw_hits(axes, comparison):
    """Hit rates over capacities. Returns where the lines end."""
    capacities = comparison["capacity_blocks"]
    ends = []
    order = {name: i for i, name in enumerate(POLICIES)}
    for name in sorted(comparison["hit_percent"], key=lambda name: order.get(name, len(order)), reverse=True):
        percents = comparison["hit_percent"][name]
        color, mark = POLICIES.get(name, ("#444444", "*"))
        axes.plot(
            capacities,
            percents,
            color=color,
            marker=mark,
            markersize=4,
            linewidth=2.4 if name == "adaptive" else 1.3,
            linestyle="--" if name == "oracle" else "-",
            label=name,
        )
        ends.append((name, color, capacities[-1], percents[-1]))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(capacities))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{capacity:,}" for capacity in capacities])
    axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    axes.set_ylim(bottom=0)
    return ends


def replay_one(comparison):
    figure, ((axes,),) = new_figure(440)
    ends = draw_hits(axes, comparison)
    axes.set_title(f"{comparison['traffic']}: blocks found, of all looked up", loc="left")
    axes.set_xlabel("capacity in blocks of 512 tokens")
    figure.get_layout_engine().set(rect=(0, 0, 0.9, 1))
    figure.canvas.draw()
    figure.set_layout_engine("none")
    name_ends(axes, ends)
    return figure


def replay_many(comparisons):
    columns = 2
    rows = -(-len(comparisons) // columns)
    figure, grid = new_figure(70 + 235 * rows, rows, columns)
    panels = list(grid.flat)
    for axes, comparison in zip(panels, comparisons):
        draw_hits(axes, comparison)
        axes.set_title(comparison["traffic"], loc="left")
    for axes in panels[len(comparisons) :]:
        figure.delaxes(axes)
    for axes in panels[len(comparisons) - columns : len(comparisons)]:
        axes.set_xlabel("capacity in blocks of 512 tokens")
    lines, names = panels[0].get_legend_handles_labels()
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 30 / (70 + 235 * rows)))  # the legend is above
    figure.legend(lines[::-1], names[::-1], loc="upper center", ncols=len(names), columnspacing=1.2)
    return figure


def draw_replay(source, path):
    results = read(source)
    comparisons = results.get("comparisons", [results])
    save(replay_one(comparisons[0]) if len(comparisons) == 1 else replay_many(comparisons), path, source)


FAMILIES = {
    "floating point": "#0072b2",
    "integers": "#009e73",
    "keys and values apart": "#8a6d00",
    "newest tokens in f16": "#d55e00",
}


def family(name):
    if name.startswith(("mixed_", "tail_", "kivi", "tile_")):
        return "newest tokens in f16"
    if name.startswith("k"):
        return "keys and values apart"
    return "integers" if name.startswith("int") else "floating point"


def set_bits_axis(axes, bits):
    axes.set_xscale("log")
    axes.set_xlim(min(bits) * 0.92, max(bits) * 1.15)
    ticks = [n for n in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 32) if min(bits) * 0.92 <= n <= max(bits) * 1.15]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([str(n) for n in ticks])


def evaluate_divergence(results):
    """The divergence from f32 over the size, both logarithmic."""
    formats = [f for f in results["formats"][1:] if f["kl_mean"] > 0]
    figure, ((axes,),) = new_figure(560)
    for label, color in FAMILIES.items():
        of_family = [f for f in formats if family(f["name"]) == label]
        if of_family:
            axes.scatter(
                [f["bits_per_element"] for f in of_family],
                [f["kl_mean"] for f in of_family],
                s=26,
                color=color,
                label=label,
                zorder=3,
            )
    set_bits_axis(axes, [f["bits_per_element"] for f in formats])
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(f"{results['model']}: divergence from f32, bits for each token", loc="left")
    axes.set_xlabel("bits per element of the cache")
    axes.legend(loc="lower left")
    figure.canvas.draw()
    figure.set_layout_engine("none")
    name_points(
        axes, [(f["name"], FAMILIES[family(f["name"])], f["bits_per_element"], f["kl_mean"]) for f in formats]
    )
    return figure


def evaluate_cost(results):
    """Bits over f32 in percent with its standard error, one line for each format, the largest first."""
    formats = sorted(results["formats"][1:], key=lambda f: f["bits_per_element"])
    figure, ((axes,),) = new_figure(90 + 19 * len(formats))
    reference = results["formats"][0]["bits_per_byte"]
    for at, f in enumerate(formats):
        error = 100 * f["over_f32_standard_error"] / reference
        axes.errorbar(
            f["over_f32_percent"], at, xerr=error, fmt="o", markersize=5, capsize=2.5, color=FAMILIES[family(f["name"])]
        )
    axes.axvline(0, color="#888888", linewidth=1)
    axes.set_xscale("symlog", linthresh=0.1, linscale=1.5)
    ticks = [-0.1, -0.05, 0, 0.05, 0.1, 0.3, 1, 3, 10]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{tick:+g} %" if tick else "f32" for tick in ticks])
    axes.set_yticks(range(len(formats)))
    axes.set_yticklabels([f"{f['name']}  {f['bits_per_element']:.2f}" for f in formats])
    axes.set_ylim(-0.7, len(formats) - 0.3)
    axes.set_title("format, bits per element", loc="left", x=-0.17)
    text = f"bits for the same text over f32 ({results['model']}), with the standard error; linear within 0.1 %"
    axes.set_xlabel(text)
    return figure


def draw_evaluate(source, path):
    results = read(source)
    save(evaluate_divergence(results), path, source)
    save(evaluate_cost(results), path.with_stem(path.stem + "_cost"), source)


PREFILLS = {"exact": ("text computed exactly, then stored", "none"), "stored": ("text read through the format", None)}


def recall(results):
    """How many bits more than with f32 a right answer takes, one line for each format, a panel for each length."""
    rows = [row for run in results.get("runs", [results]) for row in run["recall"]]
    over = {}
    sizes = {}
    for row in rows:
        if row["format"] == "f32":
            reference = row["answer_bits"]  # each run has it first
        else:
            over[row["tokens"], row["prefill"], row["format"]] = row["answer_bits"] - reference
            sizes[row["format"]] = min(row["bits_per_element"], sizes.get(row["format"], 32))
    names = sorted(sizes, key=lambda name: sizes[name])
    lengths = sorted({tokens for tokens, _, _ in over})
    figure, (panels,) = new_figure(120 + 19 * len(names), 1, len(lengths))
    for axes, tokens in zip(panels, lengths):
        for prefill, (_, face) in PREFILLS.items():
            for at, name in enumerate(names):
                if (bits := over.get((tokens, prefill, name))) is not None:
                    color = FAMILIES[family(name)]
                    axes.plot(bits, at, "o", markersize=5, color=color, markerfacecolor=face or color)
        axes.axvline(0, color="#888888", linewidth=1)
        axes.set_xscale("symlog", linthresh=1, linscale=1)
        ticks = [-1, 0, 1, 3, 10, 30, 100]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([f"{tick:+g}" if tick else "f32" for tick in ticks])
        axes.set_xlim(min(-0.5, *over.values()) - 0.2, 1.5 * max(1, *over.values()))
        axes.set_yticks(range(len(names)), names if axes is panels[0] else [""] * len(names))
        axes.set_ylim(-0.7, len(names) - 0.3)
        axes.set_title(f"{tokens:,} tokens", loc="left")
    panels[len(lengths) // 2].set_xlabel("bits that a stated number takes more than with f32")
    marks = [
        plt.Line2D([], [], linestyle="", marker="o", markersize=5, color="#444444", markerfacecolor=face or "#444444")
        for _, face in PREFILLS.values()
    ]
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 30 / (120 + 19 * len(names))))  # the legend is above
    figure.legend(marks, [words for words, _ in PREFILLS.values()], loc="upper center", ncols=2)
    return figure


def draw_recall(source, path):
    save(recall(read(source)), path, source)


GRID_HEADS = 4  # query heads for each kv head, as most models have


def grid_cases(results):
    """The ratio for each element by (query tokens, format, dim, block size), for GRID_HEADS."""
    cases = {}
    for case in results["benchmarks"]:
        _, _, name, dim, heads, queries, block = case["name"].split("/")[:7]
        if heads == f"g{GRID_HEADS}":
            cases[int(queries[1:]), name, int(dim[1:]), int(block[1:])] = case["ratio_per_element"]
    return cases


def grid(results):
    """One panel for each number of query tokens: formats by dims by block sizes, how many times as long as f16."""
    cases = grid_cases(results)
    queries, names, dims, blocks = (list(dict.fromkeys(key[i] for key in cases)) for i in range(4))
    common = [block for block in blocks if (queries[0], names[0], dims[0], block) in cases]
    rows = []  # each: what it is called, its format, its block sizes; a tile is a block of one size
    for name in names:
        of_name = sorted({key[3] for key in cases if key[1] == name})
        rows += [(name, name, common)] if of_name == common else [(f"{name} {b}", name, [b]) for b in of_name]
    figure, panels = new_figure(60 + len(queries) * (58 + 19 * len(rows)), len(queries))
    for axes, tokens in zip(panels.flat, queries):
        draw_grid_panel(axes, rows, dims, common, lambda name, dim, block: cases[tokens, name, dim, block])
        title = f"{tokens} query token{'s' if tokens > 1 else ''}, {GRID_HEADS} query heads for each kv head"
        axes.set_title(title, loc="left", pad=20)
    return figure


def draw_grid_panel(axes, rows, dims, common, ratio):
    axes.grid(False)
    for y, (_, name, blocks) in enumerate(rows):
        width = len(common) / len(blocks)
        for x, (dim, block) in enumerate(itertools.product(dims, blocks)):
            value = ratio(name, dim, block)
            shade = min(1.0, max(0.0, math.log(value / 0.5) / math.log(20 / 0.5)))  # white to 0.5, darkest from 20 on
            color = matplotlib.colormaps["YlOrRd"](shade * 0.85)
            axes.add_patch(plt.Rectangle((x * width, y), width, 1, facecolor=color, edgecolor="white"))
            text = f"{value:.2f}" if value < 9.95 else f"{value:.0f}"
            axes.text((x + 0.5) * width, y + 0.5, text, ha="center", va="center", fontsize=8)
    columns = len(dims) * len(common)
    axes.set_xlim(0, columns)
    axes.set_ylim(len(rows), 0)
    axes.set_yticks([y + 0.5 for y in range(len(rows))], [label for label, _, _ in rows])
    axes.set_xticks([x + 0.5 for x in range(columns)], [str(block) for _ in dims for block in common])
    axes.tick_params(length=0)
    for i, dim in enumerate(dims):
        axes.axvline(i * len(common), color="#444444", linewidth=1)
        axes.text((i + 0.5) * len(common), -0.1, f"head dim {dim}", ha="center", va="bottom")
    axes.set_xlabel("tokens in a block")


def draw_grid(source, path):
    save(grid(read(source)), path, source)


def draw_documents():
    """All pictures of the documents."""
    images = ROOT / "docs/images"
    source = ROOT / "bench/results/replay.json"
    by_name = {comparison["traffic"]: comparison for comparison in read(source)["comparisons"]}
    save(replay_one(by_name.pop("trace")), images / "replay_trace.svg", source)
    save(replay_many(list(by_name.values())), images / "replay_generated.svg", source)
    draw_evaluate(ROOT / "bench/results/evaluate.json", images / "evaluate.svg")
    real = ROOT / "bench/results/evaluate_smollm2.json"
    save(evaluate_divergence(read(real)), images / "evaluate_smollm2.svg", real)
    draw_recall(ROOT / "bench/results/recall_smollm2.json", images / "recall_smollm2.svg")
    draw_grid(ROOT / "bench/results/attend_grid.json", images / "attend_grid.svg")


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main(arguments):
    kinds = {"replay": draw_replay, "evaluate": draw_evaluate, "recall": draw_recall, "grid": draw_grid}
    if not arguments:
        draw_documents()
    elif len(arguments) == 3 and arguments[0] in kinds:
        kinds[arguments[0]](pathlib.Path(arguments[1]).resolve(), pathlib.Path(arguments[2]))
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
