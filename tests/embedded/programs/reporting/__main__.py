"""Prints how it was started, and ends with status 7."""

import json
import os
import sys

from setproctitle import getproctitle


def main() -> None:
    seen = {
        "parent": os.getppid(),
        "title": getproctitle(),
        "arguments": sys.argv[1:],
        "environment": dict(os.environ),
        "directory": str(os.getcwd()),
        "leads_its_session": os.getsid(0) == os.getpid(),
    }
    sys.stdout.write(json.dumps(seen) + "\n")
    sys.stderr.write("to the other output\n")
    sys.exit(7)
