from mann_hf.wording import counted, listed


def test_counted() -> None:
    assert [counted(n, "text") for n in (0, 1, 2000)] == ["0 texts", "1 text", "2,000 texts"]
    assert counted(2, "entry", "entries") == "2 entries"


def test_the_first_few_of_many_names() -> None:
    assert listed([]) == "none"
    assert listed(["a", "b"]) == "a, b"
    assert listed(iter(["a", "b", "c"]), most=2) == "a, b and 1 more"
