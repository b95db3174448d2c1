#!/bin/sh
# Stands before the real QEMU on an agent's PATH. Of a guest's QEMU it writes down, before there is one, which others of the same
# domain live, and gives it a second monitor for the observer (guest-observer.ts). No process is forked: the
# pid is QEMU's, and what is written was true when it began. DOMUS_TRACED_QEMU is the real one, DOMUS_TRACE_FOLDER where to write.
uuid=
before=
for word in "$@"; do
  if [ "$before" = -uuid ]; then uuid=$word; fi
  before=$word
done
if [ -z "$uuid" ]; then exec "$DOMUS_TRACED_QEMU" "$@"; fi

living=
for file in "$DOMUS_TRACE_FOLDER/$uuid".*.begun; do
  pid=${file%.begun}
  pid=${pid##*.}
  if read -r stat 2>/dev/null < "/proc/$pid/stat"; then
    case "$stat" in
      *') Z '*) ;;
      *qemu*) living="$living $pid" ;;
    esac
  fi
done
{
  printf 'living%s\n' "$living"
  printf '%s\n' "$@"
  printf 'whole\n'
} > "$DOMUS_TRACE_FOLDER/$uuid.$$.begun"
exec "$DOMUS_TRACED_QEMU" "$@" \
  -chardev "socket,id=observer,path=$DOMUS_TRACE_FOLDER/$$.qmp,server=on,wait=off" -mon chardev=observer,mode=control
