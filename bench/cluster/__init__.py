"""The proof of the scaled-out deployment: demo, kills, tuning and latency on two Temporal servers."""
