"""What each of several processes runs in test_processes.py; figures and model lie in a folder.

Settings: `encoder`, `rows` (a file), `output`, `arguments` of the run, and, if asked for, `spread` (FSDP2), `lora`,
`taught` (the model has a memory), `stop_after` (steps), `resume`.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from accelerate.state import DistributedType, PartialState
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import save_file
from transformers import TrainerCallback

import mann_hf

SPREAD = {
    "version": 2,
    "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    "transformer_layer_cls_to_wrap": ["BertLayer"],
    "state_dict_type": "FULL_STATE_DICT",
    "reshard_after_forward": True,
}


def spread_on_processors() -> None:
    """Accelerate spreads weights over accelerators alone: let it take these processes for some."""
    begin = PartialState.__init__

    def begin_as_accelerators(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU

    PartialState.__init__ = begin_as_accelerators  # type: ignore[method-assign]


class Watch(TrainerCallback):
    """Keeps the first step's gradients, where weights are whole, and ends a run early."""

    def __init__(self, model: Any, settings: dict[str, Any]) -> None:
        self.model, self.settings = model, settings

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero and state.global_step == 0 and not self.settings.get("spread"):
            grads = {name: p.grad.clone() for name, p in self.model.named_parameters() if p.grad is not None}
            save_file(grads, Path(self.settings["output"], "grads.safetensors"))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop |= state.global_step == self.settings.get("stop_after")


def main(rank: int, settings: dict[str, Any], processes: int, port: int) -> None:
    """Evaluates, trains, evaluates and saves, as one of several processes that know of each other as by torchrun."""
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    os.environ |= {name: str(number) for name, number in ranks.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    torch.set_num_threads(1)
    if settings.get("spread"):
        spread_on_processors()
        settings["arguments"] |= {"fsdp": True, "fsdp_config": SPREAD}
    rows = [json.loads(line) for line in Path(settings["rows"]).read_text(encoding="utf-8").splitlines()]
    model = mann_hf.MANNForSequenceClassification.from_encoder_pretrained(settings["encoder"])
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    if settings.get("taught"):
        texts = ["my card is lost", "a new order"]
        model.remember(model.embed_texts(model.load_tokenizer(), texts), ["card", "order"], texts)
    output = Path(settings["output"])
    arguments = mann_hf.EpisodicTrainingArguments(
        str(output), report_to="none", use_cpu=True, disable_tqdm=True, **settings["arguments"]
    )
    adapter = LoraConfig(r=2, target_modules=["query", "value"], lora_dropout=0.0) if settings.get("lora") else None
    half = len(rows) // 2
    trainer = mann_hf.EpisodicTrainer(
        model,
        arguments,
        Dataset.from_list(rows[:half]),
        Dataset.from_list(rows[half:]),
        peft_config=adapter,
        callbacks=[Watch(model, settings)],
    )
    figures = {"before": trainer.evaluate()}
    trainer.train(resume_from_checkpoint=True if settings.get("resume") else None)
    figures["after"] = trainer.evaluate()
    trainer.save_model(str(output / "model"))
    if trainer.is_world_process_zero():
        (output / "figures.json").write_text(json.dumps(figures), encoding="utf-8")
