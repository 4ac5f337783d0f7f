"""Turns the rows of a table into inputs and labels, and finds the rows that cannot be used."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any, NamedTuple

from ...errors import InvalidInputError, InvalidTypeError
from ...targets import Spellings, check_not_multi_hot, is_missing
from ...targets.labels import check_no_spreadsheet_error, labels_in
from ...wording import counted
from ..modalities import SOURCE, TEXT, kind_of_inputs
from ..options import schema_of
from ..output import progress_bar, say
from . import hints
from .columns import TARGET
from .rows import Row, Table

MOST_LISTED = 5
"""Number of skipped rows that a message names."""


class Examples(NamedTuple):
    """The inputs and labels of the rows that can be used.

    Attributes:
        inputs: texts, or paths as the table has them.
        labels: for each input its label: a name, a tuple of names with several labels, or a list of numbers for
            regression; of pairs the target. Empty if no labels were asked for.
        numbers: the row numbers, counted from 1 over all files.
    """

    inputs: list[str]
    labels: list[Any]
    numbers: list[int]


def inputs_of(table: Table, skip_bad_rows: bool) -> Examples:
    """The inputs of a table.

    Raises:
        InvalidInputError: a row has none, and bad rows are not skipped; the message names the row.
    """
    examples = _examples(table, None, skip_bad_rows)
    hints.say_paths(table, examples.inputs)
    hints.say_words_for_nothing(table, lambda cell: ())
    return examples


def examples_of(table: Table, problem_type: str, skip_bad_rows: bool) -> Examples:
    """The inputs of a table and their labels, spelled by `mann_hf.targets`.

    In a cell of text several labels, or several numbers, have `|` between them, or are a list as Python writes it.

    Raises:
        InvalidInputError: a row has no input or no label of this problem type, and bad rows are not skipped; the
            message names the row.
    """
    schema, known = schema_of(problem_type), Spellings()
    if schema.several:
        table = _taken_apart(table)
        _check_not_multi_hot(table)
    spell = lambda cell: schema.spell_cell(cell, lambda part: _name(part, known))  # noqa: E731
    examples = _examples(table, spell, skip_bad_rows, as_many=not schema.named)
    hints.say_paths(table, examples.inputs)
    if not schema.named:
        hints.say_words_for_nothing(table, lambda cell: ())
    else:
        _say_hints(table, examples, schema.several, known)
    return examples


def pairs_of(table: Table, skip_bad_rows: bool) -> Examples:
    """The sources of a table, and as labels their targets.

    Raises:
        InvalidInputError: a row lacks one of them, and bad rows are not skipped; the message names the row.
    """
    pairs = _examples(table, lambda cell: _input(cell, TARGET), skip_bad_rows)
    hints.say_words_for_nothing(table, lambda cell: (cell,))
    return pairs


def _say_hints(table: Table, examples: Examples, several: bool, known: Spellings) -> None:
    """Prints hints on labels that may not be what was meant."""

    def parts(cell: Any) -> Sequence[Any]:
        return (cell,) if not several else cell if isinstance(cell, list) else ()

    def spell(label: str) -> str | None:
        with suppress(InvalidInputError):
            return _name(label, known)
        return None

    labels = [name for each in examples.labels for name in each] if several else examples.labels
    hints.say_spelling(table, parts, spell, several)
    hints.say_words_for_nothing(table, parts)
    hints.say_swapped(table, examples.inputs, examples.labels)
    hints.say_separators(table, examples.labels, several)
    hints.say_alike(table, labels)
    hints.say_total(table, examples.inputs, examples.labels)
    hints.say_numbers(table, labels)
    if several and (empty := sum(not each for each in examples.labels)):
        count = counted(empty, f"{table.kind} has", f"{table.kind}s have")
        say(f"{table.source}: {count} no label, which tells against every label.")


def _examples(table: Table, spell: Callable[[Any], Any] | None, skip_bad_rows: bool, as_many: bool = False) -> Examples:
    """The rows that can be used, as inputs and, where `spell` makes them of cells, labels.

    With `as_many`, all labels must be lists of the same length.
    """
    bad = list(table.bad)
    before = _rows_before(table)
    good: list[tuple[int, str, Any]] = []
    width: int | None = None
    for row in table.rows:
        column = table.columns[0]
        try:
            text = _input(row.cells[0], table.kind)
            label = None
            if spell is not None:
                column = table.columns[1]
                label = spell(row.cells[1])
                if as_many:
                    width = width or len(label)
                    if len(label) != width:
                        raise InvalidInputError(
                            f"{len(label)} numbers, where the first row has {width}; give each row as many"
                        )
            good.append((before[row.file] + row.number, text, label))
        except (InvalidInputError, InvalidTypeError) as error:
            bad.append(row._replace(problem=f"column {column!r}: {error}"))
    if bad:
        if not skip_bad_rows:  # the error tells the number of all
            bad += _unreadable(table, [(number, given) for number, given, _ in good])
        bad.sort(key=lambda row: (row.file, row.number))
        _skip(table, bad, len(good), skip_bad_rows)
    numbers, inputs, labels = zip(*good, strict=True)
    return Examples(list(inputs), list(labels) if spell is not None else [], list(numbers))


def rows_of(table: Table, examples: Examples, column: str) -> list[dict[str, Any]]:
    """For each input its row: the cells by their columns, in the order of a table that was read with all of them."""
    by_number, place = _by_number(table), table.input_place
    rows = []
    for given, number in zip(examples.inputs, examples.numbers, strict=True):
        others = list(zip(table.columns[1:], by_number[number].cells[1:], strict=False))
        rows.append(dict([*others[:place], (column, given), *others[place:]]))
    return rows


def checked(
    table: Table, examples: Examples, check: Callable[[Any], list[Any]], skip_bad_rows: bool
) -> tuple[Examples, list[Any]]:
    """Looks at each input as a classifier will: images are opened, one by one, and their paths are kept.

    Returns:
        The examples that are left, and their inputs as `check` gives them, of the classifier's processor.

    Raises:
        InvalidInputError: an input cannot be used, and is not skipped; the message names the row.
    """
    if table.kind in (TEXT, SOURCE):  # of which all was looked at
        return examples, examples.inputs
    by_number, good, bad = _by_number(table), [], []
    with progress_bar("Reading", len(examples.inputs)) as advance:
        for place, number in enumerate(examples.numbers):
            try:
                good.append((place, *check(table.located(examples.inputs[place]))))
            except (InvalidInputError, InvalidTypeError) as error:
                bad.append(_refused(table, by_number[number], error))
            if advance is not None:
                advance(1)
    if bad:
        _skip(table, bad, len(good), skip_bad_rows)
    places = [place for place, _ in good]
    left = [[part[place] for place in places] if part else [] for part in examples]
    return Examples(*left), [found for _, found in good]


def _unreadable(table: Table, given: list[tuple[int, str]]) -> list[Row]:
    """The rows whose files cannot be read, of rows by their numbers and paths; none where cells are no paths."""
    if (check := kind_of_inputs(table.kind).check) is None:
        return []
    by_number, bad = _by_number(table), []
    for number, path in given:
        try:
            check(table.located(path))
        except (InvalidInputError, InvalidTypeError) as error:
            bad.append(_refused(table, by_number[number], error))
    return bad


def _refused(table: Table, row: Row, error: Exception) -> Row:
    """A row whose input is refused."""
    return row._replace(problem=f"column {table.columns[0]!r}: {str(error).rstrip('.')}")


def _by_number(table: Table) -> dict[int, Row]:
    """The rows by their numbers over all files."""
    before = _rows_before(table)
    return {before[row.file] + row.number: row for row in table.rows}


def _rows_before(table: Table) -> dict[str, int]:
    """For each file of a folder the number of rows in the files before it."""
    lengths: dict[str, int] = {}
    for file, number in ((row.file, row.number) for rows in (table.rows, table.bad) for row in rows):
        lengths[file] = max(lengths.get(file, 0), number)
    files = sorted(lengths)
    return {file: sum(lengths[each] for each in files[:place]) for place, file in enumerate(files)}


def _skip(table: Table, bad: list[Row], good: int, skip_bad_rows: bool) -> None:
    """Prints which rows are skipped, or raises an error that names the first."""
    reasons = [
        f"{row.place}{' ' if row.problem.startswith(('has ', 'is ')) else ', '}{row.problem}"
        for row in bad[:MOST_LISTED]
    ]
    if not skip_bad_rows:
        more = "" if len(bad) == 1 else f" ({counted(len(bad) - 1, 'more row is', 'more rows are')} wrong)"
        raise InvalidInputError(
            f"{table.source}: {reasons[0]}{more}; mend or remove such rows, or skip them with --skip-bad-rows."
        )
    left = "" if len(bad) <= MOST_LISTED else f"; and {len(bad) - MOST_LISTED:,} more"
    listing = f"{table.source}: skipped {len(bad):,} of {counted(len(bad) + good, 'row')}: {'; '.join(reasons)}{left}."
    if not good:
        raise InvalidInputError(f"{listing} No row is left.")
    say(listing)


def _input(cell: Any, kind: str) -> str:
    """The text or path in a cell."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)) or (isinstance(cell, str) and not cell.strip()):
        raise InvalidInputError(f"no {kind}")
    if isinstance(cell, (int, float)):
        return repr(cell)  # as in csv, where numbers are texts
    if not isinstance(cell, str):
        are_files = kind != TARGET and kind_of_inputs(kind).are_files
        said = "a cell" if are_files else repr(cell)  # which may hold a whole picture
        raise InvalidInputError(f"{said} is no {'path' if are_files else kind} but of type {type(cell).__name__}")
    check_no_spreadsheet_error(cell)
    _check_no_nul(cell, kind)
    try:
        cell.encode()
    except UnicodeEncodeError as error:
        if "\udc80" <= cell[error.start] <= "\udcff":
            raise InvalidInputError(f"the {kind} holds bytes that are no UTF-8") from None
        raise InvalidInputError(f"the {kind} holds half a surrogate pair, which is no letter") from None
    return cell


def _check_no_nul(cell: str, kind: str) -> None:
    if "\0" in cell:
        raise InvalidInputError(
            f"the {kind} holds a NUL byte (is the file damaged, or its encoding another? --encoding names it)"
        )


def _name(cell: Any, known: Spellings) -> str:
    if type(cell) is str and cell in known:
        return known[cell]
    if is_missing(cell):
        raise InvalidInputError("no label")
    if isinstance(cell, (float, Decimal)) and math.isfinite(cell) and cell != int(cell):
        cell = str(cell)  # as in csv, where numbers are texts
    if isinstance(cell, str):
        _check_no_nul(cell, "label")
    try:
        return known.of(cell)
    except (InvalidInputError, InvalidTypeError) as error:
        option = " (--multi-label)" if "multi_label_classification" in str(error) else ""
        raise InvalidInputError(f"{error}{option}") from None


def _taken_apart(table: Table) -> Table:
    """The table with each cell of labels as a list, if it can be taken apart."""
    rows = []
    for row in table.rows:
        with suppress(InvalidInputError):  # reported when the row is converted
            row = row._replace(cells=(row.cells[0], labels_in(row.cells[1]), *row.cells[2:]))
        rows.append(row)
    return table._replace(rows=rows)


def _check_not_multi_hot(table: Table) -> None:
    try:
        check_not_multi_hot([row.cells[1] for row in table.rows])
    except InvalidInputError as error:
        raise InvalidInputError(f"{table.source}: column {table.columns[1]!r}: {error}") from None
