import torch

from mann_hf.persistent.pairs import PairMemory
from mann_hf.persistent.pairs.merging import merged_pairs
from tests.taught_pairs import E, K, encoded, marked, some_pairs, taught


def counts(memory: PairMemory) -> dict[str | None, int]:
    return {entry.source: entry.count for entry in memory.entries}


def test_both_changes_are_in_what_was_put_together() -> None:
    before = taught(some_pairs(6))
    by_number = [before.pair(number).id for number in range(6)]
    mine, _ = before.forget(by_number[:2]).remember(encoded([*some_pairs(6)[4:], ("mine", "new"), ("both", "new")]))
    theirs, _ = before.forget([by_number[3]]).remember(encoded([some_pairs(6)[5], ("both", "new"), ("theirs", "new")]))
    together = merged_pairs(before, mine, theirs)
    wanted = {"source 2": 1, "source 4": 2, "source 5": 3, "both": 2, "theirs": 1, "mine": 1}
    assert counts(together) == wanted
    keys = torch.cat([each.token_keys for each in together.segments if each.token_keys is not None])
    assert len(keys) == together.num_tokens
    assert counts(merged_pairs(before, before, theirs)) == counts(theirs)
    assert counts(merged_pairs(before, mine, before)) == counts(mine)


def test_of_one_who_has_forgotten_everything() -> None:
    before = taught(some_pairs(3))
    mine, _ = before.remember(encoded([("mine", "new")]))
    together = merged_pairs(before, mine, before.forget(before.ids))
    assert counts(together) == {"mine": 1} and together.encoder_name == "someone/model"
    assert len(merged_pairs(before, before.forget(before.ids), before)) == 0
    empty = marked(PairMemory.empty("token", K, E))
    assert counts(merged_pairs(empty, mine, empty)) == counts(mine)
