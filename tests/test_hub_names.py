import pytest

from mann_hf.hub_names import is_hub_name, is_owned_name, why_no_hub_name


@pytest.mark.parametrize("name", ["owner/name", "A-b_c.1/x", "me/my.intents"])
def test_names_with_an_owner(name: str) -> None:
    assert is_hub_name(name) and is_owned_name(name) and why_no_hub_name(name) is None


def test_a_name_alone() -> None:
    assert is_hub_name("banking77") and not is_owned_name("banking77")


@pytest.mark.parametrize(
    "name", ["", "a b", "a/b/c", "../name", "./name", "-a/b", "a--b", "é/b", "a/b.git", "/a", "a/"]
)
def test_what_is_none(name: str) -> None:
    assert not is_hub_name(name) and not is_owned_name(name) and why_no_hub_name(name)
