"""Cannot be imported."""

raise RuntimeError("this program is broken")
