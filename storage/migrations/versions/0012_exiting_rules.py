"""Rules that sell are found by when they were heard of last."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

INDEX = "rules_exiting_idx"
EXITING = sa.text("phase IN ('exiting', 'waiting', 'blocked')")


def upgrade() -> None:
    op.create_index(INDEX, "rules", ["updated_at"], postgresql_where=EXITING)


def downgrade() -> None:
    op.drop_index(INDEX, table_name="rules", postgresql_where=EXITING)
