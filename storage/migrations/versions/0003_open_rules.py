"""An open rule is one whose phase is not done: a rule that sold everything keeps the status TRIGGERED."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS = ["account_id", "venue", "mode", "token_id"]


def upgrade() -> None:
    op.drop_index("rules_open_idx", table_name="rules")
    op.create_index("rules_open_idx", "rules", COLUMNS, postgresql_where=sa.text("phase <> 'done'"))


def downgrade() -> None:
    op.drop_index("rules_open_idx", table_name="rules")
    op.create_index(
        "rules_open_idx", "rules", COLUMNS, postgresql_where=sa.text("status IN ('ACTIVE', 'TRIGGERED')")
    )
