"""A gap names the layout that its shard belongs to, so that a token's own gaps are found in every layout."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "feed_gaps", sa.Column("shards", sa.BigInteger(), server_default=sa.text("1"), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("feed_gaps", "shards")
