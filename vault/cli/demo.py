"""`pdvault demo`."""

import argparse

from vault.demo import run as play


def run(args: argparse.Namespace) -> int:
    """Plays the story; its exit code."""
    return play.main(keep=args.keep, plain=args.plain)
