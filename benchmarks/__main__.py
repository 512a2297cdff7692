"""Run the measurements, print them, keep them as JSON: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.common import seconds
from benchmarks.measurements import MEASUREMENTS
from benchmarks.sizes import SIZES
from faiglib.system import provenance
from faiglib.system.files import write_text_atomic

#: Longer tables are kept but not printed.
MOST_ROWS = 40


def lines(values: Mapping[str, Any], indent: str = "  ") -> Iterator[str]:
    """A result as text: numbers one a line, rows as a table."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield f"{indent}{name}"
            yield from lines(value, indent + "  ")
        elif isinstance(value, list) and len(value) > MOST_ROWS:
            yield f"{indent}{name:<22} {len(value)} rows, in the JSON"
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            cells = [[shown(one) for one in row.values()] for row in value]
            titles = list(value[0])
            widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
            for row in (titles, *cells):
                yield indent + "  ".join(f"{one:<{width}}" for one, width in zip(row, widths, strict=True)).rstrip()
        else:
            yield f"{indent}{name:<22} {shown(value)}"


def shown(value: object) -> str:
    """A value in few characters."""
    return format(value, ".4g") if isinstance(value, float) else str(value)


def main() -> None:
    """Run the chosen measurements."""
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="full", help="quick takes a minute, full about ten")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, help="some of the measurements")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="where the JSON goes")
    parser.add_argument("--note", default="", help="a sentence that belongs to the record, such as what else ran")
    options = parser.parse_args()
    size = SIZES[options.size]
    content: dict[str, Any] = {
        "size": options.size,
        "note": options.note,
        "settings": dataclasses.asdict(size),
        "results": {},
        "seconds": {},
        "made_on": provenance.collect("cpu"),
    }
    results = content["results"]
    for name in tqdm(options.only or list(MEASUREMENTS), desc="bench"):
        taken = seconds(lambda name=name: results.update({name: MEASUREMENTS[name](size)}), warm_up=False)
        content["seconds"][name] = taken
        tqdm.write("\n".join((f"\n{name} ({taken:.0f} s)", *lines(results[name]))))
        write_text_atomic(options.out, json.dumps(content, indent=1) + "\n")
    print(f"\nWritten to {options.out}")


if __name__ == "__main__":
    main()
