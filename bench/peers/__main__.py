"""`python -m bench.peers`."""

from bench.peers.comparison import main

if __name__ == "__main__":
    main()
