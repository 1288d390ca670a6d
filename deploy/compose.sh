#!/bin/sh
# `docker compose` with the files of this deployment: compose.yaml and the overlays that `make up` was given last.
#
#   deploy/compose.sh ps -a
#   deploy/compose.sh run --rm tools doctor
#
# A command that names other files sees another deployment, and its `up` would make this one into it. OVERLAYS names
# others for once. An overlay of your own is deploy/NAME.yaml; what one adds where another is chosen too, if anything,
# is deploy/ONE-OTHER.yaml.
set -eu
here=$(dirname "$0")
if [ -z "${OVERLAYS+given}" ]; then
  OVERLAYS=$(if [ -f "$here/.overlays" ]; then cat "$here/.overlays"; fi)
fi

# The other way round, since each is put before the last: what two have together comes after both.
names=''
for name in $OVERLAYS; do
  [ -f "$here/$name.yaml" ] || { echo "OVERLAYS: there is no $here/$name.yaml" >&2; exit 2; }
  names="$name $names"
done
for name in $OVERLAYS; do
  for other in $OVERLAYS; do
    if [ -f "$here/$name-$other.yaml" ]; then names="$name-$other $names"; fi
  done
done
for name in $names; do set -- -f "$here/$name.yaml" "$@"; done
exec docker compose -f "$here/compose.yaml" "$@"
