"""How much time generation takes with a memory, over that of the wrapped model.

    python -m tasks.translation.speed
    python -m tasks.translation.speed --entries 10000000 --json

Weights and keys are random: time depends on sizes alone. Each sequence has the same number of tokens with and without
the memory.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

import mann_hf
from mann_hf.persistent.pairs import EncodedPairs, search
from tasks.common.files import versions
from tasks.common.from_scratch import peak_memory_mib
from tasks.common.machine import processor
from tasks.common.recipes import Seq2SeqRecipe
from tasks.common.timing import ratio

RECIPE = Path(__file__).with_name("recipes") / "marian-base.yaml"
ENTRIES = (100_000, 1_000_000)
STORE = "faiss_pq"
"""What finds the nearest of more than `search.EXACT` entries; fewer are compared one by one."""
PAIR_TOKENS = 16
"""Target tokens of a stored pair, as captions have on average."""
BLOCK = 65_536
"""Tokens that are written at once."""
BATCH, SOURCE_TOKENS, TARGET_TOKENS = 16, 16, 24


def random_model(recipe: Seq2SeqRecipe, entries: int, **fields: Any) -> Any:
    """A model with random weights and so many random tokens in its memory.

    Args:
        recipe: of the wrapped model.
        entries: tokens stored.
        fields: of `MANNSeq2SeqConfig`.
    """
    set_seed(0)
    size = recipe.tokenizer["vocab_size"]
    special = {"vocab_size": size, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    model = mann_hf.MANNForConditionalGeneration.from_seq2seq_config(
        recipe.seq2seq, **{**special, **recipe.encoder}, memory="token", interpolation=0.3, **fields
    ).eval()
    for pairs in random_pairs(entries, model.empty_memory(), size):
        model.remember(pairs)
    return model


def random_pairs(entries: int, memory: Any, vocabulary: int) -> Iterator[EncodedPairs]:
    """Pairs of random tokens and keys of unit length, in blocks.

    Args:
        entries: tokens in all.
        memory: whose sizes the keys have.
        vocabulary: number of tokens.
    """
    random = torch.Generator().manual_seed(0)
    for start in range(0, entries, BLOCK):
        count = max(1, min(BLOCK, entries - start) // PAIR_TOKENS)
        tokens = torch.randint(2, vocabulary, (count * PAIR_TOKENS,), generator=random)
        source_keys, token_keys = (
            torch.nn.functional.normalize(torch.randn(rows, size, generator=random), dim=-1)
            for rows, size in ((count, memory.source_size), (len(tokens), memory.key_size))
        )
        first = start // PAIR_TOKENS
        yield EncodedPairs(
            source_keys=source_keys,
            tokens=tokens,
            lengths=torch.full((count,), PAIR_TOKENS),
            token_keys=token_keys,
            log_probabilities=torch.full((len(tokens),), -1.0),
            source_tokens=[[first + pair] for pair in range(count)],
        )


def measure(
    recipe: Seq2SeqRecipe, entries: int, *, neighbours: int | None, chunk_size: int, beams: int, turns: int
) -> dict[str, Any]:
    """The time of `generate` with a memory over that of the wrapped model.

    Args:
        recipe: of the wrapped model.
        entries: tokens stored.
        neighbours: as in `MANNSeq2SeqConfig`.
        chunk_size: likewise.
        beams: of the search.
        turns: each of the two is timed so often.

    Returns:
        `generate_over_wrapped`, how the memory was searched, where `store` is what found the nearest pairs, or the
        nearest tokens if all are compared, and the number of `parameters` of the wrapped model.
    """
    model = random_model(recipe, entries, neighbours=neighbours, chunk_size=chunk_size, store=STORE)
    searched = model.memory.num_tokens if neighbours is None else len(model.memory)
    store = STORE if searched > search.EXACT else "exact"
    random = torch.Generator().manual_seed(1)
    sources = torch.randint(2, recipe.tokenizer["vocab_size"], (BATCH, SOURCE_TOKENS), generator=random)
    settings = {"max_new_tokens": TARGET_TOKENS, "min_new_tokens": TARGET_TOKENS, "num_beams": beams}
    asked = {"input_ids": sources, "attention_mask": torch.ones_like(sources), "do_sample": False, **settings}
    with torch.no_grad():
        times = ratio(lambda: model.generate(**asked), lambda: model.encoder.generate(**asked), turns=turns)
    how = {"store": store, "neighbours": neighbours, "chunk_size": chunk_size}
    return {"generate_over_wrapped": times, **how, "parameters": model.encoder.num_parameters()}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--entries", nargs="+", type=int, default=list(ENTRIES), help="tokens stored")
    parser.add_argument("--neighbours", type=int, default=16, help="nearest pairs whose tokens are compared; 0 for all")
    parser.add_argument(
        "--chunk-size", type=int, default=1, help="steps for which one search is used, with 0 neighbours"
    )
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--set", nargs="+", default=[], metavar="PART.NAME=VALUE", dest="overrides",
                        help="settings in place of the recipe's, as in encoder.d_model=512")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--output", type=Path, help="a result file for the table, as well")
    chosen = parser.parse_args(arguments)
    try:
        recipe = Seq2SeqRecipe.read(chosen.recipe).changed(chosen.overrides)
    except ValueError as error:
        parser.error(str(error))
    by_entries = {}
    for entries in chosen.entries:
        by_entries[str(entries)] = measure(
            recipe, entries, neighbours=chosen.neighbours or None, chunk_size=chosen.chunk_size, beams=chosen.beams,
            turns=chosen.turns,
        )  # fmt: skip
        if not chosen.json:
            print(f"{entries:,} entries: {by_entries[str(entries)]['generate_over_wrapped']:.2f} x", flush=True)
    result = {
        "kind": "speed",
        "generate_over_wrapped": {name: round(each["generate_over_wrapped"], 4) for name, each in by_entries.items()},
        "peak_memory_mib": round(peak_memory_mib(), 1),
        "by_entries": by_entries,
        "beams": chosen.beams,
        "threads": torch.get_num_threads(),
        "processor": processor(),
        "versions": versions(),
    }
    if chosen.output is not None:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result) if chosen.json else f"peak memory: {result['peak_memory_mib']} MiB")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
