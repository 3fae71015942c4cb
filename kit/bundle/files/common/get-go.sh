#!/bin/sh
# get-go.sh FOLDER: sees to a Go toolchain, either one on the PATH that is new enough or FOLDER/go, downloaded from
# go.dev and checked.
set -eu
. "$(dirname -- "$0")/netsplit.conf"
to=$1

minor=$(cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9][0-9]*\).*/\1/p') || minor=
if [ -n "$minor" ] && [ "$minor" -ge [[.MinGo]] ]; then
  exit 0
fi
if [ -x "$to/go/bin/go" ]; then
  exit 0
fi
if ! command -v curl >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  apt-get update -qq && apt-get install -y -qq --no-install-recommends ca-certificates curl
fi
mkdir -p "$to"
archive=$to/go$GO_VERSION.linux-amd64.tar.gz
trap 'rm -f "$archive"' EXIT
curl --fail --silent --show-error --location --retry 3 --output "$archive" "https://go.dev/dl/go$GO_VERSION.linux-amd64.tar.gz"
echo "$GO_SHA256  $archive" | sha256sum -c - >&2
tar -C "$to" -xzf "$archive"
