#!/bin/sh
# Makes an authority of the deployment's own and the certificates of Kafka and Redis, for tls.yaml. What
# is there already stays; certificates that end within 30 days are made anew, and it says so: who runs goes
# on with the old ones until its container is made anew, as `make up` does then. Needs openssl.
#
#   deploy/tls.sh [FOLDER]
#
# Who has an authority already puts its tls-ca.pem, tls-kafka.pem and tls-redis.pem (each key and chain
# in one file) into the folder instead. SANS adds names that other systems know Kafka by: DNS:kafka.example
set -eu
umask 077
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

lasting() { openssl x509 -checkend 2592000 -noout -in "$1" >/dev/null 2>&1; }

ends() { openssl x509 -enddate -noout -in "$1" | sed 's/.*=//'; }

# An authority whose key is not here is somebody else's, and so are the certificates it signs.
if [ -f tls-ca.pem ] && ! [ -f .tls-ca.key ]; then
  for file in tls-ca.pem tls-kafka.pem tls-redis.pem; do
    lasting "$file" || {
      echo "$folder/$file ends on $(ends "$file"), or is none: put another there" >&2
      # One that ends soon serves until then.
      openssl x509 -checkend 0 -noout -in "$file" >/dev/null 2>&1 || exit 1
    }
  done
  exit 0
fi

lasting tls-ca.pem || {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -sha256 \
    -subj "/CN=PFDO deployment" -addext "basicConstraints=critical,CA:TRUE" \
    -addext "keyUsage=critical,keyCertSign,cRLSign" -keyout .tls-ca.key -out tls-ca.pem 2>/dev/null
  chmod 444 tls-ca.pem
  echo "A new authority, tls-ca.pem, until $(ends tls-ca.pem): give it to other systems, they believe no other"
  rm -f tls-kafka.pem tls-redis.pem
}

certificate() { # NAME SANS
  lasting "tls-$1.pem" || {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -subj "/CN=$1" \
      -addext "subjectAltName=$2" -keyout ".tls-$1.key" -out ".tls-$1.csr" 2>/dev/null
    openssl x509 -req -in ".tls-$1.csr" -CA tls-ca.pem -CAkey .tls-ca.key -CAcreateserial -days 365 \
      -sha256 -copy_extensions copy -out ".tls-$1.crt" 2>/dev/null
    cat ".tls-$1.key" ".tls-$1.crt" >".new"
    chmod 444 .new
    mv -f .new "tls-$1.pem"
    echo "A new certificate, tls-$1.pem, until $(ends "tls-$1.pem")"
    rm -f ".tls-$1.key" ".tls-$1.csr" ".tls-$1.crt" tls-ca.srl .tls-ca.srl
  }
}

kafka=DNS:localhost,IP:127.0.0.1
for name in kafka kafka-2 kafka-3 broker broker-2 broker-3; do kafka=$kafka,DNS:$name; done
certificate kafka "$kafka${SANS:+,$SANS}"
redis=DNS:localhost,IP:127.0.0.1
for name in enrollment certificates billing notifications cabinet vault; do redis=$redis,DNS:$name-redis; done
certificate redis "$redis"
