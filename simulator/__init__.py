"""A local exchange that speaks Polymarket's CLOB V2, so that the real client works with another host.

Start it with ``python -m simulator --state DIR`` or run it in-process with ``simulator.app.serve``;
steer it with ``simulator.client.SimulatorAdmin``. It shares no code with the rest of the project: an
oracle must not share bugs with what it judges.
"""
