"""The holder of a memory of pairs: what was prepared is shared with branches, and follows what is written."""

import copy

import torch

from mann_hf.persistent.pairs import PairHolder
from tests.taught_pairs import E, encoded, some_pairs, taught, vector


def nearest(holder: PairHolder, source: str) -> str | None:
    search = holder.search("exact")
    _, numbers = search.nearest_pairs(vector(source, E)[None], 1)
    return search.memory.pair(int(numbers[0, 0])).source


def test_what_was_prepared_is_kept_until_the_memory_changes() -> None:
    holder = PairHolder(taught(some_pairs(5)))
    first = holder.search("exact")
    assert holder.search("exact") is first
    holder.update(lambda memory: memory.remember(encoded([("new", "pair")])))
    assert holder.search("exact") is not first and nearest(holder, "new") == "new"


def test_a_branch_begins_with_what_was_prepared_and_goes_its_own_way() -> None:
    holder = PairHolder(taught(some_pairs(5)))
    assert holder.branch().search("exact").memory is holder.memory
    prepared = holder.search("exact")
    branch = holder.branch()
    assert branch.search("exact") is prepared
    branch.update(lambda memory: memory.remember(encoded([("new", "pair")])))
    assert nearest(branch, "new") == "new" and nearest(holder, "new") != "new"
    assert holder.search("exact") is prepared and len(branch.memory) == 6
    _, numbers = prepared.nearest_pairs(torch.stack([vector(source, E) for source, _ in some_pairs(5)]), 1)
    assert numbers.flatten().tolist() == list(range(5))


def test_a_copy_holds_the_same_memory() -> None:
    holder = PairHolder(taught(some_pairs(3)))
    assert copy.deepcopy(holder).memory.same_contents(holder.memory)
