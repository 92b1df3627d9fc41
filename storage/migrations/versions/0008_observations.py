"""What feeds observed may leave the event log after a while; nothing else may."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

OBSERVED = "('rule.near_miss', 'rule.held_back', 'rule.evaluated')"
NEAR = "('rule.near_miss', 'rule.held_back')"
REFUSE = "ON rule_events FOR EACH ROW {0}EXECUTE FUNCTION refuse_change()"


def upgrade() -> None:
    op.create_index(
        "rule_events_observed_idx", "rule_events", ["at"], postgresql_where=sa.text(f"type IN {OBSERVED}")
    )
    op.create_index(
        "rule_events_near_misses_idx",
        "rule_events",
        ["rule_id", "id"],
        postgresql_where=sa.text(f"type IN {NEAR}"),
    )
    op.execute("DROP TRIGGER rule_events_append_only ON rule_events")
    op.execute(f"CREATE TRIGGER rule_events_append_only BEFORE UPDATE {REFUSE.format('')}")
    kept = f"WHEN (OLD.type NOT IN {OBSERVED}) "
    op.execute(f"CREATE TRIGGER rule_events_kept BEFORE DELETE {REFUSE.format(kept)}")


def downgrade() -> None:
    op.execute("DROP TRIGGER rule_events_kept ON rule_events")
    op.execute("DROP TRIGGER rule_events_append_only ON rule_events")
    op.execute(f"CREATE TRIGGER rule_events_append_only BEFORE UPDATE OR DELETE {REFUSE.format('')}")
    op.drop_index(
        "rule_events_near_misses_idx",
        table_name="rule_events",
        postgresql_where=sa.text(f"type IN {NEAR}"),
    )
    op.drop_index(
        "rule_events_observed_idx",
        table_name="rule_events",
        postgresql_where=sa.text(f"type IN {OBSERVED}"),
    )
