"""The results of a measurement, and their Markdown."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

MIB = 1024**2
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the result: figures with units, formatted for readers."""

    what: str
    ours: str
    others: str
    ratio: str
    target: str
    met: bool | None = None
    """None without a target or without a measurement."""


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of one subject, and notes on how to read them."""

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    detail: str = ""
    """Return the section as Markdown with its own table."""

    def markdown(self) -> str:
        lines = [f"## {self.title}", ""]
        if self.rows:
            body = [
                (row.what, row.ours, row.others, row.ratio, row.target, {True: "yes", False: "no", None: ""}[row.met])
                for row in self.rows
            ]
            lines += [markdown_table(("", "dropbox-api", "peers", "ratio", "target", "met"), body), ""]
        if self.detail:
            lines += [self.detail, ""]
        lines += [f"- {note}" for note in self.notes]
        return "\n".join(lines).rstrip() + "\n"


def markdown_table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def ms(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.0995 else f"{seconds * 1e3:.1f} ms"


def s(seconds: float) -> str:
    return f"{seconds:.2f} s"


def mib(size_bytes: float) -> str:
    return f"{size_bytes / MIB:.0f} MiB" if size_bytes >= 10 * MIB else f"{size_bytes / MIB:.1f} MiB"


def times(ratio: float) -> str:
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.0f}x"


def fastest(by_tool: dict[str, list[float]], *, but: str) -> tuple[str, float]:
    """Return the tool with the smallest median, other than `but`, and that median."""
    medians = {tool: median(values) for tool, values in by_tool.items() if tool != but and values}
    best = min(medians, key=lambda tool: medians[tool])
    return best, medians[best]


def interleaved(runs: int, works: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Call each work once a round, starting with another one each round; return its figures."""
    found: dict[str, list[float]] = {name: [] for name in works}
    names = list(works)
    for round_ in range(runs):
        for at in range(len(names)):
            name = names[(round_ + at) % len(names)]
            found[name].append(works[name]())
    return found
