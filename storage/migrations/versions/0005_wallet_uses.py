"""Which wallet came into use when: a wallet that was stored before may be stored again."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEX = ["account_id", "venue", "id"]
WALLETS_SO_FAR = """INSERT INTO wallet_uses (account_id, venue, wallet_id, since)
    SELECT account_id, venue, wallet_id, created_at FROM wallets ORDER BY created_at, wallet_id"""


def upgrade() -> None:
    op.create_table(
        "wallet_uses",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("wallet_id", sa.Text(), nullable=False),
        sa.Column(
            "since", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("wallet_uses_account_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["wallet_id"], ["wallets.wallet_id"], name=op.f("wallet_uses_wallet_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("wallet_uses_pkey")),
    )
    op.create_index(op.f("wallet_uses_account_id_venue_id_idx"), "wallet_uses", INDEX)
    op.execute(WALLETS_SO_FAR)
    op.execute(
        "CREATE TRIGGER wallet_uses_append_only BEFORE UPDATE OR DELETE ON wallet_uses "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER wallet_uses_no_truncate BEFORE TRUNCATE ON wallet_uses "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    op.drop_index(op.f("wallet_uses_account_id_venue_id_idx"), table_name="wallet_uses")
    op.drop_table("wallet_uses")
