import inspect
from pathlib import Path
from typing import Any

import pytest

from mann_hf import MANNConfig, MANNForSequenceClassification
from mann_hf.errors import InvalidTypeError
from mann_hf.models.pretrained_encoder import LEFT_OUT, config_fields, read_encoder

NOT_FOR_USERS = {"adapter", "projection"}  # follow from the encoder


def test_every_field_of_the_configuration_is_an_argument_by_name() -> None:
    """So that editors and notebooks complete it; with the type that the configuration gives it."""
    shown = inspect.signature(MANNForSequenceClassification.from_encoder_pretrained).parameters
    own = {name for name, part in shown.items() if part.kind is inspect.Parameter.KEYWORD_ONLY}
    assert own == config_fields() - NOT_FOR_USERS
    assert next(iter(shown)) == "encoder_name" and all(shown[name].default is LEFT_OUT for name in own)
    of_config = inspect.signature(MANNConfig.__init__).parameters
    assert all(shown[name].annotation == of_config[name].annotation for name in own & {*of_config})


def test_what_is_left_out_is_the_configurations_default(tiny_encoder: Path) -> None:
    _, config, settings = read_encoder(tiny_encoder, {"capacity": 3, "problem_type": "regression", "reading": None})
    assert (config.capacity, config.reading, config.num_labels) == (3, "least_squares", 1) and settings is None
    assert (config.pooling, config.label_names) == (MANNConfig().pooling, True)


@pytest.mark.parametrize(
    ("given", "meant"), [("poolng", "did you mean pooling"), ("max_length", "max_seq_length"), ("xyz", "see help")]
)
def test_an_argument_that_there_is_not(tiny_encoder: Path, tmp_path: Path, given: str, meant: str) -> None:
    model: Any = MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder)
    model.save_pretrained(tmp_path)
    loads = {
        "from_encoder_pretrained": lambda: model.from_encoder_pretrained(tiny_encoder, **{given: "cls"}),
        "from_pretrained": lambda: model.from_pretrained(tmp_path, **{given: "cls"}),
    }
    for name, load in loads.items():
        with pytest.raises(InvalidTypeError, match=rf"^{name}\(\) has no argument '{given}': .*{meant}"):
            load()


def test_help_shows_defaults_in_a_word() -> None:
    shown = str(inspect.signature(MANNForSequenceClassification.from_encoder_pretrained))
    assert "pooling: str = <default>" in shown and "Ellipsis" not in shown
