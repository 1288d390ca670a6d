#!/bin/sh
# Starts a Redis on a file that ends with a whole call (docs/adr/0016): entrypoint of its containers.
#
#   redis-start.sh CONFIG [OPTION…]
#
# A call that a power cut left half written is cut off, before Redis builds on it. Only that: if anything whole stands
# behind the first fault, nothing is thrown away by itself, and all other faults are Redis's own to judge.
set -eu
folder=/data/appendonlydir
manifest=$folder/appendonly.aof.manifest
return=$(printf '\r')
begin=$(printf '*1\r\n$5\r\nMULTI\r')

if [ -f "$manifest" ] && ! found=$(redis-check-aof "$manifest" 2>&1); then
  analyzed=$(echo "$found" | grep '^AOF analyzed:' | tail -n 1)
  file=$folder/$(echo "$analyzed" | sed 's/.*filename=\([^,]*\),.*/\1/')
  whole_bytes=$(echo "$analyzed" | sed 's/.*ok_up_to=\([0-9]*\),.*/\1/')
  rest() { tail -c +"$((whole_bytes + 1))" "$file"; }
  # A last EXEC without its end of line is none.
  if ! [ -f "$file" ] || { rest && echo .; } | grep -aq "^EXEC$return\$"; then
    echo "$found" >&2
    echo "The file is damaged before its end, and starting would lose what stands behind. A service's Redis: remove" >&2
    echo "its volume, its journal gives all again. The vault's: put the last copy back, docs/runbooks/vault-lost.md." >&2
    exit 1
  fi
  case $begin in
    "$(rest | head -c ${#begin})"*)
      echo "a call was half written: $file is cut off after $whole_bytes bytes"
      yes | redis-check-aof --fix "$manifest"
      ;;
  esac
fi
exec redis-server "$@"
