"""Starts a thread as it is imported, which no copy of a process has."""

import os
import sys
import threading

threading.Thread(target=threading.Event().wait, daemon=True).start()


def main() -> None:
    is_copy = os.environ["SERVER"] == str(os.getppid())
    sys.stdout.write("a copy\n" if is_copy else "of its own interpreter\n")


if __name__ == "__main__":
    main()
