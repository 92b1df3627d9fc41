"""A long history of fills is folded from a checkpoint."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql" / "checkpoints"
KEY = ["account_id", "venue", "mode", "token_id"]
BY_TIME = "ledger_token_idx"
BY_TOKEN = "ledger_account_id_venue_mode_token_id_idx"


def upgrade() -> None:
    op.create_table(
        "position_checkpoints",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("through", sa.DateTime(timezone=True), nullable=False),
        sa.Column("shares", sa.Numeric(), nullable=False),
        sa.Column("cost_usd", sa.Numeric(), nullable=False),
        sa.Column("entry_fees_usd", sa.Numeric(), nullable=False),
        sa.Column("realized_pnl_usd", sa.Numeric(), nullable=False),
        sa.Column("fees_usd", sa.Numeric(), nullable=False),
        sa.Column("unconfirmed_shares", sa.Numeric(), nullable=False),
        sa.Column("episode", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("mode IN ('paper', 'live')", name=op.f("position_checkpoints_mode_check")),
        sa.PrimaryKeyConstraint(*KEY, name=op.f("position_checkpoints_pkey")),
    )
    op.execute((SQL / "drop_stale_checkpoints.sql").read_text())
    op.execute(
        "CREATE TRIGGER ledger_stale_checkpoints AFTER INSERT ON ledger REFERENCING NEW TABLE AS new_entries"
        " FOR EACH STATEMENT EXECUTE FUNCTION drop_stale_checkpoints()"
    )
    op.create_index(BY_TIME, "ledger", [*KEY, "traded_at"])
    op.drop_index(BY_TOKEN, table_name="ledger")


def downgrade() -> None:
    op.create_index(BY_TOKEN, "ledger", KEY)
    op.drop_index(BY_TIME, table_name="ledger")
    op.execute("DROP TRIGGER ledger_stale_checkpoints ON ledger")
    op.execute("DROP FUNCTION drop_stale_checkpoints()")
    op.drop_table("position_checkpoints")
