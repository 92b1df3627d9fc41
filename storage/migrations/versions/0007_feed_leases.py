"""Several feeds: who writes the tape of each shard, and a report of each replica."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# The first feed that takes its shard over finds since when nobody saw, as it did in the report before.
LEASES_SO_FAR = """INSERT INTO feed_leases
        (venue, shard, shards, revision, fence, replica, wanted_by, renewed_at, seen_until)
    SELECT venue, shard, 1, 0, 0, NULL, NULL, clock_timestamp(), at FROM feed_status WHERE shard = 0"""


def upgrade() -> None:
    op.create_table(
        "feed_leases",
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("shard", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("shards", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("replica", sa.BigInteger(), nullable=True),
        sa.Column("wanted_by", sa.BigInteger(), nullable=True),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("venue", "shard", name=op.f("feed_leases_pkey")),
    )
    op.execute(LEASES_SO_FAR)
    op.add_column(
        "feed_status", sa.Column("replica", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column(
        "feed_status", sa.Column("shards", sa.BigInteger(), server_default=sa.text("1"), nullable=False)
    )
    op.add_column(
        "feed_status", sa.Column("writes_tape", sa.Boolean(), server_default=sa.text("true"), nullable=False)
    )
    op.drop_constraint(op.f("feed_status_pkey"), "feed_status", type_="primary")
    op.create_primary_key(op.f("feed_status_pkey"), "feed_status", ["venue", "shard", "replica"])


def downgrade() -> None:
    op.execute("DELETE FROM feed_status WHERE replica > 0")
    op.drop_constraint(op.f("feed_status_pkey"), "feed_status", type_="primary")
    op.create_primary_key(op.f("feed_status_pkey"), "feed_status", ["venue", "shard"])
    op.drop_column("feed_status", "writes_tape")
    op.drop_column("feed_status", "shards")
    op.drop_column("feed_status", "replica")
    op.drop_table("feed_leases")
