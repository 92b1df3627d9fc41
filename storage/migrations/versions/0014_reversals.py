"""Reversals are found by when they were booked."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

INDEX = "ledger_reversals_idx"
REVERSALS = sa.text("kind = 'reversal'")


def upgrade() -> None:
    op.create_index(INDEX, "ledger", ["booked_at"], postgresql_where=REVERSALS)


def downgrade() -> None:
    op.drop_index(INDEX, table_name="ledger", postgresql_where=REVERSALS)
