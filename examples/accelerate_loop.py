"""Episodic training as a bare Accelerate loop, for those who want to own the loop.

    accelerate launch examples/accelerate_loop.py TABLE --output trained

TABLE is a csv, tsv, json lines or parquet file with the columns `text` and `label`. A fifth of its classes is kept from
training to show what it does for classes never seen.
"""

import argparse

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from datasets import load_dataset
from transformers import get_scheduler

import mann_hf
from mann_hf.training import OBJECTIVES, EpisodicStep, answer_episodes, episodic_scores, evaluation_episodes


def main() -> None:
    """Trains, evaluates and saves."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("table")
    parser.add_argument("--encoder", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--output", default="trained")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--episodes", type=int, default=4, help="in a step of each process")
    parser.add_argument("--n-way", type=int, default=5, help="classes of an episode; all where there are fewer")
    parser.add_argument("--lr", type=float, default=1e-5)
    arguments = parser.parse_args()
    set_seed(0)
    accelerator = Accelerator()

    ending = arguments.table.rsplit(".", 1)[-1]
    kind, options = {"jsonl": ("json", {}), "tsv": ("csv", {"sep": "\t"})}.get(ending, (ending, {}))
    with accelerator.main_process_first():
        table = load_dataset(kind, data_files=arguments.table, split="train", **options)
    parts = mann_hf.split_classes(table, (0.6, 0.2, 0.2))
    n_way = {name: min(arguments.n_way, len(set(part["label"]))) for name, part in parts.items()}
    sampler = mann_hf.EpisodeSampler(parts["train"], n_way["train"], k_shot=1, n_query=5).shard(
        accelerator.process_index, accelerator.num_processes
    )
    test = evaluation_episodes(mann_hf.EpisodeSampler(parts["test"], n_way["test"], k_shot=1, n_query=5), 200)

    model = mann_hf.MANNForSequenceClassification.from_encoder_pretrained(arguments.encoder)
    tokenizer = model.load_tokenizer()
    collate = mann_hf.EpisodeCollator.for_model(model, tokenizer)
    step = EpisodicStep(model, OBJECTIVES["episode"]())
    # no weight decay, as the Trainer's defaults are
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.lr, weight_decay=0.0)
    schedule = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=arguments.steps)
    step, optimizer = accelerator.prepare(step, optimizer)

    def evaluate() -> str:
        scores = episodic_scores(answer_episodes(model, tokenizer, test))
        return f"{100 * scores['accuracy']:.2f} ± {100 * scores['accuracy_ci95']:.2f} %"

    accelerator.print(f"{n_way['test']}-way episodes of classes that are kept from training")
    accelerator.print(f"before training: {evaluate()}")
    for number in range(1, arguments.steps + 1):
        step.train()
        batch = collate([next(sampler) for _ in range(arguments.episodes)])
        loss = step(batch.to(accelerator.device)).loss
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if number % 10 == 0 or number == arguments.steps:
            accelerator.print(f"step {number}: loss {accelerator.reduce(loss.detach(), 'mean'):.3f}")
    model.eval()
    accelerator.print(f"after training: {evaluate()}")
    if accelerator.is_main_process:
        model.save_pretrained(arguments.output)
        tokenizer.save_pretrained(arguments.output)


if __name__ == "__main__":
    main()
