import inspect
from pathlib import Path

from mann_hf import MANNConfig, MANNForSequenceClassification
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
