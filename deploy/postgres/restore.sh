#!/bin/sh
# Puts the three databases of one backup in place, with the API, every worker and Temporal stopped:
#   docker compose exec postgres /deploy/postgres/restore.sh /backups/2026-01-31
# What stood there is renamed (`holdfast_before_…`), not dropped.
set -eu

folder=${1:?which folder?}
user=${POSTGRES_USER:-postgres}
stamp=$(date -u +%Y%m%dt%H%M%S)
databases='temporal temporal_visibility holdfast'

run() { psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 --username "$user" --no-password \
    --dbname postgres --command "$1"; }

cd "$folder"
sha256sum --check --quiet SHA256SUMS

connected=$(run "SELECT count(*) FROM pg_stat_activity
                 WHERE datname IN ('temporal', 'temporal_visibility', 'holdfast')")
if [ "$connected" -ne 0 ]; then
    echo "$connected connections are open: stop the API, every worker and Temporal first" >&2
    exit 1
fi

# All three are whole before the first takes its place.
for database in $databases; do
    case $database in
        holdfast) owner=holdfast ;;
        *) owner=temporal ;;
    esac
    run "CREATE DATABASE ${database}_new_$stamp OWNER $owner"
    pg_restore --username "$user" --no-password --exit-on-error --dbname "${database}_new_$stamp" "$database.dump"
done
# Temporal first: interrupted in between, it is the older one.
for database in $databases; do
    # One transaction: a database never stands without its name.
    run "ALTER DATABASE $database RENAME TO ${database}_before_$stamp; ALTER DATABASE ${database}_new_$stamp RENAME TO $database"
    run "REVOKE CONNECT, TEMPORARY ON DATABASE $database FROM PUBLIC"
    echo "$database is restored; what stood there is ${database}_before_$stamp"
done
