#!/bin/sh
# Makes what the deployment must keep to itself: a random password for each user of Kafka and of each
# Redis and for Grafana's administrator, the access list of each Redis, the master key of the vault and
# its tokens (of the Navigator, of the senders), the key of printed certificates. What is there already
# stays as it is, but for access lists: they follow from the passwords.
#
#   deploy/secrets.sh [FOLDER [SOURCE…]]     more sources than those of sources.yaml
#
# A new password: remove its file, then `make up`: it runs this, and makes all containers anew. Never remove
# vault-keys: names sealed with a lost key are lost. Keep a copy of it, and of paper-key, apart from the
# copies of the data.
set -eu
umask 077
folder=${1:-$(dirname "$0")/secrets}
[ $# -eq 0 ] || shift

# Nobody else on this machine gets past the folder. The files in it can be read by whom they are
# mounted for: a container's user is not the one who runs this.
mkdir -p "$folder"
chmod 700 "$folder"

put() { # FILE: standard input, whole or not at all
  cat >"$folder/.new"
  chmod 444 "$folder/.new"
  mv "$folder/.new" "$folder/$1"
}

password() { # FILE: 43 letters and digits, 256 bits
  [ -s "$folder/$1" ] || LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | head -c 43 | put "$1"
}

digest() { # FILE: what Redis keeps instead of the password
  if command -v sha256sum >/dev/null; then sha256sum <"$folder/$1"; else shasum -a 256 <"$folder/$1"; fi |
    cut -d ' ' -f 1
}

# What the store (streaming/redis_store.py, commit.lua) calls, and nothing else.
READS="+ping +info +config|get +client|setinfo +function|list +fcall \
+get +hget +hgetall +hlen +hmget +hscan +llen +lrange +scard +smembers +zcard +zlexcount +zrange"
WRITES="+function|load +set +unlink +hincrby +hset +hdel +ltrim +rpush +sadd +zadd +zrem"

# On the cabinet's Redis an operator mends read models: neither sessions nor proposals, which lie beside them.
operated() { # SERVICE
  if [ "$1" = cabinet ]; then echo "{cabinet:[0-9]*"; else echo "*"; fi
}

user() { # USER KEYS COMMANDS
  echo "user $1 on #$(digest "redis-$1") resetchannels ~pfdo:$2 -@all $3"
}

# Nobody can be this user: it is off, and has no password. But as this user Redis reads its own
# append-only file at a start, and what it may not do then is lost.
NOBODY="user default off resetpass ~* &* +@all"

access_list() { # SERVICE [WHO SHARES ITS REDIS]
  {
    echo "$NOBODY"
    for name in "$@"; do user "$name" "{$name:*" "$READS $WRITES"; done
    user operator "$(operated "$1")" "$READS $WRITES"
    user watch "*" "$READS"
  } | put "acl-$1"
}

# What the vault's store (services/cabinet/vault/store.py, vault.lua) calls.
VAULT="+ping +info +dbsize +config|get +client|setinfo +function|list +function|load +fcall \
+hget +hmget +lrange +scan +bgrewriteaof +hset +hdel +rpush +ltrim"

services="enrollment certificates billing notifications"
for name in admin $services senders cabinet calendar operator watch navigator payers attendance families disputes canary "$@"; do
  password "kafka-$name"
done
for name in $services senders cabinet operator watch; do
  password "redis-$name"
done
password grafana-admin
for name in enrollment certificates billing cabinet; do
  access_list "$name"
done
access_list notifications senders

printf '%s\nuser cabinet on #%s resetchannels ~pfdo:vault:* -@all %s\n' \
  "$NOBODY" "$(digest redis-cabinet)" "$VAULT" | put acl-vault
# Rotated by a line more at its end: services/cabinet/README.md.
[ -s "$folder/vault-keys" ] ||
  printf 'k1 %s\n' "$(head -c 32 /dev/urandom | base64)" | put vault-keys
password vault-token
password vault-senders-token
# What the senders are told beside that: README.md, "Ways out for messages".
mkdir -p "$folder/senders"
chmod 755 "$folder/senders"
password paper-key
password oidc-session-key
# Authorities of other systems' certificates, if theirs are not among the public ones.
[ -e "$folder/authorities.pem" ] || put authorities.pem </dev/null
# In its place goes what your log-in server gives to the cabinet.
password oidc-client-secret
