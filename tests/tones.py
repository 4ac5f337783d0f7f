"""A modality from outside the library: tones, each four numbers, with an encoder that is small and needs no files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from mann_hf.controllers.kinds import CONTROLLERS, Controller
from mann_hf.controllers.processor import InputProcessor
from mann_hf.errors import InvalidInputError
from mann_hf.models import MANNForClassification

TONES = {"1 0 0 0": "low", "0.9 0.1 0 0": "low", "0 0 0 1": "high", "0 0 0.1 0.9": "high"}
"""Tones as people write them, and their labels."""


class ToneConfig(PreTrainedConfig):
    """Of the encoder."""

    model_type, hidden_size = "tones", 8


class ToneEncoder(PreTrainedModel):
    """Tones [B, 4] to vectors [B, H]."""

    config_class = ToneConfig

    def __init__(self, config: ToneConfig) -> None:
        super().__init__(config)
        self.layer = nn.Linear(4, config.hidden_size, bias=False)
        self.post_init()

    def forward(self, tones: torch.Tensor) -> BaseModelOutputWithPooling:
        return BaseModelOutputWithPooling(pooler_output=self.layer(tones))


class ToneProcessor(InputProcessor):
    """Takes a tone as a text of four numbers, or as an array of them."""

    noun = "tone"

    def check(self, inputs: Any) -> list[np.ndarray]:
        tones = [inputs] if isinstance(inputs, str) else inputs
        read = [np.asarray(one.split() if isinstance(one, str) else one, np.float32) for one in tones]
        if wrong := [one for one in read if one.shape != (4,)]:
            raise InvalidInputError(f"a tone has 4 numbers, not {wrong[0].size}.")
        return read

    def collate(self, encodings: Any, rows: Any) -> dict[str, torch.Tensor]:
        return {"tones": torch.from_numpy(np.stack([encodings[row] for row in rows]))}


class ToneController(Controller):
    """Tones, for which the Hub has a task, and this library no pipeline."""

    modality = noun = "tone"
    main_input = "tones"
    task = "audio-classification"

    def probe_inputs(self, config: PreTrainedConfig, device: torch.device) -> dict[str, torch.Tensor]:
        return {"tones": torch.eye(4, device=device)}

    def processor(self, config: Any, encoder: nn.Module, processing_class: Any) -> ToneProcessor:
        return ToneProcessor()


AutoConfig.register("tones", ToneConfig, exist_ok=True)
AutoModel.register(ToneConfig, ToneEncoder, exist_ok=True)


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers the modality for one test, but not with the shell and the page."""
    monkeypatch.setitem(CONTROLLERS._parts, "tone", ToneController)


def tone_model(**options: Any) -> MANNForClassification:
    """A model of tones with the same weights at each call; `register` comes before."""
    torch.manual_seed(0)
    return MANNForClassification.from_encoder_config("tones", modality="tone", **options)


def tone_encoder(folder: Path) -> Path:
    """Saves an encoder with the same weights at each call, and gives its folder."""
    torch.manual_seed(0)
    ToneEncoder(ToneConfig()).save_pretrained(folder)
    return folder
