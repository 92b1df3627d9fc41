"""Breakers date what they count, and claims read how long an open one was left alone."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql"


def upgrade() -> None:
    op.alter_column("breakers", "last_probe_at", new_column_name="tried_at")
    op.add_column("breakers", sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("breakers", sa.Column("well_at", sa.DateTime(timezone=True), nullable=True))
    op.execute((SQL / "breakers" / "claim_facts.sql").read_text())


def downgrade() -> None:
    op.drop_column("breakers", "well_at")
    op.drop_column("breakers", "failed_at")
    op.alter_column("breakers", "tried_at", new_column_name="last_probe_at")
    former = (SQL / "foundation" / "claim_facts.sql").read_text()
    op.execute(former.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))
