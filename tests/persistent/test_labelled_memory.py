import pytest
import torch

from mann_hf.errors import InvalidInputError, NotInMemoryError
from mann_hf.memory import EVICTIONS
from mann_hf.memory.reading import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from mann_hf.persistent.entries import LARGEST_ID, Example, Label, content_id, label_words, name_id
from mann_hf.persistent.labelled_memory import LabelledMemory
from mann_hf.persistent.refusals import examples_of
from tests.same_memory import same_memory


def keys(*numbers: float, size: int = 4) -> torch.Tensor:
    """A key for each number, the same for the same number."""
    return torch.stack([torch.sin(torch.arange(1, size + 1) * (number + 1)) for number in numbers])


def taught(*pairs: tuple[str, Label], kinds: list | None = None, **kwargs: object) -> tuple[LabelledMemory, list[int]]:
    """A memory of texts and labels; the key of a text follows from its first letter."""
    memory = LabelledMemory.empty(4, **kwargs)  # type: ignore[arg-type]
    texts = [text for text, _ in pairs]
    return memory.remember(
        keys(*(ord(text[0]) for text in texts)),
        list(map(Example, [label for _, label in pairs], texts, kinds or ["example"] * len(pairs))),
        {name: keys(len(name))[0] for _, label in pairs for name in ([label] if isinstance(label, str) else [])},
    )


@pytest.mark.parametrize(
    "label, words",
    [
        ("card_arrival", "card arrival"),
        ("card-arrival", "card arrival"),
        ("BookFlight", "book flight"),
        ("bookFlight", "book flight"),
        ("HTTPServerError", "http server error"),
        ("iPhone14Pro", "i phone14 pro"),
        ("alarm/set", "alarm set"),
        ("ENTY:animal", "enty animal"),
        ("  many   spaces ", "many spaces"),
        ("überweisung_fällig", "überweisung fällig"),
        ("カード", "カード"),
        ("3", None),
        ("3.5", None),
        ("-1", None),
        ("__", None),
        ("A", None),
        ("q1", None),
        ("no", "no"),
    ],
)
def test_words_of_a_label(label: str, words: str | None) -> None:
    assert label_words(label) == words


def test_labels_count_in_the_order_of_their_first_entry() -> None:
    memory, _ = taught(("a", "y"), ("b", "x"), ("c", "y"), ("d", "z"))
    assert memory.labels == ("y", "x", "z")
    assert memory.state.values[0].tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_forgetting_the_first_entry_of_a_label_moves_the_label() -> None:
    memory, ids = taught(("a", "y"), ("b", "x"), ("c", "y"))
    after = memory.forget([ids[0]])
    assert after.labels == ("x", "y")
    assert after.state.values[0].tolist() == [[1, 0], [0, 1]]
    assert memory.labels == ("y", "x"), "the memory that was asked has changed"


def test_ids_follow_from_what_is_stored() -> None:
    first, ids = taught(("a", "x"), ("b", "y"))
    again, other = taught(("c", "z"), ("b", "y"), ("a", "x"))
    assert [ids[1], ids[0]] == other[1:]
    assert all(0 <= id_ <= LARGEST_ID for id_ in [*ids, *other])
    assert len({*ids, other[0], content_id("description", "a", "x"), content_id("example", "a", "y")}) == 5
    assert len(first) == 2 and len(again) == 3


def test_ids_without_texts_follow_from_the_keys() -> None:
    memory = LabelledMemory.empty(4)
    one, ids = memory.remember(keys(1, 2), list(map(Example, ["x", "x"], [None, None])))
    two, other = memory.remember(keys(2), [Example("x", None)])
    assert ids[1] == other[0] and ids[0] != ids[1]
    assert one.entries[0].text is None and len(two) == 1


@pytest.mark.parametrize("at_once", [True, False])
def test_an_example_that_comes_again_counts_again(at_once: bool) -> None:
    if at_once:
        memory, ids = taught(("a", "x"), ("b", "y"), ("a", "x"), ("a", "x"))
    else:
        memory, ids = taught(("a", "x"), ("b", "y"))
        for _ in range(2):
            memory, new = memory.remember(keys(ord("a")), [Example("x", "a")])
            ids += new
    assert [entry.text for entry in memory.entries] == ["a", "b"]
    assert memory.state.write_count[0].tolist() == [3, 1]
    assert ids[0] == ids[2] == ids[3] == content_id("example", "a", "x")
    never, _ = taught(("b", "y"))
    left = memory.forget([ids[0]])
    assert left.entries == never.entries
    for field, other in zip(left.state, never.state, strict=True):
        assert torch.equal(field, other)


def test_an_example_that_was_evicted_within_the_call_is_not_counted_again() -> None:
    memory = LabelledMemory.empty(4, capacity=1, eviction="oldest")
    rows = torch.cat([keys(1), keys(2), keys(1)])
    memory, ids = memory.remember(rows, list(map(Example, ["x", "y", "x"], ["a", "b", "a"])))
    assert [entry.text for entry in memory.entries] == ["b"] and ids[0] == ids[2]
    assert memory.state.write_count.tolist() == [[1]]


def test_texts_that_look_alike_in_parts_have_different_ids() -> None:
    assert content_id("example", "a", "b\x1fc") != content_id("example", "a\x1f'b", "c")
    assert content_id("example", "a", "1") != content_id("example", "a", (1.0,))
    assert content_id("example", "a", ("x", "y")) != content_id("example", "a", "('x', 'y')")


def test_words_live_as_long_as_their_label_has_an_example() -> None:
    memory, ids = taught(("a", "red"), ("b", "blue"), ("c", "red"))
    assert memory.named_labels == ("red", "blue")
    memory = memory.forget([ids[0]])
    assert set(memory.named_labels) == {"red", "blue"}
    memory = memory.forget([ids[2]])
    assert memory.named_labels == ("blue",) and memory.names.keys() == {"blue"}
    assert memory.reading_state.slots == 2


def test_words_of_a_label_with_a_description_alone_are_not_read() -> None:
    memory, ids = taught(("a", "red"), ("b", "red"), kinds=["description", "example"])
    assert memory.named_labels == ("red",)
    only_described = memory.forget([ids[1]])
    assert only_described.named_labels == ()
    assert only_described.reading_state.slots == 1
    fresh, _ = LabelledMemory.empty(4).remember(keys(ord("a")), [Example("red", "a", "description")])
    assert only_described.names.keys() == fresh.names.keys() == set()


@pytest.mark.parametrize("order", [("description", "example"), ("example", "description")])
@pytest.mark.parametrize("store_texts", [True, False])
@pytest.mark.parametrize("several", [False, True])
def test_words_that_a_description_says_are_read_once(order: tuple[str, str], store_texts: bool, several: bool) -> None:
    label: Label = ("lost_card",) if several else "lost_card"
    kinds = {"description": Example(label, "lost card", "description"), "example": Example(label, "where is it?")}
    words, problem_type = {"lost_card": keys(7)[0]}, MULTI_LABEL if several else SINGLE_LABEL
    memory, ids = LabelledMemory.empty(4, problem_type), {}
    for kind in order:
        key = keys(7 if kind == "description" else 1)
        memory, (ids[kind],) = memory.remember(key, [kinds[kind]], words if kind == "example" else {}, store_texts)
    assert int(memory.reading_state.mask.sum()) == 2 and memory.named_labels == ()
    assert memory.names.keys() == {"lost_card"}
    without, _ = LabelledMemory.empty(4, problem_type).remember(keys(1), [kinds["example"]], words, store_texts)
    left = memory.forget([ids["description"]])
    same_memory(left, without)
    assert left.named_labels == ("lost_card",) and int(left.reading_state.mask.sum()) == 2


def test_another_description_counts_beside_the_words() -> None:
    memory, _ = taught(("stolen", "lost_card"), ("b", "lost_card"), kinds=["description", "example"])
    assert memory.named_labels == ("lost_card",) and memory.reading_state.slots == 3


def test_entries_and_slots_agree() -> None:
    memory, _ = taught(("a", "red"), ("b", "blue"), ("c", "red"), kinds=["example", "description", "example"])
    state = memory.reading_state
    assert [entry.id for entry in memory.all_entries] == state.ids[0].tolist()
    assert [entry.kind for entry in memory.all_entries] == ["example", "description", "example", "name"]
    assert memory.examples.tolist() == [True, False, True, False]
    assert [slots.tolist() for slots in memory.slots_of(range(len(memory.labels)))] == [[0, 2, 3], [1]]
    assert memory.all_entries[3].text == "red"


def test_the_id_of_words_is_refused_with_the_reason() -> None:
    memory, _ = taught(("a", "lost_card"))
    with pytest.raises(NotInMemoryError, match="'lost_card', which goes with its last example") as told:
        memory.forget([name_id("lost_card")])
    assert told.value.missing == [name_id("lost_card")]


def test_forgetting_what_is_not_there() -> None:
    memory, ids = taught(("a", "x"), ("b", "y"))
    with pytest.raises(NotInMemoryError, match="no 17, 18|no 18, 17") as told:
        memory.forget([ids[0], 17, 18])
    assert set(told.value.missing) == {17, 18}
    with pytest.raises(NotInMemoryError, match="'z'.*'x', 'y'"):
        memory.forget(label="z")
    with pytest.raises(NotInMemoryError, match="'z'"):
        memory.forget([ids[0]], label="z")
    with pytest.raises(InvalidInputError, match="ids=.*label="):
        memory.forget()
    assert len(memory) == 2


def test_forgetting_many_labels_names_a_few() -> None:
    memory, _ = taught(*((letter, f"label {letter}") for letter in "abcdefghijkl"))
    with pytest.raises(NotInMemoryError, match="'label h' and 4 more"):
        memory.forget(label="none")


def test_forgetting_by_ids_and_label_at_once() -> None:
    memory, ids = taught(("a", "x"), ("b", "y"), ("c", "x"), ("d", "z"))
    assert [entry.text for entry in memory.forget([ids[1]], "x").entries] == ["d"]
    assert memory.forget([ids[1], ids[1]]).labels == ("x", "z")
    assert memory.forget([]).entries == memory.entries


def test_several_labels_an_entry() -> None:
    memory, ids = taught(("a", ("x", "y")), ("b", ("z",)), problem_type=MULTI_LABEL)
    assert memory.labels == ("x", "y", "z")
    assert memory.state.values[0].tolist() == [[1, 1, 0], [0, 0, 1]]
    assert [slots.tolist() for slots in memory.slots_of(range(len(memory.labels)))] == [[0], [0], [1]]
    assert memory.forget(label="y").labels == ("z",)
    assert len(ids) == 2


def test_numbers_for_regression() -> None:
    memory, ids = taught(("a", (1.5,)), ("b", (-2.0,)), problem_type=REGRESSION, value_size=1)
    assert memory.labels == ()
    assert LabelledMemory.empty(4).labels == ()
    assert memory.state.values[0].tolist() == [[1.5], [-2.0]]
    assert memory.forget([ids[0]]).state.values[0].tolist() == [[-2.0]]
    with pytest.raises(NotInMemoryError, match="numbers cannot be forgotten as labels; give ids"):
        memory.forget(label="1.5")


@pytest.mark.parametrize(
    "key", [torch.full((1, 4), float("nan")), torch.full((1, 4), float("inf")), torch.zeros(1, 5), torch.zeros(4)]
)
def test_keys_that_do_not_fit(key: torch.Tensor) -> None:
    memory, _ = taught(("a", "x"))
    with pytest.raises(InvalidInputError, match="keys"):
        memory.remember(key, [Example("x", "b")])


def test_numbers_that_do_not_fit() -> None:
    memory = LabelledMemory.empty(4, REGRESSION, value_size=2)
    for labels in ([(1.0,)], [(1.0, 2.0, 3.0)]):
        with pytest.raises(InvalidInputError, match="takes 2 for each input"):
            memory.remember(keys(1), list(map(Example, labels, ["a"])))  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="a label of 1 numbers"):
        memory.remember(keys(1, 2), list(map(Example, [(1.0, 2.0), (1.0,)], ["a", "b"])))


def test_lists_of_different_length() -> None:
    for labels, texts, kinds in [(["x"], ["a", "b"], 2), (["x", "y"], ["a"], 2), (["x", "y"], ["a", "b"], 1)]:
        with pytest.raises(InvalidInputError, match="2 keys, . labels, . texts and . kinds"):
            examples_of(labels, texts, ["example"] * kinds, keys(1, 2))  # type: ignore[list-item]
    with pytest.raises(InvalidInputError, match="2 keys came for 1 example; give one for each"):
        LabelledMemory.empty(4).remember(keys(1, 2), [Example("x")])


def test_a_merge_keeps_the_entry_it_merges_into_and_gives_its_id() -> None:
    memory, ids = taught(("a", "x"), ("b", "y"), capacity=2, eviction="kaiser")
    merged, new = memory.remember(keys(ord("a")), [Example("x", "almost a")])
    assert [entry.text for entry in merged.entries] == ["a", "b"]
    assert merged.state.write_count[0].tolist() == [2, 1]
    assert new == ids[:1]
    left = merged.forget(new)
    assert [entry.text for entry in left.entries] == ["b"]
    assert torch.equal(left.state.keys, memory.forget(new).state.keys)  # no trace of what was merged


@pytest.mark.parametrize("eviction", EVICTIONS)
def test_every_id_is_forgotten_or_told_to_have_given_way(eviction: str) -> None:
    """Within one call and over several, with examples that come twice."""
    memory = LabelledMemory.empty(4, capacity=3, eviction=eviction)
    letters = "abcdefgabcahij"
    told: list[int] = []
    for call in (letters[:6], letters[6:9], letters[9:]):
        labels = ["xy"[ord(letter) % 2] for letter in call]
        memory, ids = memory.remember(keys(*map(ord, call)), list(map(Example, labels, [*call])))
        assert ids[-1] in memory.slot_by_id  # what came last is always there
        told += ids
    assert sum(memory.state.write_count[0].tolist()) <= len(letters)
    for id_ in told:
        if id_ in memory.slot_by_id:
            assert id_ not in memory.forget([id_]).slot_by_id
        else:
            with pytest.raises(NotInMemoryError, match="gave way"):
                memory.forget([id_])


@pytest.mark.parametrize("eviction", ["oldest", "least_recently_used"])
def test_a_label_leaves_with_its_last_entry(eviction: str) -> None:
    memory, _ = taught(("a", "red"), ("b", "blue"), ("c", "green"), capacity=2, eviction=eviction)
    assert [entry.text for entry in memory.entries] == ["c", "b"]
    assert memory.labels == ("green", "blue")
    assert memory.names.keys() == {"green", "blue"}
    assert memory.state.values[0].tolist() == [[1, 0], [0, 1]]
    assert memory.state.ids[0].tolist() == [entry.id for entry in memory.entries]


def test_words_take_no_part_in_eviction() -> None:
    memory, _ = taught(("a", "red"), ("b", "blue"), capacity=2)
    assert memory.state.slots == 2 and memory.reading_state.slots == 4


def test_what_was_used_stays() -> None:
    memory, _ = taught(("a", "x"), ("b", "x"), capacity=2)
    used = memory.used(torch.tensor([[1.0, 0.0]]))
    after, _ = used.remember(keys(3), [Example("x", "c")])
    assert [entry.text for entry in after.entries] == ["a", "c"]


def test_a_memory_is_a_value() -> None:
    memory, ids = taught(("a", "x"), ("b", "y"))
    before = [field.clone() for field in memory.state]
    memory.remember(keys(9), [Example("z", "c")])
    memory.forget([ids[0]])
    memory.used(torch.ones(1, 2))
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(memory.state, before, strict=True))
    with pytest.raises(AttributeError):
        memory.labels = ()  # type: ignore[misc]


def test_moving_takes_everything_along() -> None:
    memory, _ = taught(("a", "red"), ("b", "blue"))
    moved = memory.to("meta")
    assert {field.device.type for field in moved.state} == {"meta"}
    assert {key.device.type for key in moved.names.values()} == {"meta"}
    assert memory.state.keys.device.type == "cpu"


def test_texts_may_be_left_out() -> None:
    memory = LabelledMemory.empty(4)
    kept, ids = memory.remember(keys(1), [Example("x", "a")])
    bare, same = memory.remember(keys(1), [Example("x", "a")], store_texts=False)
    assert bare.entries[0].text is None and kept.entries[0].text == "a"
    assert ids == same


def test_the_order_of_several_labels_makes_no_other_example() -> None:
    memory, ids = taught(("a", ("x", "y")), ("a", ("y", "x")), problem_type=MULTI_LABEL)
    assert ids[0] == ids[1] and len(memory) == 1
