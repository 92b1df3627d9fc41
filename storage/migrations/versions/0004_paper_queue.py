"""Places of resting paper orders in the queue at their price, and the depth that paper fills used."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ORDER_COLUMNS = (
    ("queue_ahead", sa.Numeric()),
    ("queue_credited", sa.Numeric()),
    ("queue_credited_ms", sa.BigInteger()),
    ("queue_seen_ms", sa.BigInteger()),
    ("touched_at", sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    for name, kind in ORDER_COLUMNS:
        op.add_column("paper_orders", sa.Column(name, kind, nullable=True))
    op.add_column("paper_fills", sa.Column("level_price", sa.Numeric(), nullable=True))


def downgrade() -> None:
    op.drop_column("paper_fills", "level_price")
    for name, _ in reversed(ORDER_COLUMNS):
        op.drop_column("paper_orders", name)
