"""Damaged and hostile folders of every kind: each loads and answers, or is refused by an error of the library.

`MANN_FUZZ=5000:7` asks for another number of mutations, and for another seed.
"""

import json
import os
import random
import resource
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from transformers import pipeline as overloaded_pipeline

from mann_hf import FEW_SHOT_TASK, FewShotPipeline, FewShotTextClassificationPipeline, MANNForSequenceClassification
from mann_hf.cli.classifier import find_config, open_classifier
from mann_hf.errors import MannError
from mann_hf.hub.saving import COMMITTED, MANIFEST
from mann_hf.memory.reading import MULTI_LABEL, REGRESSION
from tests.folder_mutations import mutate

pipeline: Any = overloaded_pipeline  # it knows no tasks that are registered
COUNT, SEED = (int(number) for number in os.environ.get("MANN_FUZZ", "1000:0").split(":"))
SECONDS, BYTES, AT_ONCE = 20, 2**30, 2
TEXTS = ["where is my card", "send my money back", "cancel the order please", "my package was stolen"]
QUESTIONS = ["where is my package?", "i want my money back, please: " + "a" * 30 + "! card " * 40]
MULTI = [["card"], ["refund", "money"], ["order"], ["order", "card"]]
LABELS: dict[str | None, list] = {
    None: ["card", "refund", "card", "refund"],
    MULTI_LABEL: MULTI,
    REGRESSION: [0.0, 1.0, 2.5, -3.0],
}


class Case(NamedTuple):
    """One mutation, and how it ended."""

    number: int
    kind: str
    file: str
    done: str
    door: str
    folder: Path
    process: int
    result: int
    started: float


def ask(classifier: FewShotPipeline) -> None:
    answers = classifier(QUESTIONS)
    assert len(answers) == 2 and all(isinstance(answer["score"], float) for answer in answers)


def by_model(folder: Path) -> None:
    ask(FewShotTextClassificationPipeline(model=MANNForSequenceClassification.from_pretrained(folder)))


def by_command(folder: Path) -> None:
    find_config(str(folder), on_hub=False)
    ask(open_classifier(str(folder), "text"))


def by_auto_class(folder: Path) -> None:
    ask(FewShotTextClassificationPipeline(model=AutoModelForSequenceClassification.from_pretrained(folder)))


def by_auto_model(folder: Path) -> None:
    assert AutoModel.from_pretrained(folder)(input_ids=torch.tensor([[2, 3]])).last_hidden_state.shape[:2] == (1, 2)


def by_pipeline(folder: Path) -> None:
    ask(pipeline(FEW_SHOT_TASK, model=str(folder)))


def by_stock_pipeline(folder: Path) -> None:
    assert len(pipeline("text-classification", model=str(folder))(QUESTIONS, truncation=True)) == 2


def by_encoder(folder: Path) -> None:
    classifier = FewShotTextClassificationPipeline(model=MANNForSequenceClassification.from_encoder_pretrained(folder))
    classifier.remember(TEXTS, LABELS[None])
    ask(classifier)


AFTER_AUTO_CONFIG = (by_auto_class, by_auto_model, by_pipeline, by_stock_pipeline)
"""Doors at which transformers reads `config.json` before the library is asked, and tells its faults itself."""


@pytest.fixture(scope="module")
def folders(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each kind."""
    place = tmp_path_factory.mktemp("kinds")

    def taught(problem_type: str | None = None, **fields: Any) -> FewShotTextClassificationPipeline:
        model = MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder, problem_type=problem_type, **fields)
        classifier = FewShotTextClassificationPipeline(model=model)
        classifier.remember(TEXTS, LABELS[problem_type])
        return classifier

    classifier = taught(prompts={"query": "q: "}, prompt_name="query", reading_options={"constant": 0.5}, capacity=9)
    classifier.model.model_card_data.license = "mit"
    classifier.save_pretrained(place / "single")
    taught(MULTI_LABEL).save_pretrained(place / "multi")
    taught(REGRESSION).save_pretrained(place / "regression")
    classifier.save_pretrained(place / "sharded", max_shard_size="30KB")
    classifier.save_memory(place / "memory")

    committed = place / "committed"
    shutil.copytree(place / "single", committed)
    shutil.copytree(place / "single", committed / COMMITTED)
    names = [path.name for path in (committed / COMMITTED).iterdir() if path.is_file()]
    (committed / COMMITTED / MANIFEST).write_text(str(names).replace("'", '"'))

    AutoModel.from_pretrained(tiny_encoder).save_pretrained(place / "encoder")
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(place / "encoder")
    shutil.copytree(place / "encoder", place / "sentences")
    for name, content in SENTENCE_FILES.items():
        (place / "sentences" / name).parent.mkdir(exist_ok=True)
        (place / "sentences" / name).write_text(content)

    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    shutil.copytree(place / "encoder", place / "words")
    (place / "words" / "tokenizer.json").unlink()
    for name, content in word_files(tokenizer).items():
        (place / "words" / name).parent.mkdir(exist_ok=True)
        (place / "words" / name).write_text(content)

    peft = pytest.importorskip("peft")
    adapted = taught()
    adapted.model.add_adapter(peft.LoraConfig(r=2, target_modules=["query"]))
    adapted.save_pretrained(place / "adapter")
    return {path.name: path for path in sorted(place.iterdir())}


SENTENCE_FILES = {
    "modules.json": """[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]""",
    "1_Pooling/config.json": """{"word_embedding_dimension": 32, "pooling_mode_mean_tokens": true}""",
    "sentence_bert_config.json": """{"max_seq_length": 60, "do_lower_case": false}""",
    "config_sentence_transformers.json": """{"prompts": {"query": "q: "}, "default_prompt_name": "query"}""",
}


def word_files(tokenizer: Any) -> dict[str, str]:
    """The files of a tokenizer as earlier releases wrote them."""
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    special = {name: getattr(tokenizer, name) for name in ("pad_token", "unk_token", "cls_token", "sep_token")}
    return {
        "vocab.txt": "\n".join(token for token, _ in tokens) + "\n",
        "tokenizer_config.json": json.dumps({"tokenizer_class": "BertTokenizer", "model_max_length": 60}),
        "special_tokens_map.json": json.dumps(special),
        "added_tokens.json": json.dumps({"card": tokenizer.get_vocab()["card"]}),
        "generation_config.json": "{}",
        "chat_template.jinja": "{{ messages }}",
        "additional_chat_templates/other.jinja": "{{ messages }}",
    }


def start(number: int, kind: str, source: Path, target: Path, others: list[Path], doors: list[Callable]) -> Case:
    """Damages a file of a copy, and loads it in a process of its own."""
    rng = random.Random(f"{SEED}-{number}")
    shutil.copytree(source, target, symlinks=True)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    file = files[number % len(files)] if rng.random() < 0.5 else rng.choice(files)
    done = mutate(file, rng, others)
    door = rng.choice([door for door in doors if file.name != "config.json" or door not in AFTER_AUTO_CONFIG])
    out, into = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(out)
        run(door, target, into)
    os.close(into)
    return Case(
        number, kind, str(file.relative_to(target)), done, door.__name__, target, process, out, time.monotonic()
    )


def run(door: Callable[[Path], None], folder: Path, into: int) -> None:
    """What the process does, within its bounds; it writes how that ended."""
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + BYTES, held + BYTES))
    try:
        door(folder)
        told = "loaded"
    except MannError as error:
        told = type(error).__name__
    except MemoryError:
        told = "memory"
    except BaseException as error:
        memory = "allocate memory" in str(error)
        told = "memory" if memory else f"bare {type(error).__name__}: {' '.join(str(error).split())[:150]}"
    os.write(into, told.encode(errors="replace"))
    os._exit(0)


def end(case: Case) -> str | None:
    """How a case ended; None while it has not."""
    ended, status = os.waitpid(case.process, os.WNOHANG)
    if not ended:
        if time.monotonic() - case.started < SECONDS:
            return None
        os.kill(case.process, signal.SIGKILL)
        os.waitpid(case.process, 0)
        told = "hang"
    else:
        told = os.read(case.result, 4096).decode() or f"signal {-os.waitstatus_to_exitcode(status)}"
    os.close(case.result)
    shutil.rmtree(case.folder, ignore_errors=True)
    return told


@pytest.mark.slow
def test_each_loads_or_is_refused(
    folders: dict[str, Path],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.set_num_threads(1)
    model = MANNForSequenceClassification.from_pretrained(folders["single"])
    tokenizer = model.load_tokenizer()

    def by_memory(folder: Path) -> None:
        model.load_memory(folder)
        ask(FewShotTextClassificationPipeline(model=model, tokenizer=tokenizer))

    doors: dict[str, list[Callable]] = {name: [by_model, by_command, *AFTER_AUTO_CONFIG] for name in folders}
    doors |= {"memory": [by_memory], "encoder": [by_encoder], "sentences": [by_encoder], "words": [by_encoder]}
    for name, folder in folders.items():  # undamaged, each loads
        for door in doors[name]:
            door(Path(shutil.copytree(folder, tmp_path / f"{name}-{door.__name__}")))

    others = sorted(path for folder in folders.values() for path in folder.rglob("*") if path.is_file())
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    running: list[Case] = []
    kinds = list(folders)
    number = 0
    while number < COUNT or running:
        while number < COUNT and len(running) < AT_ONCE:
            kind = kinds[number % len(kinds)]
            running.append(start(number, kind, folders[kind], tmp_path / f"case-{number}", others, doors[kind]))
            number += 1
        time.sleep(0.005)
        for case in list(running):
            if (told := end(case)) is not None:
                running.remove(case)
                outcomes[told.split(":")[0]] += 1
                if told in ("hang", "memory") or told.startswith(("bare", "signal")):
                    wrong.append(f"{case.number} {case.kind}/{case.file} {case.done} {case.door}: {told}")
    record_property(f"{COUNT} mutations, seed {SEED}", ", ".join(f"{told} {n}" for told, n in outcomes.most_common()))
    assert not wrong, "\n".join(wrong)
    assert outcomes["loaded"] > COUNT / 10 and outcomes["FolderError"] > COUNT / 20
