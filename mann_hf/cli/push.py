"""`mann-hf push`: publishes a classifier, or its memory alone, on the Hub."""

from typing import Annotated, Any

import typer

from ..hub.pushing import check_push
from ..wording import counted
from .classifier import find_config, is_generator, open_classifier
from .generator import open_generator
from .modalities import modality_of
from .options import Debug, Folder, Json
from .output import print_json, print_lines, working


def push(
    folder: Folder,
    repository: Annotated[
        str, typer.Argument(metavar="REPOSITORY", help="The repository on the Hub: owner/name.", show_default=False)
    ],
    memory_only: Annotated[
        bool, typer.Option("--memory-only", help="Publish only the memory, for models with the same encoder.")
    ] = False,
    private: Annotated[
        bool | None,
        typer.Option("--private/--public", help="Who can see a new repository.", show_default="your own default"),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(metavar="BRANCH", help="The branch to commit to; created if needed.", show_default="main"),
    ] = None,
    create_pr: Annotated[
        bool, typer.Option("--create-pr", help="Open a pull request, also in a repository of others.")
    ] = False,
    message: Annotated[str | None, typer.Option(metavar="TEXT", help="The commit's message.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Publish a classifier, or a model that generates: weights, memory, tokenizer or image processor, and model card,
    as one commit on the Hub.

    Log in first with `hf auth login`. Files that have not changed are not sent again.
    """
    config = find_config(folder, on_hub=False, generators=True)
    generates = is_generator(config)
    modality = "pair" if generates else modality_of(config, folder)
    check_push(repository)
    with working():
        opened = open_generator(folder, memory_only) if generates else open_classifier(folder, modality, memory_only)
        classifier: Any = opened
        options: dict[str, Any] = {
            "private": private,
            "revision": revision,
            "create_pr": create_pr,
            "commit_message": message,
        }
        publish = classifier.push_memory_to_hub if memory_only else classifier.push_to_hub
        commit = publish(repository, **options)
    if as_json:
        pushed = {"repository": commit.repo_url.repo_id, "url": str(commit.repo_url), "commit": commit.oid}
        print_json({**pushed, **({"pull_request": commit.pr_url} if create_pr else {})})
        return
    what = (
        f"The memory of {counted(len(classifier.model.memory), modality)}"
        if memory_only
        else "The model"
        if generates
        else "The classifier"
    )
    if create_pr and commit.pr_url is None:
        print_lines(f"Nothing to propose: {commit.repo_url} holds the same (commit {commit.oid[:12]}).")
        return
    where = f"proposed at {commit.pr_url}" if create_pr else f"at {commit.repo_url}"
    print_lines(f"{what} is {where} (commit {commit.oid[:12]}).")
