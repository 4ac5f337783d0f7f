"""Processes that are forked off, and copies that are made, while other threads ask and teach."""

import copy
import os
import pickle  # noqa: TID251 what is tested here is that users may
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import torch
from transformers import pipeline

import mann_hf
from mann_hf.controllers import text as tokenizing
from mann_hf.models import LabelledMemory
from mann_hf.persistent import forks
from mann_hf.persistent.entries import Example

Make = Callable[..., Any]


@pytest.fixture
def classifier(tiny_classifier: Make) -> Any:
    made: Any = pipeline(mann_hf.FEW_SHOT_TASK, model=tiny_classifier())  # type: ignore[call-overload]
    made.remember(["where is my card", "send my money back", "card lost"], ["card", "refund", "card"])
    made("my card")
    return made


def in_child(action: Callable[[], object], seconds: float = 20) -> str:
    """What becomes of a child that is forked off for an action: "done", "raised" or "hangs"."""
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)  # or the threads of OpenMP, which are not there, are waited for
            action()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"in the child: {error!r}\n".encode())
            os._exit(1)
    for _ in range(int(seconds * 100)):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "raised" if status else "done"
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


@contextmanager
def held_elsewhere(lock: Any) -> Iterator[threading.Event]:
    """Holds a lock in another thread, until the block ends or the event is set."""
    taken, ended = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            ended.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        yield ended
    finally:
        ended.set()
        thread.join()


def test_a_child_answers_and_learns_whatever_its_parents_threads_held(classifier: Any) -> None:
    holder = classifier.model._holder
    locks = [holder._writing, holder._solving, holder._swapping]
    locks += [found.lock for found in vars(LabelledMemory).values() if hasattr(found, "lock")]  # before Python 3.12

    def use() -> None:
        classifier.remember(["a new order"], ["order"])
        assert classifier("a new order")[0]["label"] == "order"
        classifier.forget(label="order")

    with ExitStack() as stack:
        for lock in locks:
            stack.enter_context(held_elsewhere(lock))
        assert in_child(use, 5) == "done"


def test_a_fork_waits_for_what_a_child_could_not_go_on_with() -> None:
    with held_elsewhere(tokenizing._tokenizing) as ended:
        threading.Timer(0.2, ended.set).start()
        before = time.monotonic()
        assert in_child(lambda: tokenizing._tokenizing.acquire(blocking=False) or 1 / 0, 5) == "done"
        assert time.monotonic() - before >= 0.15


def test_whoever_holds_a_lock_may_fork_and_let_it_go_in_both() -> None:
    lock = tokenizing._tokenizing

    def let_go() -> None:
        lock.release()
        with pytest.raises(RuntimeError):
            lock.release()  # it was held once

    with lock:
        assert in_child(let_go, 5) == "done"
        lock.acquire()
        lock.release()
    held = forks.free(lock)
    assert held is lock
    with held_elsewhere(lock):
        assert forks.free(lock) is not lock


def test_the_labels_of_a_child_are_those_of_its_memory(classifier: Any) -> None:
    """A fork between the swap of the memory and that of the labels in the configuration."""
    model = classifier.model

    def swapped_alone() -> None:
        assert tuple(model.config.id2label.values()) == model.memory.labels == ("card", "refund", "order")

    def follow(before: LabelledMemory, after: LabelledMemory) -> None:
        labels = dict(enumerate(after.labels))
        if threading.current_thread() is writer and not forked.is_set():
            swapped.set()
            forked.wait(30)
        model.config.id2label = labels

    swapped, forked = threading.Event(), threading.Event()
    key = torch.ones(1, model.config.hidden_size)
    change = lambda memory: memory.remember(key, [Example("order", "x")])  # noqa: E731
    writer = threading.Thread(target=lambda: model._holder.update(change, follow))
    writer.start()
    assert swapped.wait(30)
    assert tuple(model.config.id2label.values()) == ("card", "refund")
    result = in_child(swapped_alone, 5)
    forked.set()
    writer.join()
    assert result == "done"


def test_a_copy_holds_the_fields_of_a_memory_alone(classifier: Any) -> None:
    memory = classifier.model.memory
    assert memory.slot_by_id and memory.slots_of([0]) is not None  # worked out by now
    again = pickle.loads(pickle.dumps(memory))
    assert again.entries == memory.entries and again.slot_by_id == memory.slot_by_id
    assert "ids" not in memory.__getstate__() and memory.__getstate__().keys() == again.__getstate__().keys()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_is_of_one_moment(classifier: Any, copied: Callable[[Any], Any]) -> None:
    """A copy that is asked for while a writer is between memory and labels waits for the writer."""
    model = classifier.model
    swapped, going_on = threading.Event(), threading.Event()

    def follow(before: LabelledMemory, after: LabelledMemory) -> None:
        swapped.set()
        going_on.wait(30)
        model.config.id2label = dict(enumerate(after.labels))

    key = torch.ones(1, model.config.hidden_size)
    change = lambda memory: memory.remember(key, [Example("order", "x")])  # noqa: E731
    writer = threading.Thread(target=lambda: model._holder.update(change, follow))
    writer.start()
    assert swapped.wait(30)
    threading.Timer(0.1, going_on.set).start()
    other = copied(model)
    writer.join()
    assert tuple(other.config.id2label.values()) == other.memory.labels == ("card", "refund", "order")
    other.update_memory(lambda memory: memory.remember(key * 2, [Example("more", "y")]))
    assert tuple(model.config.id2label.values()) == model.memory.labels == ("card", "refund", "order")
    assert other.config.encoder_config is other.encoder.config


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fork", "pickle", "deepcopy", "fork while many texts are read"])
def test_a_hundred_times_under_load(classifier: Any, way: str) -> None:
    """Four threads ask, teach and forget meanwhile; none may hang or raise."""
    stop, broken = threading.Event(), []
    draw = random.Random(0)
    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)
    long = ["where is my card and my money " * 200] * 64

    def busy(number: int) -> None:
        turn = 0
        try:
            while not stop.is_set():
                turn += 1
                if way.endswith("read") and number == 0:
                    classifier(long)
                elif number % 2:
                    classifier(["card", "money", f"order {turn}"], top_k=None, evidence=None)
                else:
                    ids = classifier.remember([f"order {turn} {number}"], [f"label {number}"])
                    classifier("money")
                    classifier.forget(ids)
        except Exception as error:
            broken.append(error)

    def use(copied: Any) -> None:
        memory = copied.model.memory
        assert tuple(copied.model.config.id2label.values())[: len(memory.labels)] == memory.labels
        assert copied("my card")[0]["label"] in memory.labels

    def child() -> None:
        classifier.remember(["a child is here"], ["child"])
        assert classifier("a child is here", evidence=None)[0]["label"] in classifier.model.memory.labels

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    outcomes: dict[str, int] = {}
    try:
        for _ in range(100):
            time.sleep(draw.random() * 0.02)
            try:
                if way.startswith("fork"):
                    outcome = in_child(child)
                else:
                    use(copy.deepcopy(classifier) if way == "deepcopy" else pickle.loads(pickle.dumps(classifier)))
                    outcome = "done"
            except RuntimeError as error:
                outcome = f"raised {error!r}"
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        torch.set_num_threads(threads_before)
    print(f"{way}: {outcomes}")
    assert outcomes == {"done": 100} and not broken


def test_a_pipeline_is_copied_with_its_tokenizer(classifier: Any) -> None:
    again = pickle.loads(pickle.dumps(classifier))
    assert again("my card") == classifier("my card")
    again.forget(label="card")
    assert "card" in classifier.model.memory.labels
