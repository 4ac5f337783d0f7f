"""`mann-hf push`: publishes a classifier, or its memory alone, on the Hub."""

from typing import Annotated, Any

import typer

from ..wording import counted
from .classifier import check_taught, find_config, open_classifier
from .options import Debug, Folder, Json
from .output import print_json, print_lines, working


def push(
    folder: Folder,
    repository: Annotated[
        str, typer.Argument(metavar="REPOSITORY", help="Its name on the Hub: owner/name.", show_default=False)
    ],
    memory_only: Annotated[
        bool, typer.Option("--memory-only", help="Publish the memory alone, for models with the same encoder.")
    ] = False,
    private: Annotated[
        bool | None,
        typer.Option("--private/--public", help="Who sees a repository that is made.", show_default="your own default"),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(metavar="BRANCH", help="The branch to commit to; made if need be.", show_default="main"),
    ] = None,
    message: Annotated[str | None, typer.Option(metavar="TEXT", help="The commit's message.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Publish a classifier on the Hub: weights, memory, tokenizer and model card, as one commit.

    Log in first with `hf auth login`. Files that have not changed are not sent again.
    """
    find_config(folder, on_hub=False)
    with working():
        classifier = open_classifier(folder)
        options: dict[str, Any] = {"private": private, "revision": revision, "commit_message": message}
        if memory_only:
            check_taught(classifier, folder)
            commit = classifier.push_memory_to_hub(repository, **options)
        else:
            commit = classifier.push_to_hub(repository, **options)
    if as_json:
        print_json({"repository": commit.repo_url.repo_id, "url": str(commit.repo_url), "commit": commit.oid})
        return
    what = f"The memory of {counted(len(classifier.model.memory), 'text')}" if memory_only else "The classifier"
    print_lines(f"{what} is at {commit.repo_url} (commit {commit.oid[:12]}).")
