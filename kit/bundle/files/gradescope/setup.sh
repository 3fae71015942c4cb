#!/bin/sh
# Gradescope runs this once, as root and with a network, when it builds the image. It fails, and with it the build,
# when the grader does not work there.
set -eu
. "${NETSPLIT_AUTOGRADER:-/autograder}/source/grader.sh"

mkdir -p "$home/home"
cp "$root/source/netsplit" "$home/netsplit"
chmod 755 "$home" "$home/netsplit"
[[- if .Code]]
sh "$root/source/get-go.sh" "$home" # needs go.dev; with no curl also the packages of the distribution
[[- end]]
if [ "$(id -u)" = 0 ]; then
  chown -R "$user:$user" "$home/home"
fi

# One grade of the reference: proves that all is there[[if .Code]], and leaves Go's modules (from proxy.golang.org) and what was
# compiled, so that grading needs no network[[end]].
status=0
cd /
grader "$home/netsplit" grade "$LAB" --solution --format json --out "$home/home/proof.json" || status=$?
[ -s "$home/home/proof.json" ] || status=none # a program that breaks may end with 2 as well
case $status in
0 | 2) ;;
none)
  echo "netsplit does not work in this image: it left no result" >&2
  exit 1
  ;;
*)
  echo "netsplit does not work in this image: status $status" >&2
  exit 1
  ;;
esac
