"""Conv-4, the four-block convolutional network of the few-shot literature, as an image encoder of transformers."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndNoAttention

from ..errors import InvalidInputError, InvalidTypeError
from ..wording import at_least

NUM_BLOCKS = 4
SMALLEST_IMAGE = 2**NUM_BLOCKS
"""The side of an image of which one position is left after the blocks, each of which halves it."""
POOLERS = ("flatten", "mean")


class Conv4Config(PreTrainedConfig):
    """Configuration of a Conv-4 image encoder.

    Args:
        image_size: height and width of an image in pixels, 16 or more.
        num_channels: channels of an image: 1 for grey, 3 for colour.
        hidden_size: H, the channels of each block.
        pooler: what makes one vector of the last block's map: `"flatten"` keeps all of it, as the literature does;
            `"mean"` averages over positions. With images of 28 x 28 pixels the map is one position, and both are the
            same.

    Raises:
        InvalidInputError: a field of a type or range that cannot be meant.
    """

    model_type = "conv4"

    def __init__(
        self,
        image_size: int = 28,
        num_channels: int = 1,
        hidden_size: int = 64,
        pooler: str = "flatten",
        **kwargs: Any,
    ) -> None:
        if pooler not in POOLERS:
            raise InvalidInputError(f"pooler is {pooler!r}; choose one of {', '.join(map(repr, POOLERS))}.")
        self.image_size = at_least("image_size", image_size, SMALLEST_IMAGE)
        self.num_channels = at_least("num_channels", num_channels)
        self.hidden_size = at_least("hidden_size", hidden_size)
        self.pooler = pooler
        super().__init__(**kwargs)

    @property
    def pooler_output_size(self) -> int:
        """K, the size of the vector of an image."""
        side = 1 if self.pooler == "mean" else self.image_size // SMALLEST_IMAGE
        return self.hidden_size * side**2


class Conv4Block(nn.Module):
    """A 3 x 3 convolution, batch normalization, ReLU and 2 x 2 max-pooling: [B, C, h, w] -> [B, H, h // 2, w // 2].

    Pooling comes before ReLU: the largest value is the same, and ReLU has a quarter of the values to work on.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.normalization = nn.BatchNorm2d(out_channels)
        self.pooling = nn.MaxPool2d(2)
        self.activation = nn.ReLU()

    def forward(self, hidden_states: Tensor) -> Tensor:
        normalized: Tensor = self.normalization(self.convolution(hidden_states))
        return self.activation(self.pooling(normalized))


class Conv4Model(PreTrainedModel):
    """The image encoder of matching networks and prototypical networks: four convolutional blocks.

    In training, batch normalization uses the statistics of the batch; in evaluation the running ones, so that the
    vector of an image depends on that image alone.

    Source: Vinyals et al. 2016, [Matching Networks for One Shot Learning](https://arxiv.org/abs/1606.04080), section
    4.1; Snell et al. 2017, [Prototypical Networks for Few-shot Learning](https://arxiv.org/abs/1703.05175), section
    3.1; for the random weights of the convolutions He et al. 2015, [Delving Deep into
    Rectifiers](https://arxiv.org/abs/1502.01852), equation 14.
    """

    config_class = Conv4Config
    base_model_prefix = "conv4"
    main_input_name = "pixel_values"
    input_modalities = ["image"]
    _no_split_modules = ["Conv4Block"]

    config: Conv4Config

    def __init__(self, config: Conv4Config) -> None:
        super().__init__(config)
        widths = [config.num_channels] + [config.hidden_size] * NUM_BLOCKS
        self.blocks = nn.ModuleList(map(Conv4Block, widths, widths[1:]))
        self.pooler = nn.AdaptiveAvgPool2d(1) if config.pooler == "mean" else nn.Identity()
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(
        self, pixel_values: Tensor, output_hidden_states: bool | None = None, return_dict: bool | None = None
    ) -> BaseModelOutputWithPoolingAndNoAttention | tuple[Any, ...]:
        """Encodes images.

        Args:
            pixel_values: [B, C, h, w] numbers, of the configuration's `num_channels` and `image_size`.
            output_hidden_states: whether to return the map of every block as well.
            return_dict: whether to return a named output; a tuple if False.

        Returns:
            `last_hidden_state` [B, H, h // 16, w // 16], `pooler_output` [B, K] with K = `config.pooler_output_size`
            and, if asked for, `hidden_states` of the four blocks.

        Raises:
            InvalidTypeError: `pixel_values` is no tensor of floating-point numbers.
            InvalidInputError: `pixel_values` has another shape.
        """
        self._check_images(pixel_values)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if return_dict is None:
            return_dict = self.config.return_dict
        # with channels last, a step of training on a CPU takes two thirds of the time
        hidden = pixel_values.to(dtype=self.dtype, memory_format=torch.channels_last)
        hidden_states: tuple[Tensor, ...] = ()
        for block in self.blocks:
            hidden = block(hidden)
            hidden_states += (hidden,)
        output = BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=hidden,
            pooler_output=self.pooler(hidden).flatten(1),
            hidden_states=hidden_states if output_hidden_states else None,
        )
        return output if return_dict else output.to_tuple()

    def _check_images(self, pixel_values: Any) -> None:
        """Refuses what is no batch of images of the configuration's size."""
        if not isinstance(pixel_values, Tensor) or not pixel_values.is_floating_point():
            found = getattr(pixel_values, "dtype", type(pixel_values).__name__)
            raise InvalidTypeError(
                f"pixel_values must be a tensor of floating-point numbers, not {found}; give images to the image "
                "processor, which scales them."
            )
        size = self.config.image_size
        wanted = (self.config.num_channels, size, size)
        if pixel_values.dim() != 4 or tuple(pixel_values.shape[1:]) != wanted:
            raise InvalidInputError(
                f"pixel_values has the shape {list(pixel_values.shape)}; this model takes [B, C, h, w] with "
                f"C = {wanted[0]} and h = w = {size}: the num_channels and image_size of its configuration."
            )
