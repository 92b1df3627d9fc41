#!/bin/sh
# Makes the two owners and the three databases on an empty cluster. The image of Postgres runs it once, at its
# first boot; run it by hand against any other server with POSTGRES_USER, PGHOST, PGPORT and PGPASSWORD set.
set -eu

: "${HOLDFAST_DB_PASSWORD:?is not set}" "${TEMPORAL_DB_PASSWORD:?is not set}"

# Passwords reach psql by the environment: an argument would show in the list of processes.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv holdfast_password HOLDFAST_DB_PASSWORD
\getenv temporal_password TEMPORAL_DB_PASSWORD
CREATE ROLE holdfast LOGIN PASSWORD :'holdfast_password';
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE DATABASE holdfast OWNER holdfast;
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE CONNECT, TEMPORARY ON DATABASE holdfast, temporal, temporal_visibility FROM PUBLIC;
SQL
