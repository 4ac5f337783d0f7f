"""Loading a pretrained encoder from a folder or repository."""

import copy
import os
from typing import Any

from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from ..controllers.kinds import TEXT, controller_of
from ..errors import EncoderNotFoundError, InvalidInputError
from ..wording import listed
from .configs import check_config, check_readable, is_quantized
from .files import CONFIG
from .guard import as_folder_error, naming_file
from .load_reports import SHOWN, check_shapes, deeper_parts, quiet_load_report
from .source import Source
from .weight_files import safetensors_alone, weights_of
from .weight_sizes import check_fits

logger = logging.get_logger(f"transformers.{__name__}")

SAVED_CLASSIFIER = "mann"
"""The type that the configuration of a saved classifier states."""


def load_encoder(
    name_or_path: str | os.PathLike[str],
    *,
    modality: str = TEXT,
    pooling: str | None = None,
    trust_remote_code: bool = False,
    **kwargs: Any,
) -> PreTrainedModel:
    """Loads a pretrained encoder: the model of `AutoModel`, or the encoder of an encoder-decoder.

    Layers for other uses, such as BERT's pooler, are left out, and their weights are ignored. Missing weights of the
    encoder raise an error, because random layers give meaningless keys.

    The repository may come from a stranger: none of its code is run, and only safetensors are read.

    Args:
        name_or_path: a folder or Hub id, as `resolve_encoder` returns it.
        modality: of the inputs that it reads: a name of `CONTROLLERS`.
        pooling: how its states will be pooled; None for the default of its family.
        trust_remote_code: whether to run code of the repository.
        **kwargs: arguments of `from_pretrained`: `revision`, `token`, `cache_dir`, `local_files_only`, `dtype`,
            `attn_implementation`, `device_map` and so on. `use_safetensors=False` reads a pickle, with the
            `weights_only` loading of transformers.

    Raises:
        EncoderNotFoundError: some of the encoder's weights are missing.
        UnsafeFileError: the weights are a pickle, or lie outside of the folder or repository.
        InvalidInputError: the configuration has a field of a type or size that nobody's has, or the
            model reads other inputs than those of the modality.
        FolderError: a file is missing or damaged, or the configuration and the weights do not belong together.
        OSError: the Hub does not give a file.
    """
    source = Source.of(name_or_path, kwargs).at_one_commit()
    kwargs |= source.arguments
    config = kwargs.pop("config", None)
    if config is None:
        check_readable(source)
        with naming_file(name_or_path, CONFIG), as_folder_error(name_or_path, CONFIG, kwargs):
            check_config(PreTrainedConfig.get_config_dict(name_or_path, **source.arguments)[0])
            config = AutoConfig.from_pretrained(name_or_path, trust_remote_code=trust_remote_code, **source.arguments)
        for computed_by in ("_attn_implementation", "_experts_implementation"):
            if getattr(config, computed_by, None) is not None:
                setattr(config, computed_by, None)  # the user's to say: a file could name code on the Hub
    if getattr(type(config), "has_memory", False):
        kind = "classifier" if config.model_type == SAVED_CLASSIFIER else "model with a memory"
        raise InvalidInputError(
            f"{os.fspath(name_or_path)!r} is a saved {kind}, not a bare encoder: load it with "
            "from_pretrained of its class, such as MANNForSequenceClassification.from_pretrained."
        )
    controller = controller_of(modality)
    controller.prepare(config)
    kwargs = safetensors_alone(source, config, kwargs)
    other_shapes = kwargs.pop("ignore_mismatched_sizes", False)
    files = [] if trust_remote_code else weights_of(source, config, kwargs)
    with as_folder_error(name_or_path, CONFIG, kwargs):
        kind, options = controller.auto_class(config), controller.options(config, pooling)
        build = lambda: kind.from_config(copy.deepcopy(config), **options)  # noqa: E731
        check_fits(config, files, build, name_or_path, is_quantized(config))
        with quiet_load_report():
            encoder, report = kind.from_pretrained(
                name_or_path,
                config=config,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # refused below, by name
                **options,
                **kwargs,
            )
    if not other_shapes:
        check_shapes(report, name_or_path)
    if missing := sorted(report["missing_keys"]):
        raise EncoderNotFoundError(
            f"The weights in {os.fspath(name_or_path)!r} lack {len(missing)} of the weights of "
            f"{type(encoder).__name__}, such as {missing[0]!r}. Its config.json and its weights do not match, or the "
            "file is damaged: "
            "download or save the encoder again."
        )
    if left_over := deeper_parts(report, encoder.state_dict()):
        logger.warning(
            f"{os.fspath(name_or_path)!r} has weights of further layers than its config.json names, which are left "
            f"out: {listed(left_over, SHOWN)}. If the encoder was not cut on purpose, correct its config.json: the "
            "keys are those of another model."
        )
    if unused := sorted(report["unexpected_keys"]):
        logger.info(f"Passed over {len(unused)} weights in {os.fspath(name_or_path)!r} of other uses: {unused}")
    return controller.finish(encoder)
