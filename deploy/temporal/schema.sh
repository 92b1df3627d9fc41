#!/bin/sh
# Brings Temporal's two schemas up to date, at the first start and after each upgrade of the server.
# Reads SQL_HOST, SQL_PORT, SQL_USER and SQL_PASSWORD, which are temporal-sql-tool's own variables.
set -eu

export SQL_PLUGIN=postgres12_pgx

for schema in temporal visibility; do
    case $schema in
        temporal) database=temporal ;;
        visibility) database=temporal_visibility ;;
    esac
    temporal-sql-tool --database "$database" setup-schema --version 0.0
    temporal-sql-tool --database "$database" update-schema --schema-name "postgresql/v12/$schema"
done
