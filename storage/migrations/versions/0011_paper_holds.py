"""Paper orders that their market holds before they meet the book, as the live venue does."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

OPEN = "paper_orders_open_idx"
OPEN_BY = ["account_id", "venue", "token_id"]


def upgrade() -> None:
    op.add_column(
        "instruments", sa.Column("hold_ms", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column("paper_orders", sa.Column("budget_usd", sa.Numeric(), nullable=True))
    op.add_column("paper_orders", sa.Column("held_until", sa.DateTime(timezone=True), nullable=True))
    op.drop_index(OPEN, table_name="paper_orders", postgresql_where=sa.text("status = 'live'"))
    op.create_index(OPEN, "paper_orders", OPEN_BY, postgresql_where=sa.text("status IN ('live', 'delayed')"))


def downgrade() -> None:
    # Before there were holds nobody would have let go of these: they end as what they are without one.
    op.execute(
        "UPDATE paper_orders SET status = 'invalid', changed = nextval('paper_changes')"
        " WHERE status = 'delayed'"
    )
    op.drop_index(OPEN, table_name="paper_orders", postgresql_where=sa.text("status IN ('live', 'delayed')"))
    op.create_index(OPEN, "paper_orders", OPEN_BY, postgresql_where=sa.text("status = 'live'"))
    op.drop_column("paper_orders", "held_until")
    op.drop_column("paper_orders", "budget_usd")
    op.drop_column("instruments", "hold_ms")
