import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from torch import Tensor

from mann_hf.errors import EmptyMemoryError, InvalidInputError, NotInMemoryError
from mann_hf.memory import READINGS
from mann_hf.memory.eviction import EVICTIONS, Oldest
from mann_hf.memory.reading import MULTI_LABEL, REGRESSION, SINGLE_LABEL
from mann_hf.persistent.entries import name_id
from mann_hf.wording import counted

Build = Callable[..., Any]
K = 32
PAIRS = [(name, problem) for name, reading in READINGS.items() for problem in reading.problem_types]
IGNORED = -100
NO_LABEL = {SINGLE_LABEL: IGNORED, MULTI_LABEL: IGNORED, REGRESSION: float("nan")}
"""What leaves a query out of the loss."""


def episodes(
    problem_type: str = SINGLE_LABEL, batch: int = 2, support: int = 6, queries: int = 4, seed: int = 0
) -> dict[str, Tensor]:
    """Inputs of `forward` with texts of different length, padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    for prefix, count, length in (("", queries, 7), ("support_", support, 9)):
        lengths = torch.randint(3, length + 1, (batch, count), generator=generator)
        present = torch.arange(length) < lengths[..., None]
        tokens = torch.randint(5, 200, (batch, count, length), generator=generator) * present
        found |= {f"{prefix}input_ids": tokens, f"{prefix}attention_mask": present.long()}
        if problem_type == SINGLE_LABEL:
            labels = (torch.arange(count) % 3).repeat(batch, 1)
        elif problem_type == MULTI_LABEL:
            labels = torch.randint(0, 2, (batch, count, 3), generator=generator)
        else:
            labels = torch.randn(batch, count, 2, generator=generator)
        found[f"{prefix}labels"] = labels
    return found


def one(inputs: dict[str, Tensor], number: int) -> dict[str, Tensor]:
    return {name: tensor[number] for name, tensor in inputs.items()}


def problem(problem_type: str) -> dict[str, Any]:
    return {"problem_type": problem_type, **({"num_labels": 2} if problem_type == REGRESSION else {})}


def key(number: int) -> Tensor:
    """A key for a whole number."""
    return F.normalize(torch.sin(torch.arange(1, K + 1) * (1.0 + number)), dim=0)


def taught(model: Any, problem_type: str = SINGLE_LABEL, count: int = 9) -> Any:
    labels: list = ["red", "blue", "green"] * count
    if problem_type == MULTI_LABEL:
        labels = [("red",), ("blue", "red"), ("green",), ("green", "blue")] * count
    elif problem_type == REGRESSION:
        labels = [(float(number), -number / 2) for number in range(count)]
    names = (
        {} if problem_type == REGRESSION else {name: key(100 + number) for number, name in enumerate(("red", "blue"))}
    )
    kinds = ["description" if number == 4 else "example" for number in range(count)]
    keys = torch.stack([key(number) for number in range(count)])
    model.remember(keys, labels[:count], [f"text {number}" for number in range(count)], kinds, names)
    return model


class TestEpisodes:
    @pytest.mark.parametrize("reading, problem_type", PAIRS)
    def test_packed_is_as_good_as_one_by_one(self, build: Build, reading: str, problem_type: str) -> None:
        model = build(reading=reading, **problem(problem_type))
        inputs = episodes(problem_type)
        packed = model(**inputs)
        assert packed.logits.shape == (2, 4, 2 if problem_type == REGRESSION else 3)
        losses = []
        for number in range(2):
            alone = model(**one(inputs, number))
            for name in ("logits", "memory_weights", "read_keys"):
                assert torch.allclose(alone[name], packed[name][number], atol=1e-4), name
            assert torch.equal(alone.slot_ids, packed.slot_ids[number])
            losses.append(alone.loss)
        assert torch.allclose(torch.stack(losses).mean(), packed.loss, rtol=1e-4)

    @pytest.mark.parametrize("reading, problem_type", PAIRS)
    def test_padding_changes_nothing(self, build: Build, reading: str, problem_type: str) -> None:
        model = build(reading=reading, **problem(problem_type))
        inputs = episodes(problem_type)
        padded = dict(inputs)
        for prefix in ("", "support_"):
            labels = inputs[f"{prefix}labels"]
            mark = IGNORED if prefix else NO_LABEL[problem_type]
            padded[f"{prefix}labels"] = torch.cat([labels, torch.full_like(labels[:, :2], mark)], dim=1)
            for name in ("input_ids", "attention_mask"):
                tensor = F.pad(inputs[prefix + name], (0, 5))
                filler = torch.randint(5, 200, tensor[:, :2].shape) if name == "input_ids" else tensor[:, :2]
                padded[prefix + name] = torch.cat([tensor, filler], dim=1)
        plain, found = model(**inputs), model(**padded)
        assert torch.allclose(found.logits[:, :4], plain.logits, atol=1e-4)
        assert torch.allclose(found.loss, plain.loss, rtol=1e-4)
        assert torch.equal(found.slot_ids[:, :4], plain.slot_ids)

    @pytest.mark.parametrize("reading, problem_type", PAIRS)
    def test_gradients_reach_the_encoder_and_the_sharpness(self, build: Build, reading: str, problem_type: str) -> None:
        model = build(reading=reading, **problem(problem_type))
        model(**episodes(problem_type)).loss.backward()
        for name, parameter in model.named_parameters():
            if name == "reading.log_sharpness" and problem_type == REGRESSION and reading != "attention":
                continue  # numbers are not sharpened
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            if "key.bias" not in name:  # a constant that attention does not see
                assert parameter.grad.abs().max() > 0, name

    @pytest.mark.parametrize("similarity", ["bilinear", "euclidean", "dot"])
    def test_gradients_reach_the_similarity(self, build: Build, similarity: str) -> None:
        model = build(reading="attention", similarity=similarity)
        model(**episodes()).loss.backward()
        for parameter in model.reading.parameters():
            assert parameter.grad.abs().max() > 0

    def test_gradients_reach_the_support(self, build: Build) -> None:
        model = build()
        tokens = episodes()
        only_in_support = torch.tensor(7)
        for name in ("input_ids", "support_input_ids"):
            tokens[name] = tokens[name].masked_fill(tokens[name] == only_in_support, 8)
        tokens["support_input_ids"][0, 0, 1] = only_in_support
        model(**tokens).loss.backward()
        assert model.get_input_embeddings().weight.grad[only_in_support].abs().max() > 0

    @pytest.mark.parametrize("reading", READINGS)
    def test_training_learns(self, build: Build, reading: str) -> None:
        model = build(reading=reading).train()
        inputs = one(episodes(queries=6), 0)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        losses = []
        for _ in range(12):
            output = model(**inputs)
            output.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(output.loss.item())
        assert min(losses[-3:]) < 0.7 * losses[0], losses

    def test_loss_is_the_cross_entropy_of_the_queries_that_have_a_label(self, build: Build) -> None:
        model = build()
        inputs = episodes()
        inputs["labels"][0, :2] = IGNORED
        output = model(**inputs)
        expected = [F.cross_entropy(*each) for each in zip(output.logits, inputs["labels"], strict=True)]
        assert torch.allclose(output.loss, torch.stack(expected).mean())

    def test_loss_of_several_labels_and_numbers(self, build: Build) -> None:
        for problem_type, function in ((MULTI_LABEL, F.binary_cross_entropy_with_logits), (REGRESSION, F.mse_loss)):
            model = build(**problem(problem_type))
            inputs = episodes(problem_type)
            inputs["labels"][1, 3] = NO_LABEL[problem_type]
            output = model(**inputs)
            logits, labels = output.logits, inputs["labels"].float()
            expected = (function(logits[0], labels[0]) + function(logits[1, :3], labels[1, :3])) / 2
            assert torch.allclose(output.loss, expected), problem_type

    @pytest.mark.parametrize("whole", [True, False])
    def test_a_number_that_marks_padding_elsewhere_is_a_target_like_others(self, build: Build, whole: bool) -> None:
        model = build(problem_type=REGRESSION, num_labels=2)
        inputs = episodes(REGRESSION)
        inputs["labels"][1, 3] = IGNORED
        if whole:
            inputs["labels"] = inputs["labels"].long()
        output = model(**inputs)
        assert torch.allclose(output.loss, F.mse_loss(output.logits, inputs["labels"].float()))

    def test_one_number_a_text_needs_no_dimension(self, build: Build) -> None:
        model = build(problem_type=REGRESSION)
        inputs = one(episodes(), 0)
        numbers = inputs | {"labels": torch.rand(4), "support_labels": torch.rand(6)}
        flat = model(**numbers)
        assert flat.logits.shape == (4, 1)
        column = model(**numbers | {name: numbers[name][:, None] for name in ("labels", "support_labels")})
        assert torch.allclose(flat.loss, column.loss) and torch.allclose(flat.logits, column.logits)

    def test_more_ways_than_labels(self, build: Build) -> None:
        model = build(reading="attention")
        output = model(**episodes(), n_way=5)
        assert output.logits.shape == (2, 4, 5)
        assert (output.logits[..., 3:].exp() < 1e-6).all()
        assert torch.allclose(output.logits[..., :3], model(**episodes()).logits, atol=1e-5)

    @pytest.mark.parametrize("reading", READINGS)
    def test_slots_are_named_by_their_place_in_the_support(self, build: Build, reading: str) -> None:
        output = build(reading=reading)(**episodes())
        best = output.logits.argmax(-1)
        labels = episodes()["support_labels"][0]
        for query in [(b, q) for b in range(2) for q in range(4)]:
            ids, weights = output.slot_ids[query], output.memory_weights[query]
            named = ids[ids >= 0].tolist()
            assert sorted(named) == (labels == best[query]).nonzero()[:, 0].tolist()
            assert weights[: len(named)].tolist() == sorted(weights[: len(named)].tolist(), reverse=True)
            assert (weights[ids < 0] == 0).all()

    def test_numbers_of_zero_are_evidence_too(self, build: Build) -> None:
        model = build(problem_type=REGRESSION)
        inputs = one(episodes(), 0) | {"labels": torch.zeros(4), "support_labels": torch.arange(6.0)}
        assert all(0 in row for row in model(**inputs).slot_ids.tolist())

    def test_a_capacity_holds_for_episodes(self, build: Build) -> None:
        inputs = one(episodes(), 0)
        last = {name: tensor[-4:] if name.startswith("support") else tensor for name, tensor in inputs.items()}
        limited = build(capacity=4, eviction="oldest")(**inputs, n_way=3)
        assert torch.allclose(limited.logits, build()(**last, n_way=3).logits, atol=1e-4)

    def test_the_own_memory_is_left_alone(self, build: Build) -> None:
        model = taught(build())
        before = model.memory
        model(**episodes())
        assert model.memory is before

    def test_as_a_tuple(self, build: Build) -> None:
        model = build()
        output = model(**episodes())
        loss, logits, *_ = model(**episodes(), return_dict=False)
        assert torch.equal(logits, output.logits) and torch.equal(loss, output.loss)

    def test_in_half_precision(self, build: Build) -> None:
        model = build(dtype=torch.bfloat16)
        whole = build()(**episodes())
        output = model(**episodes())
        assert output.logits.dtype == torch.float32
        assert (output.logits.softmax(-1) - whole.logits.softmax(-1)).abs().max() < 0.05
        output.loss.backward()

    def test_token_types_of_one_side_alone(self, build: Build) -> None:
        """Left out they are zeros, on either side."""
        inputs = one(episodes(), 0)
        ones = torch.ones_like(inputs["input_ids"])
        zeros = torch.zeros_like(inputs["support_input_ids"])
        model = build()
        output = model(**inputs, token_type_ids=ones)
        assert torch.allclose(
            output.logits, model(**inputs, token_type_ids=ones, support_token_type_ids=zeros).logits, atol=1e-5
        )
        assert not torch.allclose(output.logits, model(**inputs).logits, atol=1e-3)

    @pytest.mark.parametrize(
        "change, says",
        [
            ({"support_labels": None}, "without support_labels"),
            ({"support_labels": torch.zeros(5, dtype=torch.long)}, "agree"),
            ({"support_labels": torch.full((6,), IGNORED)}, "support_labels"),
            ({"support_labels": torch.tensor([0, 1, 2, 0, 1, -1])}, "-1"),
            ({"support_labels": torch.tensor([0.0, 1, 2, 0, 1, 2])}, "whole numbers"),
            ({"n_way": 2}, "up to 2.*n_way is 2"),
            ({"n_way": 0}, "n_way is 0"),
            ({"support_input_ids": torch.ones(2, 6, 9, dtype=torch.long)}, "agree"),
            ({"support_input_ids": torch.ones(6, dtype=torch.long)}, "agree"),
            ({"input_ids": None}, "input_ids"),
            ({"input_ids": torch.ones(7, dtype=torch.long)}, "agree"),
            ({"input_ids": None, "inputs_embeds": torch.ones(4, 7, K)}, "inputs_embeds"),
            ({"position_ids": torch.arange(7).expand(4, 7)}, "position_ids"),
            ({"labels": torch.zeros(5, dtype=torch.long)}, r"labels are \(5,\); they must be \(4,\)"),
            ({"labels": torch.tensor([0, 1, 2, 3])}, "labels go up to 3, and the memory knows 3 labels"),
            ({"labels": torch.tensor([0, 1, 2, 5]), "n_way": 5}, "labels go up to 5, and the memory knows 5 labels"),
            ({"labels": torch.tensor([0, 1, 2, -1])}, "labels go down to -1; they count from 0"),
        ],
        ids=lambda value: value if isinstance(value, str) else "-".join(value),
    )
    def test_what_does_not_fit_is_refused(self, build: Build, change: dict, says: str) -> None:
        inputs = one(episodes(), 0)
        if "support_input_ids" in change:
            del inputs["support_attention_mask"]
        if "input_ids" in change:
            del inputs["attention_mask"]
        model = build()
        model.embed = None  # nothing is to be encoded
        with pytest.raises(InvalidInputError, match=says):
            model(**inputs | change)

    def test_labels_of_a_batch_that_do_not_fit(self, build: Build) -> None:
        inputs = episodes()
        with pytest.raises(InvalidInputError, match=r"labels are \(4,\); they must be \(2, 4\)"):
            build()(**inputs | {"labels": inputs["labels"][0]})

    def test_support_labels_without_support(self, build: Build) -> None:
        inputs = one(episodes(), 0)
        del inputs["support_input_ids"], inputs["support_attention_mask"]
        with pytest.raises(InvalidInputError, match="support_labels.*without support_input_ids"):
            taught(build())(**inputs)

    def test_one_label_a_text_where_several_belong(self, build: Build) -> None:
        inputs = one(episodes(), 0)
        with pytest.raises(InvalidInputError, match="multi_label_classification takes"):
            build(problem_type=MULTI_LABEL)(**inputs)


class TestTheOwnMemory:
    @pytest.mark.parametrize("reading, problem_type", PAIRS)
    def test_fields_and_shapes(self, build: Build, reading: str, problem_type: str) -> None:
        model = taught(build(reading=reading, **problem(problem_type)), problem_type)
        inputs = {name: tensor for name, tensor in one(episodes(), 0).items() if "support" not in name}
        columns = 2 if problem_type == REGRESSION else 3
        labels = torch.zeros(4, dtype=torch.long) if problem_type == SINGLE_LABEL else torch.ones(4, columns)
        output = model(**inputs | {"labels": labels})
        assert output.logits.shape == (4, columns)
        assert output.memory_weights.shape == output.slot_ids.shape == (4, 8)
        assert torch.allclose(output.read_keys, model.embed(inputs["input_ids"], inputs["attention_mask"]))
        assert torch.allclose(output.logits, model.read(model.ready_memory(), output.read_keys))
        known = {entry.id for entry in model.memory.all_entries} | {-1}
        assert set(output.slot_ids.flatten().tolist()) <= known
        output.loss.backward()
        assert model.get_input_embeddings().weight.grad.abs().max() > 0

    def test_labels_count_as_the_memory_counts_them(self, build: Build) -> None:
        model = taught(build())
        inputs = {name: tensor for name, tensor in one(episodes(), 0).items() if "support" not in name}
        labels = torch.tensor([2, IGNORED, 0, 1])
        output = model(**inputs | {"labels": labels})
        assert torch.allclose(output.loss, F.cross_entropy(output.logits, labels))
        assert model.config.id2label == {0: "red", 1: "blue", 2: "green"}

    def test_as_a_tuple(self, build: Build) -> None:
        model = taught(build())
        tokens = episodes()["input_ids"][0]
        assert torch.equal(model(tokens, return_dict=False)[0], model(tokens).logits)

    def test_from_embeddings(self, build: Build) -> None:
        model = taught(build())
        tokens = episodes()["input_ids"][0]
        embeddings = model.get_input_embeddings()(tokens)
        assert torch.allclose(model(inputs_embeds=embeddings).logits, model(tokens).logits, atol=1e-5)

    def test_empty_it_says_what_to_do(self, build: Build) -> None:
        with pytest.raises(EmptyMemoryError, match="remember.*load_memory.*a support and support_labels"):
            build()(episodes()["input_ids"][0])

    def test_without_inputs(self, build: Build) -> None:
        with pytest.raises(InvalidInputError, match="input_ids"):
            taught(build())()

    def test_labels_that_the_memory_does_not_have(self, build: Build) -> None:
        with pytest.raises(InvalidInputError, match="labels go up to 3.*3 labels"):
            taught(build())(episodes()["input_ids"][0], labels=torch.tensor([0, 1, 2, 3]))

    @pytest.mark.parametrize("lowest", [-1, -99, -101])
    def test_labels_below_zero(self, build: Build, lowest: int) -> None:
        with pytest.raises(InvalidInputError, match=f"labels go down to {lowest}.*-100"):
            taught(build())(episodes()["input_ids"][0], labels=torch.tensor([0, IGNORED, 2, lowest]))

    @pytest.mark.parametrize("support", [False, True])
    def test_the_trainer_evaluates_it(self, build: Build, tmp_path: Path, support: bool) -> None:
        pytest.importorskip("accelerate")
        from transformers import Trainer, TrainingArguments

        model = build() if support else taught(build())
        rows = [one(episodes(seed=seed), 0) for seed in range(3)]
        if not support:
            rows = [{name: tensor for name, tensor in row.items() if "support" not in name} for row in rows]
        seen: list[Any] = []

        def accuracy(answers: Any) -> dict[str, float]:
            seen.append(answers.predictions)
            return {"accuracy": float((answers.predictions.argmax(-1) == answers.label_ids).mean())}

        arguments = TrainingArguments(
            str(tmp_path),
            per_device_eval_batch_size=1,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer: Any = Trainer(
            model, arguments, eval_dataset=rows, data_collator=lambda batch: batch[0], compute_metrics=accuracy
        )
        metrics = trainer.evaluate()
        with torch.no_grad():
            outputs = [model(**row) for row in rows]
        assert torch.allclose(torch.from_numpy(seen[0]), torch.cat([output.logits for output in outputs]), atol=1e-4)
        expected = [output.logits.argmax(-1) == row["labels"] for output, row in zip(outputs, rows, strict=True)]
        assert metrics["eval_accuracy"] == pytest.approx(torch.cat(expected).float().mean().item())
        losses = torch.stack([output.loss for output in outputs])
        assert metrics["eval_loss"] == pytest.approx(losses.mean().item(), rel=1e-4)
        assert trainer.predict(rows).predictions.shape == seen[0].shape  # an array of logits

    def test_the_trainer_trains_it(self, build: Build, tmp_path: Path) -> None:
        """Episodes as batches, two to a step, each with the same say; and the memory saved with the weights."""
        pytest.importorskip("accelerate")
        from transformers import Trainer, TrainingArguments

        rows = [one(episodes(seed=seed), 0) for seed in range(2)]
        trained, by_hand = build(), build()
        for module in [*trained.modules(), *by_hand.modules()]:
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        arguments = TrainingArguments(
            str(tmp_path),
            max_steps=1,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=2,
            max_grad_norm=0,
            learning_rate=1e-2,
            lr_scheduler_type="constant",
            optim="sgd",
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = Trainer(trained, arguments, train_dataset=rows, data_collator=lambda batch: batch[0])
        trainer.train()
        (sum(by_hand(**row).loss for row in rows) / 2).backward()
        torch.optim.SGD(by_hand.parameters(), lr=1e-2).step()
        for (name, found), expected in zip(trained.named_parameters(), by_hand.parameters(), strict=True):
            assert torch.allclose(found, expected, atol=1e-5), name
        taught(trained)
        trainer.save_model(str(tmp_path / "model"))
        assert (tmp_path / "model" / "memory.safetensors").exists()


class TestAutocast:
    """Half precision is for the encoder: what is stored is read as precisely as without."""

    @staticmethod
    def autocast() -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16)

    @pytest.mark.parametrize("reading, problem_type", PAIRS)
    def test_a_memory_is_read_as_without(self, build: Build, reading: str, problem_type: str) -> None:
        inside, outside = (taught(build(reading=reading, **problem(problem_type)), problem_type) for _ in range(2))
        keys = torch.stack([key(3), key(40), key(41)])
        columns = torch.tensor([[0], [1], [0]])
        with self.autocast():
            ready = inside.ready_memory()
            logits = inside.read(ready, keys)
            told = inside.evidence(ready, keys, logits, columns, None)
        expected = outside.ready_memory()
        assert logits.dtype == torch.float32
        assert torch.equal(logits, outside.read(expected, keys))
        assert torch.equal(ready.sharpness, expected.sharpness)
        assert told == outside.evidence(expected, keys, logits, columns, None)

    @pytest.mark.parametrize("reading, problem_type", PAIRS)
    def test_training(self, build: Build, reading: str, problem_type: str) -> None:
        """On the model's own memory, and in episodes."""
        model = taught(build(reading=reading, **problem(problem_type)), problem_type)
        inputs = episodes(problem_type)
        own = {name: tensor[0] for name, tensor in inputs.items() if "support" not in name}
        for given in (inputs, own):
            expected = model(**given)
            model.zero_grad()
            with self.autocast():
                output = model(**given)
            assert output.logits.dtype == output.memory_weights.dtype == torch.float32
            assert (output.logits - expected.logits).abs().max() < 0.1 * expected.logits.abs().max()
            output.loss.backward()
            assert model.get_input_embeddings().weight.grad.abs().max() > 0
            assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())

    @pytest.mark.parametrize("reading, problem_type", PAIRS)
    def test_episodes_are_read_as_without(
        self, build: Build, reading: str, problem_type: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = build(reading=reading, **problem(problem_type))
        keys = F.normalize(torch.randn(2, 10, K), dim=-1)
        monkeypatch.setattr(model, "_embed_together", lambda *args, **kwargs: (keys[:, :4], keys[:, 4:]))
        expected = model(**episodes(problem_type))
        with self.autocast():
            output = model(**episodes(problem_type))
        for name in ("logits", "memory_weights", "slot_ids"):
            assert torch.equal(output[name], expected[name]), name


class TestEvidence:
    @pytest.mark.parametrize("reading, problem_type", PAIRS)
    @pytest.mark.parametrize("most", [0, 1, 3, None])
    def test_it_adds_up(self, build: Build, reading: str, problem_type: str, most: int | None) -> None:
        model = taught(build(reading=reading, **problem(problem_type)), problem_type)
        ready = model.ready_memory()
        keys = torch.stack([key(3), key(40), key(41)])
        logits = model.read(ready, keys)
        if reading == "attention" and problem_type == SINGLE_LABEL:
            expected = logits.softmax(-1)
        elif reading == "attention" and problem_type == MULTI_LABEL:
            expected = logits.sigmoid()
        else:
            expected = logits
        constant = logits.new_zeros(logits.shape[1])
        if problem_type == REGRESSION and reading == "least_squares":
            constant = ready.memory.state.values[0].mean(0)  # numbers are fitted around their mean
        for column in range(logits.shape[1]):
            told = [told for (told,) in model.evidence(ready, keys, logits, torch.full((3, 1), column), most)]
            every = torch.arange(ready.memory.reading_state.slots)
            terms = model.reading.terms(ready.solution, keys[None], column, every, ready.sharpness)[0]
            for query in range(3):
                weights, slots, rest = told[query].weights, told[query].slots, told[query].rest
                assert sum(weights) + rest == pytest.approx(expected[query, column].item(), abs=1e-4)
                assert weights == sorted(weights, reverse=True)
                assert weights == pytest.approx(terms[query, slots].tolist(), abs=1e-5)
                unlisted = [slot for slot in every.tolist() if slot not in slots]
                left = terms[query, unlisted].sum() + constant[column]
                assert rest == pytest.approx(left.item(), abs=1e-3 * max(1, terms[query].abs().max().item()))
                of_label = self.slots_of(model, column, problem_type)
                assert set(slots) <= set(of_label)
                assert len(slots) == (len(of_label) if most is None else min(most, len(of_label)))
                best = terms[query, of_label].sort(descending=True).values[: len(slots)]
                assert weights == pytest.approx(best.tolist(), abs=1e-5)

    @staticmethod
    def slots_of(model: Any, column: int, problem_type: str) -> list[int]:
        entries = model.memory.all_entries
        if problem_type == REGRESSION:
            return list(range(len(entries)))
        label = model.memory.labels[column]
        return [slot for slot, entry in enumerate(entries) if label == entry.label or label in entry.label]

    def test_different_columns_in_one_call(self, build: Build) -> None:
        model = taught(build())
        ready = model.ready_memory()
        keys = torch.stack([key(number) for number in range(6)])
        logits = model.read(ready, keys)
        columns = torch.tensor([[0, 2], [2, 1], [1, 0], [0, 1], [1, 2], [2, 0]])
        together = model.evidence(ready, keys, logits, columns, 2)
        for number, row in enumerate(columns):
            for rank, column in enumerate(row):
                one = slice(number, number + 1)
                [[alone]] = model.evidence(ready, keys[one], logits[one], column[None, None], 2)
                assert alone.slots == together[number][rank].slots
                assert alone.weights == pytest.approx(together[number][rank].weights, abs=1e-4)

    def test_outputs_that_are_left_out_change_nothing_of_the_others(self, build: Build) -> None:
        model = taught(build())
        ready = model.ready_memory()
        keys = torch.stack([key(number) for number in range(3)])
        logits = model.read(ready, keys)
        columns = torch.tensor([[0, 2], [2, 1], [1, 0]])
        every = model.evidence(ready, keys, logits, columns, 2)
        some = model.evidence(ready, keys, logits, torch.tensor([[0, 2], [-1, -1], [1, -1]]), 2)
        assert [len(told) for told in some] == [2, 0, 1]
        assert [*some[0], some[2][0]] == [*every[0], every[2][0]]
        none = model.evidence(ready, keys, logits, columns, 0)
        predicted = model.reading.predicted(ready.solution, logits[None])[0].gather(1, columns)
        assert [[told.rest for told in row] for row in none] == predicted.tolist()

    def test_a_stored_example_is_its_own_best_evidence(self, build: Build) -> None:
        for reading in READINGS:
            model = taught(build(reading=reading, label_names=False))
            ready = model.ready_memory()
            keys = torch.stack([key(number) for number in range(9)])
            logits = model.read(ready, keys)
            told = model.evidence(ready, keys, logits, torch.arange(9)[:, None] % 3, 1)
            if reading != "prototype":  # whose members count by their share alone when all keys are one length
                assert [evidence.slots[0] for (evidence,) in told] == list(range(9)), reading


class TestRememberingAndForgetting:
    def test_ids_come_back_in_order_and_are_the_same_in_every_memory(self, build: Build) -> None:
        first, second = build(), build()
        keys = torch.stack([key(1), key(2)])
        ids = first.remember(keys, ["a", "b"], ["one", "two"])
        assert second.remember(keys.flip(0), ["b", "a"], ["two", "one"]) == ids[::-1]
        assert [entry.id for entry in first.memory.entries] == ids == first.memory.state.ids[0].tolist()

    @pytest.mark.parametrize("lengths", [(2, 1, 2), (2, 2, 1), (1, 2, 2), (0, 1, 1)])
    def test_lists_of_different_length(self, build: Build, lengths: tuple[int, int, int]) -> None:
        model = taught(build())
        before = model.memory
        keys, labels, texts = lengths
        with pytest.raises(InvalidInputError, match=f"{keys} keys|{counted(labels, 'label')} came for"):
            model.remember(torch.ones(keys, K), ["a"] * labels, ["x"] * texts)
        assert model.memory is before

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    def test_vectors_that_are_no_numbers(self, build: Build, bad: float) -> None:
        model = taught(build())
        before = model.memory
        keys = torch.stack([key(20), key(21)])
        keys[1, 3] = bad
        with pytest.raises(InvalidInputError, match="NaN or infinity.*example 1"):
            model.remember(keys, ["a", "b"])
        with pytest.raises(InvalidInputError, match="NaN or infinity"):
            model.remember(keys[:1], ["a"], names={"a": keys[1]})
        assert model.memory is before and model.config.num_labels == 3

    @pytest.mark.parametrize("shape", [(1, K + 1), (K,), (1, 1, K)])
    def test_vectors_of_another_size(self, build: Build, shape: tuple[int, ...]) -> None:
        model = taught(build())
        before = model.memory
        with pytest.raises(InvalidInputError, match="keys"):
            model.remember(torch.ones(shape), ["a"])
        assert model.memory is before

    def test_what_is_not_there_cannot_be_forgotten(self, build: Build) -> None:
        model = taught(build())
        before = model.memory
        ids = [entry.id for entry in before.entries]
        for call in (
            lambda: model.forget(ids=[ids[0], 12345]),
            lambda: model.forget(label="purple"),
            lambda: model.forget(ids=[ids[0]], label="purple"),
            lambda: model.forget(ids=[name_id("red")]),
        ):
            with pytest.raises(NotInMemoryError):
                call()
            assert model.memory is before

    def test_caller_may_change_what_was_given(self, build: Build) -> None:
        model = build()
        keys, name = key(1)[None].clone(), key(2).clone()
        model.remember(keys, ["red"], names={"red": name})
        keys.zero_()
        name.zero_()
        assert torch.equal(model.memory.state.keys[0, 0], key(1)) and torch.equal(model.memory.names["red"], key(2))

    def test_labels_in_the_configuration_follow(self, build: Build) -> None:
        model = taught(build())
        model.forget(label="red")
        assert model.config.id2label == {0: "blue", 1: "green"}
        assert model.config.label2id == {"blue": 0, "green": 1}
        model.remember(key(50)[None], ["red"])
        assert model.config.label2id == {"blue": 0, "green": 1, "red": 2}

    @pytest.mark.parametrize("reading, problem_type", PAIRS)
    def test_order_and_batches_of_writes_do_not_matter(self, build: Build, reading: str, problem_type: str) -> None:
        choices: dict[str, list] = {
            SINGLE_LABEL: ["red", "blue", "green"] * 5,
            MULTI_LABEL: [("red",), ("blue", "red"), ("green",)] * 5,
            REGRESSION: [(float(number), 1.0) for number in range(15)],
        }
        labels = choices[problem_type]
        order = torch.randperm(15).tolist()
        queries = torch.stack([key(number) for number in range(40, 50)])
        answers = []
        for numbers, step in ((range(15), 15), (order, 4), (order[::-1], 1)):
            model = build(reading=reading, **problem(problem_type))
            for start in range(0, 15, step):
                part = list(numbers)[start : start + step]
                texts = [f"text {number}" for number in part]
                model.remember(torch.stack([key(number) for number in part]), [labels[n] for n in part], texts)
                model.read(model.ready_memory(), queries)  # so that the next solve starts from this one
            logits = model.read(model.ready_memory(), queries)
            columns = [model.memory.labels.index(name) for name in sorted(model.memory.labels)]
            logits = logits if problem_type == REGRESSION else logits[:, columns]
            answers.append(logits.softmax(-1) if problem_type == SINGLE_LABEL else logits)
        assert torch.allclose(answers[0], answers[1], atol=1e-5) and torch.allclose(answers[0], answers[2], atol=1e-5)


class TestCapacity:
    def test_the_oldest_gives_way(self, build: Build) -> None:
        model = taught(build(capacity=4, eviction="oldest"))
        assert sorted(str(entry.text) for entry in model.memory.entries) == [f"text {n}" for n in (5, 6, 7, 8)]
        assert set(model.memory.slot_by_id) == set(model.memory.state.ids[0].tolist())
        model.read(model.ready_memory(), key(3)[None])

    def test_what_was_asked_for_stays(self, build: Build) -> None:
        model = build(capacity=3, label_names=False)
        ids = model.remember(torch.stack([key(1), key(2), key(3)]), ["a", "b", "c"])
        for _ in range(3):
            ready = model.ready_memory()
            logits = model.read(ready, key(1)[None])
            model.record_use(ready, key(1)[None], logits)
        new = model.remember(torch.stack([key(4), key(5)]), ["d", "e"])
        assert set(model.memory.slot_by_id) == {ids[0], *new}

    @pytest.mark.parametrize("counts", [True, False])
    def test_a_rule_from_outside_that_counts_use_has_it_recorded(
        self, build: Build, monkeypatch: pytest.MonkeyPatch, counts: bool
    ) -> None:
        outside, name = type("Outside", (Oldest,), {"counts_use": counts})(), f"from outside, counts: {counts}"
        monkeypatch.setitem(EVICTIONS._parts, name, outside)
        model = taught(build(capacity=20, eviction=name))
        before, ready = model.memory, model.ready_memory()
        model.record_use(ready, key(1)[None], model.read(ready, key(1)[None]))
        assert (model.memory is not before) is counts

    @pytest.mark.parametrize("kwargs", [{}, {"capacity": 3, "eviction": "oldest"}])
    def test_asking_changes_no_memory_that_does_not_need_to_know(self, build: Build, kwargs: dict) -> None:
        model = taught(build(**kwargs))
        before, ready = model.memory, model.ready_memory()
        model.record_use(ready, key(1)[None], model.read(ready, key(1)[None]))
        assert model.memory is before

    def test_asking_does_not_make_the_memory_solve_anew(self, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        model = taught(build(capacity=20))
        solved: list[int] = []
        solve = type(model.reading).solve

        def counted(*args: Any, **kwargs: Any) -> Any:
            solved.append(1)
            return solve(*args, **kwargs)

        monkeypatch.setattr(type(model.reading), "solve", counted)
        counts = []
        for number in range(4):
            ready = model.ready_memory()
            model.record_use(ready, key(number)[None], model.read(ready, key(number)[None]))
            counts.append(len(solved))
        assert counts == counts[:1] * 4, "the use of an example is no reason to solve"
        model.remember(key(30)[None], ["red"])
        model.ready_memory()
        assert len(solved) > counts[0]

    def test_use_of_what_is_forgotten_meanwhile(self, build: Build) -> None:
        model = taught(build(capacity=20))
        ready = model.ready_memory()
        logits = model.read(ready, key(3)[None])
        model.forget(label="red")
        model.record_use(ready, key(3)[None], logits)
        assert len(model.memory) == 6

    def test_near_examples_of_one_label_merge(self, build: Build) -> None:
        model = build(capacity=2, eviction="kaiser")
        ids = model.remember(torch.stack([key(1), key(2)]), ["a", "b"], ["one", "two"])
        near = F.normalize(key(1) + 0.1 * key(7), dim=0)
        assert model.remember(near[None], ["a"], ["nearly one"]) == ids[:1]
        assert [entry.text for entry in model.memory.entries] == ["one", "two"]
        assert model.memory.state.write_count[0].tolist() == [2, 1]
        model.forget(ids=ids[:1])
        assert model.memory.labels == ("b",)


ROW = st.tuples(st.sampled_from("abcd"), st.sampled_from(["example", "description"]))


class ForgettingMachine(RuleBasedStateMachine):
    """A memory that is taught and forgets, next to the list of what it should hold."""

    model: Any
    fresh: Any
    folder: Path

    @initialize()
    def start(self) -> None:
        for model in (self.model, self.fresh):
            if len(model.memory):
                model.forget(ids=[entry.id for entry in model.memory.entries])
        self.held: list[tuple[int, int, str, str]] = []
        self.taught = 0

    def teach(self, model: Any, rows: list[tuple[int, str, str]]) -> list[int]:
        labels = [label for _, label, _ in rows]
        names = {label: key(ord(label)) for _, label, kind in rows if kind == "example" and label != "d"}
        return model.remember(
            torch.stack([key(number) for number, _, _ in rows]),
            labels,
            [f"text {number}" for number, _, _ in rows],
            [kind for _, _, kind in rows],
            names,
        )

    @rule(rows=st.lists(ROW, min_size=1, max_size=4))
    def remember(self, rows: list[tuple[str, str]]) -> None:
        numbered = [(self.taught + number, *row) for number, row in enumerate(rows)]
        self.taught += len(rows)
        ids = self.teach(self.model, numbered)
        assert len(set(ids)) == len(rows)
        self.held += [(id_, *row) for id_, row in zip(ids, numbered, strict=True)]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def forget_some(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from([row[0] for row in self.held]), min_size=1, max_size=4))
        self.model.forget(ids=ids)
        self.held = [row for row in self.held if row[0] not in ids]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def forget_a_label(self, data: st.DataObject) -> None:
        label = data.draw(st.sampled_from(sorted({row[2] for row in self.held})))
        self.model.forget(label=label)
        self.held = [row for row in self.held if row[2] != label]

    @rule(what=st.sampled_from(["id", "label", "nan", "length"]))
    def fail(self, what: str) -> None:
        before = self.model.memory
        calls: dict[str, Callable] = {
            "id": lambda: self.model.forget(ids=[*[row[0] for row in self.held[:1]], 1]),
            "label": lambda: self.model.forget(label="z"),
            "nan": lambda: self.model.remember(torch.full((1, K), float("nan")), ["a"], ["x"]),
            "length": lambda: self.model.remember(key(1)[None], ["a", "b"], ["x"]),
        }
        with pytest.raises((NotInMemoryError, InvalidInputError)):
            calls[what]()
        assert self.model.memory is before

    @precondition(lambda self: self.held)
    @rule()
    def ask(self) -> None:
        """Leaves a solution behind, from which the next solve starts."""
        self.model.read(self.model.ready_memory(), key(5)[None])

    @invariant()
    def holds_what_it_should(self) -> None:
        assert [entry.id for entry in self.model.memory.entries] == [row[0] for row in self.held]
        with_words = {row[2] for row in self.held if row[3] == "example" and row[2] != "d"}
        assert set(self.model.memory.named_labels) == with_words

    def teardown(self) -> None:
        """A memory that never saw what was forgotten is the same to the last bit."""
        if len(self.fresh.memory):
            self.fresh.forget(ids=[entry.id for entry in self.fresh.memory.entries])
        if self.held:
            assert self.teach(self.fresh, [row[1:] for row in self.held]) == [row[0] for row in self.held]
            queries = torch.stack([key(number) for number in range(60, 70)])
            mine, theirs = (model.read(model.ready_memory(), queries) for model in (self.model, self.fresh))
            assert torch.allclose(mine.softmax(-1), theirs.softmax(-1), atol=1e-6)
        written = []
        for model, folder in ((self.model, self.folder / "mine"), (self.fresh, self.folder / "fresh")):
            model.save_memory(folder)
            written.append((folder / "memory.safetensors").read_bytes())
        assert written[0] == written[1]


@pytest.mark.parametrize("reading", ["logistic", "least_squares"])
def test_forgetting_is_as_if_it_had_never_been(build: Build, tmp_path: Path, reading: str) -> None:
    machine = type(
        "Machine",
        (ForgettingMachine,),
        {"model": build(reading=reading), "fresh": build(reading=reading), "folder": tmp_path},
    )
    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=12, deadline=None))


class TestThreads:
    def test_asking_while_another_teaches_and_forgets(self, build: Build) -> None:
        model = taught(build())
        stop, wrong = threading.Event(), []
        known = {"red", "blue", "green"}

        def ask() -> None:
            while not stop.is_set():
                try:
                    ready = model.ready_memory()
                    logits = model.read(ready, key(3)[None])
                    labels = ready.memory.labels
                    [[told]] = model.evidence(ready, key(3)[None], logits, logits.argmax(1, keepdim=True), None)
                    named = {ready.memory.all_entries[slot].label for slot in told.slots}
                    if logits.shape[1] != len(labels) or not known <= set(labels) <= known | {"new"}:
                        wrong.append(labels)
                    if named != {labels[int(logits.argmax())]}:
                        wrong.append(named)
                except Exception as error:
                    wrong.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(40):
            model.forget(ids=model.remember(key(200 + number)[None], ["new"], [f"new {number}"]))
        stop.set()
        for thread in threads:
            thread.join()
        assert not wrong, wrong[:3]

    @pytest.mark.parametrize("kwargs", [{}, {"capacity": 1000}])
    def test_two_writers_lose_nothing(self, build: Build, kwargs: dict) -> None:
        model = build(**kwargs)

        def write(start: int) -> None:
            for number in range(start, start + 25):
                model.remember(key(number)[None], [f"label {number % 3}"], [f"text {number}"])

        threads = [threading.Thread(target=write, args=(start,)) for start in (0, 100, 200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        texts = {entry.text for entry in model.memory.entries}
        assert texts == {f"text {start + number}" for start in (0, 100, 200) for number in range(25)}
        assert model.memory.state.ids[0].tolist() == [entry.id for entry in model.memory.entries]
        assert sorted(model.config.id2label.values()) == ["label 0", "label 1", "label 2"]
