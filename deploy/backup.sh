#!/bin/sh
# Copies what the compose deployment cannot make again, or puts a copy back.
#
#   deploy/backup.sh copy FOLDER      stops what runs, copies journals and vault, starts it again
#   deploy/backup.sh restore FOLDER   into a deployment that is down (`make down`); then `make up`
#   deploy/backup.sh restore-vault FOLDER   the vault alone: docs/runbooks/vault-lost.md
#
# The copy is taken at rest: a copy of files that are being written is none. It holds the volumes of
# Kafka and of the vault's Redis; all other state is folded from the journals. The vault's names are
# sealed: without deploy/secrets/vault-keys, which is not copied, nobody can read them, and neither
# can you. PROJECT names another project of compose.
set -eu
project=${PROJECT:-pfdo}
image=apache/kafka:4.3.1
label=com.docker.compose

tar_in() { # VOLUME OPTION…
  volume=$1
  shift
  docker run --rm -i --network none --user 0 --entrypoint tar -v "$volume:/volume" "$image" -C /volume "$@"
}

put_back() { # FILE: into a volume that is not there
  name=$(basename "$1" .tar.gz)
  if docker volume inspect "${project}_$name" >/dev/null 2>&1; then
    echo "${project}_$name is there. First remove it: docker volume rm ${project}_$name" >&2
    exit 1
  fi
  # Labelled as compose does it: it then takes the volume for its own.
  docker volume create --label "$label.project=$project" --label "$label.volume=$name" "${project}_$name" >/dev/null
  gunzip -c "$1" | tar_in "${project}_$name" -xpf -
}

case ${1-} in
  copy)
    folder=${2:?where to}
    umask 077
    mkdir -p "$folder"
    running=$(docker ps -q --filter "label=$label.project=$project")
    volumes=$(docker volume ls -q --filter "label=$label.project=$project" | grep -E '_(kafka|vault)-([0-9]-)?data$')
    # What depends on Kafka stops first; as told, it is not started again meanwhile.
    kafka=$(docker ps -q --filter "label=$label.project=$project" --filter ancestor="$image")
    # shellcheck disable=SC2086 # one word for each container
    docker stop -t 60 $(echo "$running" | grep -vxF "$kafka") >/dev/null
    # shellcheck disable=SC2086
    docker stop -t 60 $kafka >/dev/null
    for volume in $volumes; do
      name=${volume#"${project}_"}
      tar_in "$volume" -cf - . | gzip >"$folder/$name.tar.gz.new"
      mv "$folder/$name.tar.gz.new" "$folder/$name.tar.gz"
    done
    # shellcheck disable=SC2086
    docker start $kafka $(echo "$running" | grep -vxF "$kafka") >/dev/null
    ;;
  restore)
    folder=${2:?where from}
    gzip -t "$folder"/*.tar.gz
    if [ -n "$(docker volume ls -q --filter "label=$label.project=$project")" ]; then
      echo "There is data of $project, and state that is ahead of its journals would halt. First: make down" >&2
      exit 1
    fi
    for file in "$folder"/*.tar.gz; do put_back "$file"; done
    ;;
  restore-vault)
    folder=${2:?where from}
    gzip -t "$folder/vault-data.tar.gz"
    put_back "$folder/vault-data.tar.gz"
    ;;
  *)
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
