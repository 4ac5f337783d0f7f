"""Searches of a whole memory of tokens, and steps that go on from what an earlier one found."""

from typing import Any

import pytest
import torch

import mann_hf
from mann_hf.errors import InvalidInputError
from mann_hf.models.token_retrieval import TokenRetrieval
from mann_hf.persistent.pairs import EncodedPairs, PairSearch
from tests.tiny_seq2seq import SOURCES, TARGETS, batch_of, save_tiny, word_tokenizer

MODES: dict[str, dict[str, Any]] = {"greedy": {}, "beams": {"num_beams": 4}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return save_tiny("bart", tmp_path_factory.mktemp("bart"))


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many queries each search of all tokens had."""
    counts: list[int] = []
    own = PairSearch.nearest_tokens

    def counted(self: PairSearch, queries: torch.Tensor, k: int) -> Any:
        counts.append(len(queries))
        return own(self, queries, k)

    monkeypatch.setattr(PairSearch, "nearest_tokens", counted)
    return counts


def taught(folder: Any, **fields: Any) -> Any:
    given = {"interpolation": 0.95, "neighbours": None, **fields}
    model = mann_hf.MANNForConditionalGeneration.from_seq2seq_pretrained(folder, **given)
    model.remember_texts(word_tokenizer(), SOURCES, TARGETS)
    return model


def generated(model: Any, **settings: Any) -> list[str]:
    ids = model.generate(**batch_of(SOURCES), max_new_tokens=12, **settings)
    return word_tokenizer().batch_decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chunk_size", [1, 3])
def test_pointers_that_go_on_spare_searches_and_change_nothing_that_is_said(
    folder: Any, searches: list[int], mode: str, chunk_size: int
) -> None:
    assert generated(taught(folder, chunk_size=chunk_size), **MODES[mode]) == TARGETS
    before = sum(searches)
    searches.clear()
    assert generated(taught(folder, chunk_size=chunk_size, min_knns=1), **MODES[mode]) == TARGETS
    assert 0 < sum(searches) < before
    if mode == "greedy":
        assert searches == [len(SOURCES)], "one search for the first tokens, and nothing but pointers behind it"


def test_it_is_searched_again_where_too_few_go_on(folder: Any, searches: list[int]) -> None:
    counts = []
    for fewest in (1, 4, 8, None):
        searches.clear()
        assert generated(taught(folder, nearest=8, min_knns=fewest)) == TARGETS
        counts.append(sum(searches))
    assert counts[0] < counts[1] <= counts[2] <= counts[3]


def test_evidence_names_the_pair_behind_each_token(folder: Any, searches: list[int]) -> None:
    model, inputs = taught(folder, min_knns=1), batch_of(SOURCES)
    sequences = model.generate(**inputs, max_new_tokens=12)
    searches.clear()
    found = model.explain(sequences, **inputs)
    assert searches == [len(SOURCES)], "as it was generated"
    for row, target in enumerate(TARGETS):
        length = len(target.split()) + 1
        assert found.pairs[row, :length, 0].tolist() == [row] * length
        assert found.positions[row, :length, 0].tolist() == list(range(length))


@pytest.fixture(scope="module")
def model(folder: Any) -> Any:
    """With three pairs of five tokens, of which no two keys are alike."""
    fields: dict[str, Any] = {"neighbours": None, "nearest": 1, "min_knns": 1, "source_weight": 0.0}
    model = mann_hf.MANNForConditionalGeneration.from_seq2seq_pretrained(folder, **fields)
    model.remember(
        EncodedPairs(
            source_keys=torch.eye(3, 32),
            tokens=torch.arange(4, 19),
            lengths=torch.full((3,), 5),
            token_keys=torch.eye(15, 32),
            log_probabilities=-torch.arange(15.0),
            source_tokens=[[4], [5], [6]],
        )
    )
    return model


class TestSteps:
    """Two sequences of one source, each with the very states of a stored pair."""

    def retrieval(self, model: Any) -> tuple[TokenRetrieval, Any]:
        search = model.ready_search()
        return model.generation_memory.retrieval(search.source_keys[:1], search, model.spreads()), search

    def step(self, made: tuple[TokenRetrieval, Any], step: int, slots: list[int], previous: list[int]) -> list[int]:
        """The slots that are retrieved for states that are those of some slots."""
        retrieval, search = made
        states = search.window(torch.tensor(slots)[:, None], 1).keys.float()
        logits = torch.zeros(*states.shape[:2], 8)
        found = retrieval(states, logits, torch.zeros(2, dtype=torch.long), step, torch.tensor(previous))
        return found.slots[:, 0, 0].tolist()

    def test_beams_may_change_places(self, model: Any, searches: list[int]) -> None:
        made = self.retrieval(model)
        first, second = made[1].starts[:2].tolist()
        one, other = made[1].tokens_at(torch.tensor([first, second])).tolist()
        assert self.step(made, 0, [first, second], [0, 0]) == [first, second]
        assert self.step(made, 1, [second + 1, first + 1], [other, one]) == [second + 1, first + 1]
        assert searches == [2]

    def test_both_may_go_on_from_one(self, model: Any, searches: list[int]) -> None:
        made = self.retrieval(model)
        first, second = made[1].starts[:2].tolist()
        one = int(made[1].tokens_at(torch.tensor([first])))
        self.step(made, 0, [first, second], [0, 0])
        assert self.step(made, 1, [first + 1, first + 1], [one, one]) == [first + 1] * 2
        assert searches == [2]

    @pytest.mark.parametrize("previous", ["another token", "another step"])
    def test_it_is_searched_where_one_cannot_go_on(self, model: Any, searches: list[int], previous: str) -> None:
        made = self.retrieval(model)
        first, second, third = made[1].starts[:3].tolist()
        said = made[1].tokens_at(torch.tensor([first, second])).tolist()
        self.step(made, 0, [first, second], [0, 0])
        if previous == "another token":
            said[0] = 20
        step = 2 if previous == "another step" else 1
        assert self.step(made, step, [third, second + 1], said) == [third, second + 1]
        assert searches == [2, 2]

    def test_nothing_goes_on_into_another_pair(self, model: Any, searches: list[int]) -> None:
        made = self.retrieval(model)
        second = int(made[1].starts[1])
        end = int(made[1].tokens_at(torch.tensor([second - 1])))
        self.step(made, 0, [second - 1] * 2, [0, 0])
        assert self.step(made, 1, [second] * 2, [end] * 2) == [second] * 2
        assert searches == [2, 2]

    def test_what_is_complete_needs_no_search(self, model: Any, searches: list[int]) -> None:
        made = self.retrieval(model)
        last, config = int(made[1].starts[1]) - 1, model.config.encoder_config
        self.step(made, 0, [last, last], [0, 0])
        states = made[1].window(torch.tensor([[last]] * 2), 1).keys.float()
        for step, token in ((1, config.eos_token_id), (2, config.pad_token_id)):
            found = made[0](
                states, torch.zeros(2, 1, 8), torch.zeros(2, dtype=torch.long), step, torch.tensor([token] * 2)
            )
            assert not found.shares.any()
        assert searches == [2]

    def test_a_new_sequence_begins_with_a_search(self, model: Any, searches: list[int]) -> None:
        made = self.retrieval(model)
        first, second = made[1].starts[:2].tolist()
        for _ in range(2):
            assert self.step(made, 0, [first, second], [0, 0]) == [first, second]
        assert searches == [2, 2]


@pytest.mark.parametrize("neighbours", [None, 2, 3])
@pytest.mark.parametrize("rows", [[0, 0, 1, 1], [1, 0, 0, 1]], ids=["beams", "in any order"])
def test_shares_follow_from_states_and_sources(folder: Any, neighbours: int | None, rows: list[int]) -> None:
    fields: dict[str, Any] = {"nearest": 4, "sharpness": 2.0, "source_weight": 0.5, "key_dtype": "float32"}
    model: Any = mann_hf.MANNForConditionalGeneration.from_seq2seq_pretrained(
        folder, interpolation=0.6, neighbours=neighbours, **fields
    )
    draw = torch.Generator().manual_seed(0)
    unit = lambda *size: torch.nn.functional.normalize(torch.randn(*size, generator=draw), dim=-1)  # noqa: E731
    sources, keys, asked, states = unit(3, 32), unit(9, 32), unit(2, 32), unit(4, 2, 32)
    tokens, lengths = torch.randint(4, 20, (9,), generator=draw), torch.tensor([4, 2, 3])
    model.remember(
        EncodedPairs(sources, tokens, lengths, keys, torch.zeros(len(tokens)), source_tokens=[[4], [5], [6]])
    )
    spreads = (0.8, 0.5)
    retrieval = model.generation_memory.retrieval(asked, model.ready_search(), spreads)
    found = retrieval(3 * states, torch.zeros(*states.shape[:2], 8), torch.tensor(rows))
    pair_of = torch.arange(3).repeat_interleave(lengths)
    for sequence, row in enumerate(rows):
        compared = (sources @ asked[row]).topk(neighbours or 3).indices.tolist()
        for step in range(2):
            scores = {
                slot: 1
                - (1 - float(keys[slot] @ states[sequence, step])) / spreads[0]
                - 0.5 * (1 - float(sources[pair_of[slot]] @ asked[row])) / spreads[1]
                for slot in range(9)
                if int(pair_of[slot]) in compared
            }
            best = sorted(scores, key=scores.__getitem__, reverse=True)[:4]
            weights = torch.tensor([2.0 * scores[slot] for slot in best]).softmax(0)
            assert found.slots[sequence, step].tolist() == best
            assert found.tokens[sequence, step].tolist() == tokens[best].tolist()
            torch.testing.assert_close(found.shares[sequence, step], 0.6 * weights, atol=1e-5, rtol=1e-4)


def test_more_than_are_used_cannot_go_on(folder: Any) -> None:
    with pytest.raises(InvalidInputError, match="min_knns is 9; give at most nearest \\(8\\)"):
        mann_hf.MANNForConditionalGeneration.from_seq2seq_pretrained(folder, nearest=8, min_knns=9)
