import copy
import functools
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch

from mann_hf.errors import EmptyMemoryError
from mann_hf.memory import READINGS, Calibration, Reading, calibration, newton
from mann_hf.memory.reading.logistic_blocks import BlockwiseLogistic
from mann_hf.models import LabelledMemory
from mann_hf.persistent import large_memory
from mann_hf.persistent.entries import Example
from mann_hf.persistent.holder import MemoryHolder

K = 4


def taught(labels: str = "xyx") -> LabelledMemory:
    keys = torch.randn(len(labels), K)
    texts = [f"text {number}" for number in range(len(labels))]
    return LabelledMemory.empty(K).remember(keys, list(map(Example, list(labels), texts)))[0]


@pytest.fixture(params=READINGS)
def reading(request: pytest.FixtureRequest) -> Reading:
    return READINGS[request.param](K, learn_sharpness=True)


def test_nothing_to_read() -> None:
    with pytest.raises(EmptyMemoryError, match="empty.*remember"):
        MemoryHolder(LabelledMemory.empty(K)).ready(READINGS["attention"](K))


def test_what_is_ready_is_kept(reading: Reading) -> None:
    holder = MemoryHolder(taught())
    assert holder.ready(reading) is holder.ready(reading)


def test_a_change_is_seen_by_the_next_reader_alone(reading: Reading) -> None:
    holder = MemoryHolder(taught())
    before = holder.ready(reading)
    assert holder.update(lambda memory: (memory.forget(label="y"), "result")) == "result"
    after = holder.ready(reading)
    assert before.memory.labels == ("x", "y") and after.memory.labels == ("x",)
    assert before.solution.state.slots == 3 and after.solution.state.slots == 2


def test_a_change_that_fails_changes_nothing(reading: Reading) -> None:
    holder = MemoryHolder(taught())
    before = holder.memory

    def fail(memory: LabelledMemory) -> tuple[LabelledMemory, Any]:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        holder.update(fail)
    assert holder.memory is before
    holder.update(lambda memory: (memory, None))  # the lock is free again


@pytest.mark.parametrize("through_data", [False, True])
def test_a_changed_parameter_is_noticed(reading: Reading, through_data: bool) -> None:
    holder = MemoryHolder(taught())
    before = holder.ready(reading)
    with torch.no_grad():
        (reading.log_sharpness.data if through_data else reading.log_sharpness).add_(1)
    assert holder.ready(reading) is not before


def test_what_was_ready_helps_only_where_it_fits() -> None:
    """A solve that starts from the solution of other columns must end where one from nothing ends."""
    reading = READINGS["logistic"](K)
    torch.manual_seed(1)
    whole = taught("xyzxyz")
    changes: list[Callable[[LabelledMemory], LabelledMemory]] = [
        lambda memory: memory.forget(label="x"),
        lambda memory: memory.forget([memory.entries[0].id]),
        lambda memory: memory.remember(torch.randn(2, K), list(map(Example, ["w", "x"], ["a", "b"])))[0],
    ]
    for change in changes:
        holder = MemoryHolder(whole)
        holder.ready(reading)
        memory = change(whole)
        holder.update(lambda _, memory=memory: (memory, None))  # type: ignore[misc]
        warm = holder.ready(reading)
        cold = MemoryHolder(holder.memory).ready(reading)
        queries = torch.randn(1, 5, K)
        assert torch.allclose(
            reading(warm.solution, queries, warm.sharpness), reading(cold.solution, queries, cold.sharpness), atol=1e-5
        )


def test_readers_of_one_memory_share_one_solve(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = MemoryHolder(taught())
    found = []
    threads = [threading.Thread(target=lambda: found.append(holder.ready(reading))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(ready) for ready in found}) == 1


def test_a_copy_goes_its_own_way(reading: Reading) -> None:
    holder = MemoryHolder(taught())
    holder.ready(reading)
    other = copy.deepcopy(holder)
    other.update(lambda memory: (memory.forget(label="x"), None))
    assert holder.memory.labels == ("x", "y") and other.memory.labels == ("y",)


def test_what_follows_a_change_comes_before_the_next_writer() -> None:
    holder = MemoryHolder(taught())
    seen: list[tuple] = []
    other = threading.Thread(target=lambda: holder.update(lambda memory: (memory.forget(label="x"), None)))

    def then(before: LabelledMemory, after: LabelledMemory) -> None:
        assert holder.memory is after
        other.start()
        other.join(0.05)
        seen.append((before.labels, after.labels, holder.memory.labels))

    holder.update(lambda memory: (memory.remember(torch.ones(1, K), [Example("z", "a")])[0], None), then)
    other.join()
    assert seen == [(("x", "y"), ("x", "y", "z"), ("x", "y", "z"))]
    assert holder.memory.labels == ("y", "z")


def test_what_is_written_in_inference_mode_is_no_tensor_of_inference() -> None:
    holder = MemoryHolder(taught())
    with torch.inference_mode():
        holder.update(lambda memory: (memory.forget(label="y"), None))
    assert not any(tensor.is_inference() for tensor in holder.memory.state)


def test_what_is_made_ready_under_autocast_is_as_precise_as_without(reading: Reading) -> None:
    memory = taught("xyxyxy")
    with torch.autocast("cpu", torch.bfloat16):
        inside = MemoryHolder(memory).ready(reading)
    outside = MemoryHolder(memory).ready(reading)
    assert torch.equal(inside.sharpness, outside.sharpness)
    queries = torch.randn(1, 5, K)
    assert torch.equal(
        reading(inside.solution, queries, inside.sharpness), reading(outside.solution, queries, outside.sharpness)
    )


def test_what_is_forgotten_is_not_kept_for_the_next_read(reading: Reading) -> None:
    """Nothing of it is left in the process, before anybody asks again."""
    holder = MemoryHolder(taught())
    gone = weakref.ref(holder.ready(reading).memory)
    keys = weakref.ref(holder.memory.state.keys)
    holder.update(lambda memory: (memory.forget(label="y"), None), forgets=True)
    gc.collect()
    assert gone() is None and keys() is None
    assert holder.ready(reading).memory.labels == ("x",)


def test_what_is_forgotten_while_a_read_is_prepared_is_not_kept(reading: Reading) -> None:
    holder = MemoryHolder(taught())
    solve = reading.solve

    def forgetting(*args: Any, **kwargs: Any) -> Any:
        if "y" in holder.memory.labels:
            holder.update(lambda memory: (memory.forget(label="y"), None), forgets=True)
        return solve(*args, **kwargs)

    reading.solve = forgetting  # type: ignore[method-assign]
    assert holder.ready(reading).memory.labels == ("x", "y")
    assert holder._kept is None


class TestAfterForgetting:
    """A large memory is solved from where it was solved before, without anything of what is forgotten."""

    @pytest.fixture(autouse=True)
    def _large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(large_memory, "LARGE", 4)
        monkeypatch.setattr(newton, "SINGLE_CURVATURE_FROM", 0)
        monkeypatch.setattr(newton, "SINGLE_GRADIENT_FROM", 0)
        torch.manual_seed(0)

    @pytest.fixture
    def looks(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How many slots each computation of a gradient looked at."""
        seen: list[int] = []
        plain = BlockwiseLogistic.value_and_gradient

        def noting(self: BlockwiseLogistic, weight: torch.Tensor) -> Any:
            seen.append(self.slots)
            return plain(self, weight)

        monkeypatch.setattr(BlockwiseLogistic, "value_and_gradient", noting)
        return seen

    def forget(self, holder: MemoryHolder, *places: int) -> None:
        gone = [holder.memory.entries[place].id for place in places]
        holder.update(lambda memory: (memory.forget(gone), None), forgets=True)

    @pytest.mark.parametrize("places", [[7], [0, 20, 41], [44]])
    def test_the_next_answer_is_that_of_a_memory_that_never_had_it(
        self, places: list[int], looks: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = lambda reading, *args, **kwargs: Calibration(reading.sharpness)  # noqa: E731
        monkeypatch.setattr("mann_hf.persistent.holder.calibrate", own)  # which looks, too
        reading, queries = READINGS["logistic"](K), torch.randn(1, 6, K)
        holder = MemoryHolder(taught("xyz" * 15))
        holder.ready(reading)
        self.forget(holder, *places)
        looks.clear()
        warm = holder.ready(reading)
        after, other = sum(looks), MemoryHolder(holder.memory)
        looks.clear()
        cold = other.ready(reading)
        assert after <= (0.7 if len(places) == 1 else 1) * sum(looks)
        first, second = (reading(ready.solution, queries, ready.sharpness) for ready in (warm, cold))
        assert torch.allclose(first, second, atol=1e-3)  # both as near as single precision tells

    def test_what_is_taught_and_forgotten_before_the_next_read_is_in_it(self) -> None:
        reading, queries = READINGS["logistic"](K), torch.randn(1, 6, K)
        holder = MemoryHolder(taught("xyz" * 15))
        holder.ready(reading)
        self.forget(holder, 3)
        holder.update(lambda memory: memory.remember(torch.randn(2, K), list(map(Example, ["x", "w"], ["a", "b"]))))
        self.forget(holder, 9)
        warm, cold = (each.ready(reading) for each in (holder, MemoryHolder(holder.memory)))
        first, second = (reading(ready.solution, queries, ready.sharpness) for ready in (warm, cold))
        assert torch.allclose(first, second, atol=1e-3) and warm.memory.labels == ("x", "y", "z", "w")

    def test_no_key_of_it_is_kept(self) -> None:
        reading, holder = READINGS["logistic"](K), MemoryHolder(taught("xyz" * 15))
        holder.ready(reading)
        key = holder.memory.state.keys[0, 7].clone()
        unit = torch.nn.functional.normalize(key, dim=0)
        self.forget(holder, 7)
        assert holder._kept is not None and holder._kept.solution is not None
        gc.collect()
        tensors = [thing for thing in gc.get_objects() if isinstance(thing, torch.Tensor)]
        rows = [one for one in tensors if one.dim() > 1 and one.shape[-1] == K and one.dtype == torch.float32]
        for one in rows:
            unlike = (one - key).abs().amax(-1) > 1e-6
            assert unlike.all() and ((one - unit).abs().amax(-1) > 1e-6).all()

    def test_a_calibration_is_kept_while_its_examples_are_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fitted: list[torch.Tensor] = []
        plain = calibration._fit

        def noting(*args: Any) -> torch.Tensor:
            fitted.append(plain(*args))
            return fitted[-1]

        monkeypatch.setattr(calibration, "_fit", noting)
        few = functools.partial(calibration.calibrate, sample=12)
        monkeypatch.setattr("mann_hf.persistent.holder.calibrate", few)
        reading, holder = READINGS["prototype"](K), MemoryHolder(taught("xyz" * 15))
        sample = holder.ready(reading).calibration.sample
        assert sample is not None and len(fitted) == 1
        looked_at = set(sample.ids[0].tolist())
        places = [place for place, entry in enumerate(holder.memory.entries) if entry.id not in looked_at]
        self.forget(holder, places[-1])  # not the first of its label, by which labels are ordered
        holder.ready(reading)
        assert len(fitted) == 1
        place = next(place for place, entry in enumerate(holder.memory.entries) if entry.id in looked_at)
        self.forget(holder, place)
        assert holder._kept is None
        holder.ready(reading)
        assert len(fitted) == 2
