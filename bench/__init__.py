"""Programs that measure Holdfast against the floor that Temporal sets, in one run, interleaved."""
