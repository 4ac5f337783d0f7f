"""What each of several processes runs in test_step.py: gradients of a step whose weights FSDP2 spreads over them.

The folder of an encoder is the only argument; an error says that a gradient is not the mean over all processes.
"""

import copy
import sys
from typing import Any

import torch
from torch.distributed import destroy_process_group, get_rank, get_world_size, init_process_group
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from mann_hf import EpisodeCollator, MANNForSequenceClassification
from mann_hf.episodes import Episode, Examples
from mann_hf.training import OBJECTIVES, EpisodicStep

WORDS = ("card", "money", "order", "bank")


def episode(number: int) -> Episode:
    """A task of two labels, another for each number."""
    one, two = WORDS[number % 4], WORDS[(number + 1) % 4]
    support = Examples([f"my {one}", f"the {two}", f"a {two}"], [0, 1, 1])
    return Episode(support, Examples([f"new {one}", f"my {two}"], [0, 1]), (one, two))


def main(encoder: str) -> None:
    """Compares the gradients of weights that are spread with those of whole ones."""
    init_process_group("gloo")
    rank, processes = get_rank(), get_world_size()
    model = MANNForSequenceClassification.from_encoder_pretrained(encoder)
    collate = EpisodeCollator.for_model(model, model.load_tokenizer())
    whole = EpisodicStep(copy.deepcopy(model), OBJECTIVES["episode"]())
    for number in range(processes):
        (whole(collate([episode(number)])).loss / processes).backward()
    spread = EpisodicStep(model, OBJECTIVES["episode"]())
    mesh = init_device_mesh("cpu", (processes,))
    for layer in model.encoder.encoder.layer:
        fully_shard(layer, mesh=mesh)
    fully_shard(spread, mesh=mesh)
    spread(collate([episode(rank)])).loss.backward()
    expected = dict(whole.named_parameters())
    shares = []
    for name, parameter in spread.named_parameters():
        gradient: Any = parameter.grad
        torch.testing.assert_close(gradient.full_tensor(), expected[name].grad, atol=1e-6, rtol=1e-4)
        shares.append(gradient.to_local().numel() / gradient.numel())
    if rank == 0:
        print(f"the gradients of {len(shares)} weights, of which a process has {min(shares):.0%} each")
    destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
