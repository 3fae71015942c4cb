# Read by setup.sh and run_autograder.

root=${NETSPLIT_AUTOGRADER:-/autograder} # only tests have another one
home=$root/netsplit
. "$root/source/netsplit.conf"

# The grader runs as a user of its own, who needs no account, and who can read neither source nor results.
user=64321

grader() {
  set -- env -i HOME="$home/home" NETSPLIT_HOME="$home/home/state" TMPDIR=/tmp LANG=C.UTF-8 NO_COLOR=1 \
    PATH="$home/go/bin:$PATH" "$@"
  if [ "$(id -u)" = 0 ]; then
    set -- setpriv --reuid="$user" --regid="$user" --clear-groups "$@"
  fi
  "$@"
}
