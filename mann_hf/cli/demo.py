"""`mann-hf demo`: serves a live page of a model with a memory."""

import os
import signal
import socket
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InvalidInputError
from .classifier import find_config, is_generator, open_classifier
from .generator import open_generator
from .interrupts import ended_by_command
from .modalities import modality_of
from .options import Debug, FolderOrHub
from .output import print_lines, say, working


def demo(
    folder: FolderOrHub,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, metavar="PORT", help="The port.", show_default="the first free one from 7860"),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="The address to serve the page at; 0.0.0.0 opens it to other machines.")
    ] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A further host name that may open the page, for example that of a proxy; may be repeated.",
            show_default="none",
        ),
    ] = None,
    save: Annotated[
        bool,
        typer.Option(
            "--save",
            help="Save every change to the folder, with what other commands change there meanwhile.",
        ),
    ] = False,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    debug: Debug = False,
) -> None:
    """Serve a live page of a model: ask it, see which stored examples decided, teach it, make it forget.

    Of a model that generates it shows the stored pairs behind each token. Everyone who opens the page sees and teaches
    the same memory. Ctrl-C ends it.
    """
    if save and not os.path.isdir(folder):
        raise InvalidInputError(
            f"--save writes to a folder, and there is no folder {folder!r}; a model from the Hub is saved to one "
            "with save_pretrained."
        )
    config = find_config(folder, on_hub=True, generators=True)
    modality = None if is_generator(config) else modality_of(config, folder)
    if port is not None:
        _check_free(host, port)
    if allow_host:
        from ..demo.hosts import read_names

        read_names(allow_host)
    stop = threading.Event()
    with ExitStack() as stack:
        say("Opening the page; this can take half a minute.")
        with working():
            from ..demo import launch
            from ..models.shared_folders import SharedFolder

            pipeline: Any = open_generator(folder) if modality is None else open_classifier(folder, modality)
            shared = SharedFolder(pipeline.model, Path(folder)) if save else None
            page: Any = launch(
                pipeline,
                title=Path(folder).resolve().name if os.path.isdir(folder) else folder,
                on_change=None if shared is None else shared.save,
                allowed_hosts=allow_host or (),
                server_name=host,
                server_port=port,
                inbrowser=open_browser,
                prevent_thread_lock=True,
                quiet=True,
            )
        try:
            stack.enter_context(ended_by_command())
            for name in (signal.SIGINT, signal.SIGTERM):
                stack.callback(signal.signal, name, signal.signal(name, lambda *_: stop.set()))
            print_lines(page.local_url)
            say("The page is open; Ctrl-C ends it.")
            stop.wait()
        finally:
            page.close(verbose=False)


def _check_free(host: str, port: int) -> None:
    """Raises if a port is taken, before the weights are read."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise InvalidInputError(
            f"the page cannot be opened at {host}, port {port}: {error.strerror}. Choose another --port, or leave it "
            "out for the first that is free."
        ) from None
