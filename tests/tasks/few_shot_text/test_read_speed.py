import sys

import pytest
import torch

from mann_hf.errors import MissingExtraError
from tasks.few_shot_text import read_speed
from tasks.few_shot_text.read_speed import check_same, read_over_faiss


def test_one_ratio_a_slot_count_with_the_threads_left_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    faiss = pytest.importorskip("faiss")
    monkeypatch.setattr(read_speed, "SECONDS", 0.0)
    threads = faiss.omp_get_max_threads()
    ratios = read_over_faiss(slot_counts=(40, 300), k=5, batch=3)
    assert list(ratios) == ["40", "300"]
    assert all(ratio > 0 for ratio in ratios.values())
    assert faiss.omp_get_max_threads() == threads


def test_ratio_is_the_seconds_of_faiss_over_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(read_speed, "_alternate", lambda ours, theirs, queries: (2.0, 3.0))
    assert read_over_faiss(slot_counts=(40,), k=5, batch=3) == {"40": 1.5}


def test_a_search_that_finds_other_slots_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(read_speed, "nearest", lambda keys, queries, k: (-queries @ keys.T).topk(k))
    with pytest.raises(RuntimeError, match="found different slots"):
        read_over_faiss(slot_counts=(40,), k=5, batch=3)


def test_equal_scores_may_change_places_and_others_may_not() -> None:
    keys, queries = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.5, 0.0]]), torch.tensor([[1.0, 1.0]])
    check_same(keys, queries, torch.tensor([[0, 1]]), torch.tensor([[1, 0]]))
    with pytest.raises(RuntimeError, match="differ by 5.0e-01"):
        check_same(keys, queries, torch.tensor([[0, 1]]), torch.tensor([[0, 2]]))
    with pytest.raises(RuntimeError, match="twice"):
        check_same(keys, queries, torch.tensor([[0, 1]]), torch.tensor([[1, 1]]))


def test_without_faiss_the_error_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mann_hf\[faiss\]'"):
        read_over_faiss()
