"""Runs a hub until it is told to end: `python -m tests.loopback_hub --port 0 --token hf_secret`."""

import argparse
import signal
import threading

from .hub import LoopbackHub


def main() -> None:
    """Prints the hub's URL as the first line, and serves until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m tests.loopback_hub", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free one")
    parser.add_argument("--token", required=True, help='the token of the one user, "me"')
    parser.add_argument(
        "--lfs", action="store_true", help="take large files by LFS; clients of it need HF_HUB_DISABLE_XET=1"
    )
    arguments = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with LoopbackHub(arguments.token, arguments.port, inline=not arguments.lfs) as hub:
        print(hub.url, flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
