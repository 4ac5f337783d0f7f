"""The tables, from the result files: python -m tasks.translation.render writes them into the page that shows them."""

from collections.abc import Sequence
from pathlib import Path

from tasks.common.pages import ABSENT, table
from tasks.common.seeds import over_seeds
from tasks.common.task_pages import Results, render_page

RESULTS = Path(__file__).with_name("results")
PAGE = Path(__file__).with_name("README.md")
SEARCHES = {"beam": "beam search", "greedy": "greedy"}
MIXTURES = {"fixed": "fixed λ", "predicted": "predicted λ"}


def whole(files: Results) -> str:
    """BLEU and chrF of the test part."""
    own = [file for file in files if file["kind"] == "whole"]
    rows = []
    for how, title in (("alone", "model alone"), ("memory", "with the training pairs in memory")):
        for search, words in SEARCHES.items():
            cells = [file[how][search] for file in own if search in file[how]]
            figures = ([cell[metric] for cell in cells] for metric in ("bleu", "chrf"))
            rows.append([f"{title}, {words}", *map(over_seeds, figures)])
    return table(["test_2016_flickr", "BLEU", "chrF"], rows)


def words(files: Results) -> str:
    """Held-out words, by the number of pairs that teach each."""
    own = [file for file in files if file["kind"] == "words"]
    rows = []
    for mixture, title in MIXTURES.items():
        counts = sorted({count for file in own for count in file["mixtures"][mixture]["words"]}, key=int)
        for search, name in SEARCHES.items():
            for count in counts:
                cells = [file["mixtures"][mixture]["words"][count] for file in own]
                found = [cell[search] for cell in cells if search in cell]
                figures = (
                    [cell["accuracy"] for cell in found],
                    [cell["bleu_of_others"] for cell in found],
                    [cell["test"]["bleu"] for cell in found],
                )
                shown = f"0, {name}" if count == "0" else f"{count}, {title}, {name}"
                rows.append([shown, *map(over_seeds, figures)])
    return table(["pairs a word", "word produced, %", "BLEU, word masked", "BLEU of the test part"], rows)


def speed(files: Results) -> str:
    """Time of generation over that of the wrapped model."""
    found = []
    for file in (file for file in files if file["kind"] == "speed"):
        for entries, ratio in file["generate_over_wrapped"].items():
            how = file["by_entries"][entries]
            neighbours, chunk, parameters = how["neighbours"], how["chunk_size"], how["parameters"]
            shown = [f"{parameters / 1e6:.1f} M", f"{int(entries):,}", how["store"]]
            shown += [ABSENT if neighbours is None else str(neighbours), str(chunk)]
            shown += [f"{ratio:.2f}", f"{file['peak_memory_mib']:.0f}"]
            found.append(((-parameters, neighbours is None, -chunk, int(entries)), shown))
    rows = [shown for _, shown in sorted(found)]
    header = ["wrapped model", "entries", "store", "neighbours", "chunk", "time over wrapped", "peak memory, MiB"]
    return table(header, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    render_page(arguments, __doc__ or "", (whole, words, speed), RESULTS, PAGE, "tasks.translation.render")


if __name__ == "__main__":
    main()
