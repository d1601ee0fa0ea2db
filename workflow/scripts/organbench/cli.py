"""The command line, for files of any study and of other programs; its commands are the files of `commands/`."""

import argparse
import os
import sys
from collections.abc import Sequence

from organbench.core.errors import InputError
from organbench.core.folders import modules


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, or 2 where the input is wrong (standard error tells)."""
    parser = argparse.ArgumentParser(
        prog="organbench", description="Which segmentation network is better, for which organ, and how surely?"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for module in modules("organbench.commands"):
        module.add(commands)
    given = parser.parse_args(arguments)
    try:
        given.run(given)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads what is printed has had enough, such as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
