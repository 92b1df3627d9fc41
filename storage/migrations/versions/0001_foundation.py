"""Foundation tables."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.models.base import Xid8

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


APPEND_ONLY = ("rule_events", "ledger", "audit", "audit_seals", "wallets")
FUNCTIONS = (
    ("lock_position", "FUNCTION lock_position(text, text, text, text, text)"),
    ("unsettled_claims", "VIEW unsettled_claims"),
    ("entry_facts", "FUNCTION entry_facts(text, text, text, timestamptz)"),
    (
        "claim_facts",
        "FUNCTION claim_facts(text, text, text, text, text, text, bigint, bigint, boolean, timestamptz)",
    ),
)
SQL = Path(__file__).parents[1] / "sql" / "foundation"


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), server_default="paper", nullable=False),
        sa.Column("live_acknowledged", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("kill_switch", sa.Text(), server_default="off", nullable=False),
        sa.Column(
            "policy", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kill_switch IN ('off', 'entries', 'all')", name=op.f("accounts_kill_switch_check")
        ),
        sa.CheckConstraint("mode IN ('paper', 'live')", name=op.f("accounts_mode_check")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("accounts_pkey")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column(
            "detail", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_pkey")),
    )
    op.create_index(op.f("audit_account_id_id_idx"), "audit", ["account_id", "id"], unique=False)
    op.create_table(
        "breakers",
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), server_default="", nullable=False),
        sa.Column("failures", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_probe_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("mode IN ('paper', 'live')", name=op.f("breakers_mode_check")),
        sa.PrimaryKeyConstraint("venue", "mode", "account_id", name=op.f("breakers_pkey")),
    )
    op.create_table(
        "candles",
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("open", sa.Numeric(), nullable=True),
        sa.Column("high", sa.Numeric(), nullable=True),
        sa.Column("low", sa.Numeric(), nullable=True),
        sa.Column("close", sa.Numeric(), nullable=True),
        sa.Column("bid_low", sa.Numeric(), nullable=True),
        sa.Column("bid_high", sa.Numeric(), nullable=True),
        sa.Column("ask_low", sa.Numeric(), nullable=True),
        sa.Column("ask_high", sa.Numeric(), nullable=True),
        sa.Column("changes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("venue", "token_id", "minute", name=op.f("candles_pkey")),
    )
    op.create_table(
        "feed_gaps",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("shard", sa.BigInteger(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("feed_gaps_pkey")),
    )
    op.create_index(op.f("feed_gaps_venue_ended_at_idx"), "feed_gaps", ["venue", "ended_at"], unique=False)
    op.create_table(
        "feed_status",
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("shard", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("websocket", sa.Boolean(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("rules", sa.BigInteger(), nullable=False),
        sa.Column("newest_quote_age_ms", sa.BigInteger(), nullable=True),
        sa.Column("polling", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("venue", "shard", name=op.f("feed_status_pkey")),
    )
    op.create_table(
        "global_switch",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("kill_switch", sa.Text(), server_default="off", nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kill_switch IN ('off', 'entries', 'all')", name=op.f("global_switch_kill_switch_check")
        ),
        sa.CheckConstraint("id = 1", name=op.f("global_switch_single_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("global_switch_pkey")),
    )
    op.create_table(
        "idempotency",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "route", "key", name=op.f("idempotency_pkey")),
    )
    op.create_table(
        "instruments",
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("market_id", sa.Text(), nullable=False),
        sa.Column("tick", sa.Numeric(), nullable=False),
        sa.Column("min_shares", sa.Numeric(), nullable=False),
        sa.Column("neg_risk", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("fee_rate", sa.Numeric(), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("payout", sa.Numeric(), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("venue", "token_id", name=op.f("instruments_pkey")),
    )
    op.create_index(
        op.f("instruments_venue_market_id_idx"), "instruments", ["venue", "market_id"], unique=False
    )
    op.create_table(
        "ledger",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("fill_key", sa.Text(), nullable=False),
        sa.Column("market_id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("shares", sa.Numeric(), nullable=False),
        sa.Column("notional_usd", sa.Numeric(), nullable=False),
        sa.Column("fee_usd", sa.Numeric(), nullable=False),
        sa.Column("venue_order_id", sa.Text(), nullable=True),
        sa.Column("traded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('fill', 'confirmation', 'reversal', 'adjustment', 'settlement')",
            name=op.f("ledger_kind_check"),
        ),
        sa.CheckConstraint("mode IN ('paper', 'live')", name=op.f("ledger_mode_check")),
        sa.CheckConstraint("side IN ('BUY', 'SELL')", name=op.f("ledger_side_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("ledger_pkey")),
        sa.UniqueConstraint(
            "account_id",
            "venue",
            "mode",
            "fill_key",
            "kind",
            name=op.f("ledger_account_id_venue_mode_fill_key_kind_key"),
        ),
    )
    op.create_index(
        op.f("ledger_account_id_venue_mode_token_id_idx"),
        "ledger",
        ["account_id", "venue", "mode", "token_id"],
        unique=False,
    )
    op.create_index(
        "ledger_order_idx",
        "ledger",
        ["account_id", "venue", "mode", "venue_order_id"],
        unique=False,
        postgresql_where=sa.text("venue_order_id IS NOT NULL"),
    )
    op.create_table(
        "orders",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("host_workflow_id", sa.Text(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=True),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("market_id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("time_in_force", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("shares", sa.Numeric(), nullable=False),
        sa.Column("limit_price", sa.Numeric(), nullable=True),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("settled_attempt", sa.BigInteger(), nullable=False),
        sa.Column("filled_shares", sa.Numeric(), nullable=False),
        sa.Column("proceeds_usd", sa.Numeric(), nullable=False),
        sa.Column("fee_usd", sa.Numeric(), nullable=False),
        sa.Column("venue_order_id", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("mode IN ('paper', 'live')", name=op.f("orders_mode_check")),
        sa.CheckConstraint("side IN ('BUY', 'SELL')", name=op.f("orders_side_check")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("orders_pkey")),
    )
    op.create_index(
        op.f("orders_account_id_created_at_idx"), "orders", ["account_id", "created_at"], unique=False
    )
    op.create_index(
        "orders_rule_id_idx",
        "orders",
        ["rule_id"],
        unique=False,
        postgresql_where=sa.text("rule_id IS NOT NULL"),
    )
    op.create_index(
        "orders_unsettled_idx",
        "orders",
        ["account_id", "venue", "mode", "token_id"],
        unique=False,
        postgresql_where=sa.text("settled_attempt < attempt"),
    )
    op.create_table(
        "positions",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("market_id", sa.Text(), nullable=False),
        sa.Column("shares", sa.Numeric(), server_default="0", nullable=False),
        sa.Column("average_entry", sa.Numeric(), nullable=True),
        sa.Column("cost_usd", sa.Numeric(), server_default="0", nullable=False),
        sa.Column("realized_pnl_usd", sa.Numeric(), server_default="0", nullable=False),
        sa.Column("fees_usd", sa.Numeric(), server_default="0", nullable=False),
        sa.Column("unconfirmed_shares", sa.Numeric(), server_default="0", nullable=False),
        sa.Column("episode", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("mode IN ('paper', 'live')", name=op.f("positions_mode_check")),
        sa.PrimaryKeyConstraint("account_id", "venue", "mode", "token_id", name=op.f("positions_pkey")),
    )
    op.create_index(
        "positions_open_idx",
        "positions",
        ["account_id", "venue", "mode"],
        unique=False,
        postgresql_where=sa.text("shares <> 0"),
    )
    op.create_table(
        "rule_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("event_key", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=True),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column(
            "data", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("rule_events_pkey")),
        sa.UniqueConstraint("subject", "event_key", name=op.f("rule_events_subject_event_key_key")),
    )
    op.create_index(op.f("rule_events_account_id_id_idx"), "rule_events", ["account_id", "id"], unique=False)
    op.create_index(
        "rule_events_order_id_idx",
        "rule_events",
        ["order_id", "id"],
        unique=False,
        postgresql_where=sa.text("order_id IS NOT NULL"),
    )
    op.create_index(
        "rule_events_rule_id_idx",
        "rule_events",
        ["rule_id", "id"],
        unique=False,
        postgresql_where=sa.text("rule_id IS NOT NULL"),
    )
    op.create_index("rule_events_xid_idx", "rule_events", ["xid"], unique=False)
    op.create_table(
        "rules",
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("market_id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("resolved", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("episode", sa.BigInteger(), nullable=False),
        sa.Column("entry_price", sa.Numeric(), nullable=True),
        sa.Column("fired", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("sold_shares", sa.Numeric(), nullable=False),
        sa.Column("residual_shares", sa.Numeric(), nullable=False),
        sa.Column("dust_shares", sa.Numeric(), nullable=False),
        sa.Column("proceeds_usd", sa.Numeric(), nullable=False),
        sa.Column("fee_usd", sa.Numeric(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("mode IN ('paper', 'live')", name=op.f("rules_mode_check")),
        sa.PrimaryKeyConstraint("rule_id", name=op.f("rules_pkey")),
    )
    op.create_index(
        op.f("rules_account_id_created_at_idx"), "rules", ["account_id", "created_at"], unique=False
    )
    op.create_index(
        "rules_open_idx",
        "rules",
        ["account_id", "venue", "mode", "token_id"],
        unique=False,
        postgresql_where=sa.text("status IN ('ACTIVE', 'TRIGGERED')"),
    )
    op.create_table(
        "tape",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("ts", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bid", sa.Numeric(), nullable=True),
        sa.Column("ask", sa.Numeric(), nullable=True),
        sa.Column("last", sa.Numeric(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("tape_pkey")),
    )
    op.create_index("tape_ts_brin", "tape", ["ts"], unique=False, postgresql_using="brin")
    op.create_index(
        op.f("tape_venue_token_id_ts_id_idx"), "tape", ["venue", "token_id", "ts", "id"], unique=False
    )
    op.create_table(
        "trail_marks",
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("condition_index", sa.BigInteger(), nullable=False),
        sa.Column("mark", sa.Numeric(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", "generation", "condition_index", name=op.f("trail_marks_pkey")),
    )
    op.create_table(
        "venue_orders",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("venue_order_id", sa.Text(), nullable=False),
        sa.Column("market_id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("terminal", sa.Boolean(), nullable=False),
        sa.Column("original_shares", sa.Numeric(), nullable=True),
        sa.Column("matched_shares", sa.Numeric(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("mode IN ('paper', 'live')", name=op.f("venue_orders_mode_check")),
        sa.PrimaryKeyConstraint(
            "account_id", "venue", "mode", "venue_order_id", name=op.f("venue_orders_pkey")
        ),
    )
    op.create_table(
        "watches",
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("armed", sa.Boolean(), nullable=False),
        sa.Column("not_before_ms", sa.BigInteger(), nullable=True),
        sa.Column("resolved", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("shares", sa.Numeric(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column(
            "armed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("changed_xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.CheckConstraint("mode IN ('paper', 'live')", name=op.f("watches_mode_check")),
        sa.PrimaryKeyConstraint("rule_id", name=op.f("watches_pkey")),
    )
    op.create_index(
        "watches_armed_idx", "watches", ["venue", "token_id"], unique=False, postgresql_where=sa.text("armed")
    )
    op.create_index("watches_changed_xid_idx", "watches", ["changed_xid"], unique=False)
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("api_keys_account_id_fkey")
        ),
        sa.PrimaryKeyConstraint("key_id", name=op.f("api_keys_pkey")),
        sa.UniqueConstraint("prefix", name=op.f("api_keys_prefix_key")),
    )
    op.create_index(op.f("api_keys_account_id_idx"), "api_keys", ["account_id"], unique=False)
    op.create_table(
        "audit_seals",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("audit_id", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["audit_id"], ["audit.id"], name=op.f("audit_seals_audit_id_fkey")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("audit_seals_pkey")),
        sa.UniqueConstraint("audit_id", name=op.f("audit_seals_audit_id_key")),
    )
    op.create_table(
        "claims",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("venue_order_id", sa.Text(), nullable=False),
        sa.Column("host_workflow_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("market_id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("time_in_force", sa.Text(), nullable=False),
        sa.Column("shares", sa.Numeric(), nullable=False),
        sa.Column("limit_price", sa.Numeric(), nullable=False),
        sa.Column("usd", sa.Numeric(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("posts", sa.BigInteger(), nullable=False),
        sa.Column("last_post_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("unknown_before", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("answer_kind", sa.Text(), nullable=True),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("mode IN ('paper', 'live')", name=op.f("claims_mode_check")),
        sa.CheckConstraint("side IN ('BUY', 'SELL')", name=op.f("claims_side_check")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("claims_order_id_fkey")),
        sa.PrimaryKeyConstraint("order_id", "attempt", name=op.f("claims_pkey")),
    )
    op.create_index(
        op.f("claims_account_id_venue_mode_token_id_side_idx"),
        "claims",
        ["account_id", "venue", "mode", "token_id", "side"],
        unique=False,
    )
    op.create_index(
        "claims_entries_idx",
        "claims",
        ["account_id", "mode", "created_at"],
        unique=False,
        postgresql_where=sa.text("purpose = 'entry'"),
    )
    op.create_index("claims_host_workflow_id_idx", "claims", ["host_workflow_id"], unique=False)
    op.create_index("claims_venue_order_id_idx", "claims", ["venue_order_id"], unique=False)
    op.create_table(
        "credentials",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("master_key_id", sa.Text(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("credentials_account_id_fkey")
        ),
        sa.PrimaryKeyConstraint("account_id", "record_id", name=op.f("credentials_pkey")),
    )
    op.create_index(op.f("credentials_master_key_id_idx"), "credentials", ["master_key_id"], unique=False)
    op.create_table(
        "wallets",
        sa.Column("wallet_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("signer", sa.Text(), nullable=False),
        sa.Column("funder", sa.Text(), nullable=False),
        sa.Column("signature_type", sa.BigInteger(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("wallets_account_id_fkey")
        ),
        sa.PrimaryKeyConstraint("wallet_id", name=op.f("wallets_pkey")),
    )
    op.create_index(
        op.f("wallets_account_id_venue_created_at_idx"),
        "wallets",
        ["account_id", "venue", "created_at"],
        unique=False,
    )
    op.execute("INSERT INTO global_switch (id) VALUES (1)")
    op.execute("ALTER TABLE tape SET (fillfactor = 100, autovacuum_vacuum_insert_scale_factor = 0.02)")
    op.execute("ALTER TABLE positions SET (fillfactor = 80)")
    op.execute("ALTER TABLE claims SET (fillfactor = 80)")
    op.execute((SQL / "refuse_change.sql").read_text())
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    for name, _ in FUNCTIONS:
        op.execute((SQL / f"{name}.sql").read_text())


def downgrade() -> None:
    for _, thing in reversed(FUNCTIONS):
        op.execute(f"DROP {thing}")
    op.drop_index(op.f("wallets_account_id_venue_created_at_idx"), table_name="wallets")
    op.drop_table("wallets")
    op.drop_index(op.f("credentials_master_key_id_idx"), table_name="credentials")
    op.drop_table("credentials")
    op.drop_index("claims_venue_order_id_idx", table_name="claims")
    op.drop_index("claims_host_workflow_id_idx", table_name="claims")
    op.drop_index("claims_entries_idx", table_name="claims", postgresql_where=sa.text("purpose = 'entry'"))
    op.drop_index(op.f("claims_account_id_venue_mode_token_id_side_idx"), table_name="claims")
    op.drop_table("claims")
    op.drop_table("audit_seals")
    op.drop_index(op.f("api_keys_account_id_idx"), table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_index("watches_changed_xid_idx", table_name="watches")
    op.drop_index("watches_armed_idx", table_name="watches", postgresql_where=sa.text("armed"))
    op.drop_table("watches")
    op.drop_table("venue_orders")
    op.drop_table("trail_marks")
    op.drop_index(op.f("tape_venue_token_id_ts_id_idx"), table_name="tape")
    op.drop_index("tape_ts_brin", table_name="tape", postgresql_using="brin")
    op.drop_table("tape")
    op.drop_index(
        "rules_open_idx", table_name="rules", postgresql_where=sa.text("status IN ('ACTIVE', 'TRIGGERED')")
    )
    op.drop_index(op.f("rules_account_id_created_at_idx"), table_name="rules")
    op.drop_table("rules")
    op.drop_index("rule_events_xid_idx", table_name="rule_events")
    op.drop_index(
        "rule_events_rule_id_idx", table_name="rule_events", postgresql_where=sa.text("rule_id IS NOT NULL")
    )
    op.drop_index(
        "rule_events_order_id_idx", table_name="rule_events", postgresql_where=sa.text("order_id IS NOT NULL")
    )
    op.drop_index(op.f("rule_events_account_id_id_idx"), table_name="rule_events")
    op.drop_table("rule_events")
    op.drop_index("positions_open_idx", table_name="positions", postgresql_where=sa.text("shares <> 0"))
    op.drop_table("positions")
    op.drop_index(
        "orders_unsettled_idx", table_name="orders", postgresql_where=sa.text("settled_attempt < attempt")
    )
    op.drop_index("orders_rule_id_idx", table_name="orders", postgresql_where=sa.text("rule_id IS NOT NULL"))
    op.drop_index(op.f("orders_account_id_created_at_idx"), table_name="orders")
    op.drop_table("orders")
    op.drop_index(
        "ledger_order_idx",
        table_name="ledger",
        postgresql_where=sa.text("venue_order_id IS NOT NULL"),
    )
    op.drop_index(op.f("ledger_account_id_venue_mode_token_id_idx"), table_name="ledger")
    op.drop_table("ledger")
    op.drop_index(op.f("instruments_venue_market_id_idx"), table_name="instruments")
    op.drop_table("instruments")
    op.drop_table("idempotency")
    op.drop_table("global_switch")
    op.drop_table("feed_status")
    op.drop_index(op.f("feed_gaps_venue_ended_at_idx"), table_name="feed_gaps")
    op.drop_table("feed_gaps")
    op.drop_table("candles")
    op.drop_table("breakers")
    op.drop_index(op.f("audit_account_id_id_idx"), table_name="audit")
    op.drop_table("audit")
    op.drop_table("accounts")
    op.execute("DROP FUNCTION refuse_change()")
