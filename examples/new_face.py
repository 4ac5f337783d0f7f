"""A face of your own in one file: rows of numbers, read by a small feed-forward network."""

from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling as Output

import mann_hf
from mann_hf.controllers import CONTROLLERS, Controller, InputProcessor


class RowConfig(PreTrainedConfig):
    """Of the encoder."""

    model_type, num_columns, hidden_size = "rows", 8, 32


class RowEncoder(PreTrainedModel):
    """Rows [B, columns] to vectors [B, H]."""

    config_class = RowConfig

    def __init__(self, config: RowConfig) -> None:
        super().__init__(config)
        self.layers = nn.Sequential(nn.Linear(config.num_columns, 64), nn.ReLU(), nn.Linear(64, config.hidden_size))
        self.post_init()

    def forward(self, rows: torch.Tensor) -> Output:
        return Output(pooler_output=self.layers(rows))


class RowProcessor(InputProcessor):
    """Turns rows as users give them into the encoder's tensors."""

    noun = "row"

    def check(self, inputs: Any) -> list:
        return list(np.atleast_2d(np.asarray(inputs, np.float32)))

    def collate(self, encodings: Any, rows: Any) -> dict:
        return {"rows": torch.from_numpy(np.stack([encodings[row] for row in rows]))}


@CONTROLLERS.register("rows")
class RowController(Controller):
    """Brings both together, by the name that a model's configuration has as its `modality`."""

    modality = main_input = "rows"
    noun = "row"

    def probe_inputs(self, config: PreTrainedConfig, device: torch.device) -> dict:
        return {"rows": torch.linspace(-1, 1, config.num_columns, device=device)[None]}

    def processor(self, config: PreTrainedConfig, encoder: nn.Module, processing_class: object) -> RowProcessor:
        return RowProcessor()


AutoConfig.register("rows", RowConfig)
AutoModel.register(RowConfig, RowEncoder)
noise = np.random.default_rng(0)
rows = np.repeat(noise.normal(size=(30, 8)), 10, axis=0) + noise.normal(size=(300, 8))
labels = [f"class {number}" for number in range(30) for _ in range(10)]
data = Dataset.from_dict({"row": rows[:200], "label": labels[:200]})
model = mann_hf.MANNForClassification.from_encoder_config("rows", modality="rows")
args = mann_hf.EpisodicTrainingArguments("my-rows", input_column="row", max_steps=50, report_to="none")
mann_hf.EpisodicTrainer(model=model, args=args, train_dataset=data).train()

classifier = mann_hf.FewShotPipeline(model=model)
classifier.remember(rows[200::2], labels[200::2])
answers = classifier(rows[201::2])
right = np.mean([answer["label"] == label for answer, label in zip(answers, labels[201::2], strict=True)])
classifier.save_pretrained("my-rows")
again = mann_hf.FewShotPipeline(model=mann_hf.MANNForClassification.from_pretrained("my-rows"))
print(f"{right:.0%} of new rows are right, the same when loaded: {again(rows[201::2]) == answers}")
