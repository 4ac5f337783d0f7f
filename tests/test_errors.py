import sys
from pathlib import Path
from typing import Any

import pytest

from mann_hf.errors import MissingExtraError, import_extra


def test_a_module_that_is_there() -> None:
    assert import_extra("importlib.metadata", "reading", "train") is sys.modules["importlib.metadata"]


@pytest.mark.parametrize("module", ["a_package_of_ours", "a_package_of_ours.figure"])
def test_one_that_is_not_says_what_to_install(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    missing: Any = None
    monkeypatch.setitem(sys.modules, "a_package_of_ours", missing)
    with pytest.raises(MissingExtraError) as caught:
        import_extra(module, "drawing", "train")
    assert str(caught.value) == "drawing needs the package 'a_package_of_ours': pip install 'mann_hf[train]'."
    assert caught.value.package == "a_package_of_ours"
    assert isinstance(caught.value, ImportError) and isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_an_error_of_its_own_is_told_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package_of_ours.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ZeroDivisionError):
        import_extra("broken_package_of_ours", "drawing", "train")
