#!/bin/sh
# Dumps the three databases into a new folder, while everything runs:
#   docker compose exec postgres /deploy/postgres/backup.sh /backups/2026-01-31
# Temporal's two first, holdfast last: Temporal may be older than holdfast, never the reverse.
set -eu

folder=${1:?which folder?}
user=${POSTGRES_USER:-postgres}

umask 077
mkdir "$folder"
for database in temporal temporal_visibility holdfast; do
    pg_dump --username "$user" --no-password --format=custom --file "$folder/$database.dump" "$database"
done
# Last of all: a folder without it was interrupted.
cd "$folder"
sha256sum temporal.dump temporal_visibility.dump holdfast.dump > SHA256SUMS
