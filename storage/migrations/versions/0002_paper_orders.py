"""Paper orders, fills and payouts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import CreateSequence, DropSequence, Sequence

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CHANGES = Sequence("paper_changes", data_type=sa.BigInteger())


def upgrade() -> None:
    op.execute(CreateSequence(CHANGES))
    op.create_table(
        "paper_orders",
        sa.Column("venue_order_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("market_id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("time_in_force", sa.Text(), nullable=False),
        sa.Column("shares", sa.Numeric(), nullable=False),
        sa.Column("limit_price", sa.Numeric(), nullable=False),
        sa.Column("matched_shares", sa.Numeric(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("expiration_s", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("side IN ('BUY', 'SELL')", name=op.f("paper_orders_side_check")),
        sa.CheckConstraint("matched_shares >= 0", name=op.f("paper_orders_matched_check")),
        sa.PrimaryKeyConstraint("venue_order_id", name=op.f("paper_orders_pkey")),
    )
    op.create_index("paper_orders_changed_idx", "paper_orders", ["account_id", "venue", "changed"])
    op.create_index(
        "paper_orders_open_idx",
        "paper_orders",
        ["account_id", "venue", "token_id"],
        postgresql_where=sa.text("status = 'live'"),
    )
    op.create_table(
        "paper_fills",
        sa.Column("fill_key", sa.Text(), nullable=False),
        sa.Column("venue_order_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("market_id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("shares", sa.Numeric(), nullable=False),
        sa.Column("notional_usd", sa.Numeric(), nullable=False),
        sa.Column("fee_usd", sa.Numeric(), nullable=False),
        sa.Column("traded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("side IN ('BUY', 'SELL')", name=op.f("paper_fills_side_check")),
        sa.PrimaryKeyConstraint("fill_key", name=op.f("paper_fills_pkey")),
    )
    op.create_index("paper_fills_changed_idx", "paper_fills", ["account_id", "venue", "changed"])
    op.create_index("paper_fills_token_idx", "paper_fills", ["account_id", "venue", "token_id"])
    op.create_table(
        "paper_payouts",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("shares", sa.Numeric(), nullable=False),
        sa.Column("usd", sa.Numeric(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "venue", "token_id", name=op.f("paper_payouts_pkey")),
    )


def downgrade() -> None:
    op.drop_table("paper_payouts")
    op.drop_index("paper_fills_token_idx", table_name="paper_fills")
    op.drop_index("paper_fills_changed_idx", table_name="paper_fills")
    op.drop_table("paper_fills")
    op.drop_index(
        "paper_orders_open_idx", table_name="paper_orders", postgresql_where=sa.text("status = 'live'")
    )
    op.drop_index("paper_orders_changed_idx", table_name="paper_orders")
    op.drop_table("paper_orders")
    op.execute(DropSequence(CHANGES))
