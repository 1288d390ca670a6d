#!/bin/sh
# Copies what the compose deployment cannot make again, or puts a copy back.
#
#   deploy/backup.sh copy FOLDER      stops what runs, copies journals and vault, starts it again
#   deploy/backup.sh check FOLDER     is a copy whole, and what it was?
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
list=SHA256SUMS

# Never behind a pipe: what fails before it would go unnoticed, and a copy that ends early get a good name.
tar_in() { # VOLUME OPTION…
  volume=$1
  shift
  docker run --rm -i --network none --user 0 --entrypoint tar -v "$volume:/volume" "$image" -C /volume "$@"
}

digests() { # as sha256sum, which not every system calls so
  if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}

check() { # FOLDER [FILE]: is what stands in its list there, and as it was?
  if [ -f "$1/$list" ]; then
    # A missing line would be a file that nobody compares.
    grep -F "  ${2:-kafka}" "$1/$list" >/dev/null || { echo "$1/$list does not name ${2:-the journals}" >&2; exit 1; }
    wanted=$(grep -F "${2:-.tar.gz}" "$1/$list")
    (cd "$1" && echo "$wanted" | digests -c -) >&2 || { echo "$1 is not what was copied: take another copy" >&2; exit 1; }
  else
    echo "$1 has no $list, as copies of earlier versions: only whether its files can be read is known" >&2
  fi
  names=$(files "$1" "${2-}")
  for file in $names; do
    tar -tzf "$1/$file" >/dev/null || { echo "$1/$file is not whole: take another copy" >&2; exit 1; }
  done
}

files() { # FOLDER [FILE]: those of a copy
  if [ -n "${2-}" ]; then
    echo "$2"
  elif [ -f "$1/$list" ]; then
    sed 's/^[^ ]* [ *]//' "$1/$list"
  else
    (cd "$1" && ls -- *.tar.gz)
  fi
}

put_back() { # FILE: into a volume that is not there
  name=$(basename "$1" .tar.gz)
  if docker volume inspect "${project}_$name" >/dev/null 2>&1; then
    echo "${project}_$name is there. First remove it: docker volume rm ${project}_$name" >&2
    exit 1
  fi
  # Labelled as compose does it: it then takes the volume for its own.
  docker volume create --label "$label.project=$project" --label "$label.volume=$name" "${project}_$name" >/dev/null
  tar_in "${project}_$name" -xpzf - <"$1" || {
    docker volume rm "${project}_$name" >/dev/null
    echo "$1 could not be put back, and nothing of it was left" >&2
    exit 1
  }
}

running() { # FILTER…: containers of the deployment; not those of `run`, which are gone once they are stopped
  docker ps -q --filter "label=$label.project=$project" --filter "label=$label.oneoff=False" "$@"
}

# However it ends: what ran before runs again.
start_again() {
  status=$?
  trap - EXIT
  rm -f "$folder"/*.new
  # shellcheck disable=SC2086 # one word for each container
  [ -z "$kafka$others" ] || docker start $kafka $others >/dev/null || {
    echo "Not everything could be started again: deploy/compose.sh ps -a" >&2
    status=1
  }
  [ "$status" -eq 0 ] || echo "There is no new copy in $folder" >&2
  exit "$status"
}

case ${1-} in
  copy)
    folder=${2:?where to}
    umask 077
    mkdir -p "$folder"
    kafka='' others=''
    trap start_again EXIT
    trap 'exit 1' HUP INT TERM
    # All that can be known beforehand is found out before anything stops.
    : >"$folder/$list.new"
    volumes=$(docker volume ls -q --filter "label=$label.project=$project" | grep -E '_(kafka|vault)-([0-9]-)?data$') || {
      echo "There is no data of $project" >&2
      exit 1
    }
    docker image inspect "$image" >/dev/null
    # What depends on Kafka stops first; as told, it is not started again meanwhile.
    kafka=$(running --filter "ancestor=$image")
    others=$(running | grep -vxF "$kafka" || true)
    # shellcheck disable=SC2086
    [ -z "$others" ] || docker stop -t 60 $others >/dev/null
    # shellcheck disable=SC2086
    [ -z "$kafka" ] || docker stop -t 60 $kafka >/dev/null
    for volume in $volumes; do
      name=${volume#"${project}_"}.tar.gz
      tar_in "$volume" -czf - . >"$folder/$name.new"
      tar -tzf "$folder/$name.new" >/dev/null
      digest=$(digests <"$folder/$name.new")
      echo "${digest%% *}  $name" >>"$folder/$list.new"
    done
    # A copy that was there before is replaced once the new one is whole.
    for volume in $volumes; do
      name=${volume#"${project}_"}.tar.gz
      mv "$folder/$name.new" "$folder/$name"
    done
    mv "$folder/$list.new" "$folder/$list"
    ;;
  check)
    check "${2:?which}"
    ;;
  restore)
    folder=${2:?where from}
    check "$folder"
    if [ -n "$(docker volume ls -q --filter "label=$label.project=$project")" ]; then
      echo "There is data of $project, and state that is ahead of its journals would halt. First: make down" >&2
      exit 1
    fi
    for file in $(files "$folder"); do put_back "$folder/$file"; done
    ;;
  restore-vault)
    folder=${2:?where from}
    check "$folder" vault-data.tar.gz
    put_back "$folder/vault-data.tar.gz"
    ;;
  *)
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
