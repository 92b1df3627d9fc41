#!/bin/sh
# Prints fresh secrets for `docker-compose.yml`, which reads them from `.env` beside it:
#   (umask 077 && set -C && deploy/new_env.sh > .env)
# Keep a copy where backups of the databases are not: without the master key the stored credentials are lost,
# without the payload key the rules that run.
set -eu

# Passwords stand in URLs as well, so they are hexadecimal.
password() { head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

postgres=$(password)
holdfast=$(password)
temporal=$(password)
master_key=$(head -c 32 /dev/urandom | base64)
payload_key=$(head -c 32 /dev/urandom | base64)
pepper=$(password)
admin_key=$(password)

cat <<EOF
POSTGRES_PASSWORD=$postgres
HOLDFAST_DB_PASSWORD=$holdfast
TEMPORAL_DB_PASSWORD=$temporal
HOLDFAST_SECURITY_MASTER_KEYS=first:$master_key
HOLDFAST_TEMPORAL_PAYLOAD_KEYS=first:$payload_key
HOLDFAST_SECURITY_API_KEY_PEPPER=$pepper
HOLDFAST_API_ADMIN_KEY=hf_$admin_key
EOF
