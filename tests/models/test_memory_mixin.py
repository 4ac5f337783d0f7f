"""A memory whose keys are those of an encoder as it was before is not answered from."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mann_hf.errors import EncoderMismatchError, InvalidInputError, InvalidTypeError
from mann_hf.models import Example, base_weights
from mann_hf.pipelines import FewShotTextClassificationPipeline

Build = Callable[..., Any]
OLD = "trained, quantised or changed in another way after its memory was taught.*reencode_memory"
ASKED = "where is my card"


@pytest.fixture
def classifier(build: Build, texts: list[str], labels: list[str]) -> FewShotTextClassificationPipeline:
    classifier = FewShotTextClassificationPipeline(model=build())
    classifier.remember(texts, labels)
    return classifier


def inputs(classifier: FewShotTextClassificationPipeline) -> Any:
    assert classifier.tokenizer is not None
    return classifier.tokenizer([ASKED, "please send the money back"], padding=True, return_tensors="pt")


def trained(
    classifier: FewShotTextClassificationPipeline, fused: bool = True, only: str = "", lr: float = 0.05
) -> None:
    """Trains the encoder, or a part of it, in a plain loop."""
    model = classifier.model
    for name, parameter in model.encoder.named_parameters():
        parameter.requires_grad_(only in name)
    optimizer = torch.optim.AdamW(model.encoder.parameters(), lr=lr, fused=fused)
    for _ in range(3):
        model.embed(**inputs(classifier))[:, 0].sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def trained_by_a_trainer(
    classifier: FewShotTextClassificationPipeline, folder: Path, loss: Callable[..., Any] | None = None, **settings: Any
) -> Any:
    pytest.importorskip("accelerate")
    from transformers import Trainer, TrainingArguments

    model = classifier.model
    tokens = inputs(classifier)
    rows = [{name: part[0] for name, part in tokens.items()} | {"labels": torch.tensor(2)}]
    plain: dict[str, Any] = {
        "max_steps": 3,
        "learning_rate": 0.05,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }
    arguments = TrainingArguments(str(folder), use_cpu=True, **plain, **settings)
    trainer = Trainer(model, arguments, train_dataset=rows * 4, eval_dataset=rows, compute_loss_func=loss)
    trainer.train()
    return trainer


def loaded(classifier: FewShotTextClassificationPipeline, assign: bool) -> None:
    model = classifier.model
    state = {name: torch.randn_like(tensor.float()).to(tensor.dtype) for name, tensor in model.state_dict().items()}
    model.load_state_dict(state, assign=assign)


def edited(classifier: FewShotTextClassificationPipeline) -> None:
    for parameter in classifier.model.encoder.parameters():
        parameter.data.mul_(-1.5)


def replaced(classifier: FewShotTextClassificationPipeline) -> None:
    embeddings = classifier.model.encoder.embeddings
    embeddings.word_embeddings = torch.nn.Embedding(*embeddings.word_embeddings.weight.shape)


CHANGES: dict[str, Callable[[Any, Path], Any]] = {
    "loop": lambda classifier, folder: trained(classifier, fused=False),
    "fused optimizer": lambda classifier, folder: trained(classifier),
    "the last layer": lambda classifier, folder: trained(classifier, only="layer.1."),
    "biases": lambda classifier, folder: trained(classifier, only="bias", lr=1.0),
    "trainer": lambda classifier, folder: trained_by_a_trainer(classifier, folder),
    "load_state_dict": lambda classifier, folder: loaded(classifier, assign=False),
    "load_state_dict, assigned": lambda classifier, folder: loaded(classifier, assign=True),
    "data": lambda classifier, folder: edited(classifier),
    "another module": lambda classifier, folder: replaced(classifier),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_encoder(classifier: FewShotTextClassificationPipeline, change: str, tmp_path: Path) -> None:
    classifier(ASKED)
    own = classifier.with_own_memory()
    CHANGES[change](classifier, tmp_path)
    for each in (classifier, own, copy.deepcopy(classifier)):
        for _ in range(2):
            with pytest.raises(EncoderMismatchError, match=OLD):
                each(ASKED)
    if change != "trainer":  # what may be its own evaluation
        with pytest.raises(EncoderMismatchError, match=OLD), torch.no_grad():
            classifier.model(**inputs(classifier))
    classifier.model.reencode_memory()
    assert classifier(ASKED)


def test_the_first_question_after_the_change(classifier: FewShotTextClassificationPipeline, tmp_path: Path) -> None:
    classifier.save_pretrained(tmp_path)
    trained(classifier)
    with pytest.raises(EncoderMismatchError, match=OLD):
        classifier(ASKED)
    again = FewShotTextClassificationPipeline(model=type(classifier.model).from_pretrained(tmp_path))
    trained(again)
    with pytest.raises(EncoderMismatchError, match=OLD):
        again(ASKED)


def test_a_memory_without_texts_is_to_be_taught_again(build: Build, texts: list[str], labels: list[str]) -> None:
    classifier = FewShotTextClassificationPipeline(model=build(store_texts=False))
    classifier.remember(texts, labels)
    trained(classifier)
    with pytest.raises(EncoderMismatchError, match="teach the memory again, as it keeps no texts"):
        classifier(ASKED)


def test_an_adapter_that_was_trained_on(build: Build, texts: list[str], labels: list[str]) -> None:
    peft = pytest.importorskip("peft")
    classifier = FewShotTextClassificationPipeline(model=build())
    classifier.model.add_adapter(peft.LoraConfig(r=2, target_modules=["query", "value"]))
    classifier.remember(texts, labels)
    before = classifier(ASKED)
    trained(classifier, only="lora_", lr=1.0)
    with pytest.raises(EncoderMismatchError, match=OLD):
        classifier(ASKED)
    classifier.model.reencode_memory()
    assert classifier(ASKED) != before


@pytest.mark.parametrize("amid_training", [True, False])
def test_a_loss_on_the_own_memory_is_computed(
    classifier: FewShotTextClassificationPipeline, told: Callable[[], list[str]], amid_training: bool
) -> None:
    """As by an evaluation between two epochs, which must not end the training; steps of training say nothing."""
    trained(classifier)
    labels = torch.tensor([0, 1])
    classifier.model.train(amid_training)
    with torch.set_grad_enabled(amid_training):
        for _ in range(2):
            assert classifier.model(**inputs(classifier), labels=labels).loss.isfinite()
    assert len(told()) == (not amid_training)
    assert all("reencode_memory" in each for each in told())


def cross_entropy(outputs: Any, labels: Any, **kwargs: Any) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(outputs["logits"], labels)


@pytest.mark.parametrize("settings", [{"label_smoothing_factor": 0.1}, {"loss": cross_entropy}, {}])
def test_a_trainer_that_computes_the_loss_itself(
    classifier: FewShotTextClassificationPipeline,
    tmp_path: Path,
    told: Callable[[], list[str]],
    settings: dict[str, Any],
) -> None:
    trainer = trained_by_a_trainer(classifier, tmp_path, **settings, eval_strategy="steps", eval_steps=1)
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert len(losses) == 3 and len({*losses}) > 1
    assert torch.tensor(trainer.predict(trainer.eval_dataset).predictions[0]).isfinite().all()
    assert len([each for each in told() if "reencode_memory" in each]) == 1
    with pytest.raises(EncoderMismatchError, match=OLD):
        classifier(ASKED)
    classifier.model.reencode_memory()
    edited(classifier)
    with pytest.raises(EncoderMismatchError, match=OLD), torch.no_grad():
        classifier.model(**inputs(classifier))


def test_a_loop_that_computes_the_loss_itself(
    classifier: FewShotTextClassificationPipeline, told: Callable[[], list[str]]
) -> None:
    model, losses = classifier.model.train(), []
    optimizer = torch.optim.SGD(model.encoder.parameters(), lr=0.5)
    for _ in range(3):
        losses.append(cross_entropy(model(**inputs(classifier)), torch.tensor([0, 1])))
        losses[-1].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert len({loss.item() for loss in losses}) == 3 and not told()
    with torch.no_grad():
        assert cross_entropy(model.eval()(**inputs(classifier)), torch.tensor([0, 1])).isfinite()
    assert len(told()) == 1
    with pytest.raises(EncoderMismatchError, match=OLD):
        classifier(ASKED)


def test_a_changed_encoder_is_looked_at_once(
    classifier: FewShotTextClassificationPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes: list[int] = []

    def counted(model: Any) -> torch.Tensor:
        probes.append(1)
        return torch.zeros(1)

    monkeypatch.setattr(type(classifier.model), "encoder_probe", counted)
    for change in (
        edited,
        lambda classifier: classifier.model.encoder.embeddings.LayerNorm.weight.data.fill_(torch.nan),
    ):
        change(classifier)
        for _ in range(3):
            with pytest.raises(EncoderMismatchError):
                classifier(ASKED)
    assert len(probes) == 2


def test_unchanged_weights_cost_no_call_of_the_encoder(
    classifier: FewShotTextClassificationPipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    probes: list[int] = []
    probe = type(classifier.model).encoder_probe

    def counted(model: Any) -> torch.Tensor:
        probes.append(1)
        return probe(model)

    monkeypatch.setattr(type(classifier.model), "encoder_probe", counted)
    for _ in range(2):
        classifier(ASKED)
    classifier.with_own_memory()(ASKED)
    assert not probes
    classifier.model.double()
    for _ in range(2):
        assert classifier(ASKED)[0]["label"] == "card_arrival"
    assert len(probes) == 1, "another precision is looked at once"


class TestMark:
    def test_of_weights_of_every_kind(self) -> None:
        """Half precision, none, one without numbers, one made in inference mode and one that lies elsewhere."""
        modules: Any = torch.nn.ModuleList([torch.nn.Linear(2, 2).half(), torch.nn.Linear(2, 2, bias=False)])
        modules.append(torch.nn.Linear(0, 2, bias=False))
        modules.append(torch.nn.Linear(2, 2, device="meta"))
        with torch.inference_mode():
            modules.append(torch.nn.Linear(2, 2))
        mark = base_weights.mark(modules)
        assert mark.same(base_weights.mark(modules)) and len(mark.numbers) == 2
        with torch.inference_mode():
            modules[-1].weight.add_(1)
        assert not mark.same(base_weights.mark(modules))

    def test_of_weights_that_do_not_lie_in_order(self) -> None:
        linear = torch.nn.Linear(3, 5)
        linear.weight = torch.nn.Parameter(torch.rand(3, 5).T)
        mark = base_weights.mark(linear)
        linear.weight.data.add_(1)
        assert not mark.same(base_weights.mark(linear))

    def test_of_weights_of_which_several_are_one_number(self) -> None:
        linear = torch.nn.Linear(3, 5)
        linear.weight = torch.nn.Parameter(torch.ones(1).expand(5, 3), requires_grad=False)
        linear.bias = torch.nn.Parameter(torch.ones(1).expand(5))
        mark = base_weights.mark(linear)
        assert mark.same(base_weights.mark(linear))

    def test_of_no_numbers(self) -> None:
        linear = torch.nn.Linear(3, 5)
        linear.weight.data.fill_(torch.nan)
        mark = base_weights.mark(linear)
        assert mark.same(base_weights.mark(linear))
        linear.weight.data.fill_(1)
        assert not mark.same(base_weights.mark(linear))


NO_BYTES: Any = "a path"


class TestRememberingExamples:
    KEYS = torch.eye(2, 32)

    @pytest.mark.parametrize("single", [True, False])
    def test_they_are_what_the_lists_of_their_parts_are(self, tiny_classifier: Callable, single: bool) -> None:
        examples = [Example("refund", "my money"), Example("card", "what a card is", "description")][: 2 - single]
        parts = [list(part) for part in zip(*examples, strict=True)]
        lists, values = tiny_classifier(), tiny_classifier()
        ids = lists.remember(self.KEYS[: 2 - single], parts[0], parts[1], parts[2])
        assert values.remember(self.KEYS[: 2 - single], examples[0] if single else examples) == ids
        assert values.memory.entries == lists.memory.entries

    def test_of_several_labels(self, tiny_classifier: Callable) -> None:
        model = tiny_classifier(problem_type="multi_label_classification")
        model.remember(self.KEYS, [Example(("card", "pin"), "a"), Example((), "b")])
        assert [entry.label for entry in model.memory.entries] == [("card", "pin"), ()]

    @pytest.mark.parametrize(
        ("given", "error", "says"),
        [
            (([Example("a"), "b"],), InvalidTypeError, "examples and labels came mixed"),
            (([Example("a"), Example("b")], ["x", "y"]), InvalidInputError, "texts or kinds came beside examples"),
            (
                ([Example("a"), Example("b", stored=NO_BYTES)],),
                InvalidTypeError,
                "stored is of type str; give the byte",
            ),
            (([Example("a"), Example("")],), InvalidInputError, "label 1"),
            (([Example("a")],), InvalidInputError, "1 label came for 2"),
            (([Example("a"), Example("b", kind="name")],), InvalidInputError, "kinds are 'example' or 'description'"),
            (([Example("a"), Example("b", " ")],), InvalidInputError, "blank"),
        ],
    )
    def test_what_is_refused(self, tiny_classifier: Callable, given: tuple, error: type, says: str) -> None:
        model = tiny_classifier()
        with pytest.raises(error, match=says):
            model.remember(self.KEYS, *given)
        assert not len(model.memory)
