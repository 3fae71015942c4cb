#!/bin/sh
# grade.sh github|classroom50 DIR: grades the work in DIR in a job of GitHub Actions. The status is 0 for pass, 1 for
# fail, 2 when nothing can be said, 3 when the grader broke; for classroom50 it is 0 also for fail, as its runner wants it.
set -u
system=$1 dir=$2
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 3
. "$here/netsplit.conf" || exit 3
work=$(mktemp -d) || exit 3
trap 'rm -rf "$work"' EXIT
trap 'exit 3' HUP INT TERM

# From here on nothing knows where the job takes its commands, outputs and summary from.
summary=${GITHUB_STEP_SUMMARY:-}
for name in $(env | sed -n 's/^\(\(GITHUB\|RUNNER\|ACTIONS\|INPUT\)_[A-Za-z0-9_]*\)=.*/\1/p'); do
  unset "$name"
done

# quiet FILE shows what a program said, with the runner told to take none of it for a command.
quiet() {
  token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  printf '::stop-commands::%s\n' "$token"
  head -c 65536 "$1"
  printf '\n::%s::\n' "$token"
}

broke() {
  echo "::error title=netsplit::The grader broke, which says nothing about the work: $1. The log of this step has what it said."
  exit 3
}

gzip -dc "$here/netsplit.gz" >"$work/netsplit" && chmod 700 "$work/netsplit" || broke 'it cannot be unpacked'
[[- if .Code]]
if ! sh "$here/get-go.sh" "${HOME:-$work}/.cache/netsplit-go" >"$work/said" 2>&1; then
  quiet "$work/said"
  broke 'there is no Go to compile with'
fi
PATH=$PATH:${HOME:-$work}/.cache/netsplit-go/go/bin
[[- end]]

case $system in
github) out=$work/summary.md ;;
*) out=$work/result.json ;;
esac
set -- "$work/netsplit" grade "$dir" --lab "$LAB" --format "$system" --out "$out"
[ -z "$SEED" ] || set -- "$@" --seed "$SEED"
[ -z "$SEEDS" ] || set -- "$@" --seeds "$SEEDS"
[[- if .Code]]
[ "$SHRINK" != no ] || set -- "$@" --no-shrink
[[- end]]
NETSPLIT_HOME=$work/home NO_COLOR=1 timeout -k 10 "$TIMEOUT" "$@" >"$work/shown" 2>"$work/said"
status=$?

if [ "$system" = github ]; then
  quiet "$work/said"
  cat "$work/shown" # every line of it is a command of the grader's own
  [ -z "$summary" ] || [ ! -f "$out" ] || cat "$out" >>"$summary"
else
  if [ -f "$out" ]; then
    rm -rf result.json # whatever the work has put there
    cp "$out" result.json || broke 'result.json cannot be written'
  fi
  quiet "$work/said"
  quiet "$work/shown"
fi
[ -f "$out" ] || case $status in 0 | 1 | 2) status=none ;; esac
case $status in
0 | 1 | 2) exit "$status" ;;
124 | 137) broke "it was ended after $TIMEOUT seconds, or for its memory" ;;
none) broke "it left no result" ;;
*) broke "it ended with status $status" ;;
esac
