#!/bin/bash
# The service as `init` sets it up where no network mount is a target, on a clean Debian with a real systemd: a user of its own,
# which still reads what staff let nobody else read and gives copies their owners; then a bucket beside the folder; then alone.
#
#   service_user.sh TREE PACKAGE WEED    as this machine has them; prints "PASS what happened" or "FAIL why"
set -u
# shellcheck source=tests/lab/service_common.sh
. "$(dirname "$0")/service_common.sh"
tree=/host$1 package=/host$2 weed=/host$3

same_all() { # same_all A B: type, mode, owner, group and content of everything
    diff <(cd "$1" && find . -path ./.driftline -prune -o -printf '%P %y %m %U %G\n' | sort) \
        <(cd "$2" && find . -path ./.driftline -prune -o -printf '%P %y %m %U %G\n' | sort) &&
        diff -r --exclude=.driftline "$1" "$2"
}
init() {
    echo "\$ driftline init $*"
    driftline init "$@" </dev/null || fail "init $*"
    [ "$(property ActiveState)" = active ] || fail "it does not run"
    [ "$(property User)" = driftline ] || fail "it runs as another user: $(property User)"
    [ "$(awk '/^Uid:/ { print $2 }' "/proc/$(property MainPID)/status")" = "$(id -u driftline)" ] || fail "another user"
    until_true 90 "safe" is_safe
}

dpkg -i "$package" >/dev/null 2>&1 || fail "it cannot be installed"
mkdir -p /srv/projects/private /srv/projects/shared /backup/projects
echo secret | tee /root/secret >/srv/projects/private/wages.txt
echo tool >/srv/projects/shared/tool
chown -R 1001:1002 /srv/projects/private && chmod 700 /srv/projects/private && chmod 600 /srv/projects/private/wages.txt
chgrp 1003 /srv/projects/shared && chmod 2775 /srv/projects/shared && chmod 4755 /srv/projects/shared/tool

# ---- a folder of this machine ----

init --share /srv/projects --target /backup/projects
same_all /srv/projects /backup/projects || fail "not the same"
folder=$(exposure)
at_most "$folder" 2.0
pid=$(property MainPID)
nsenter -t "$pid" -m touch /srv/projects/written /etc/written 2>/dev/null && fail "it may write where no target is"
nsenter -t "$pid" -m test -e /root/secret && fail "it sees homes"
nsenter -t "$pid" -n ip link show efs0 >/dev/null 2>&1 && fail "it sees the network without a bucket"

# ---- its log in the journal: priorities, and fields ----

echo hold >/backup/projects/foreign.txt
echo other >/srv/projects/foreign.txt
in_journal() { journalctl -u driftline DRIFTLINE_PATH=foreign.txt DRIFTLINE_TARGET=projects/target PRIORITY=4 -o cat | grep -q "is held"; }
until_true 60 "the hold is in the journal, with its path, its target and a priority" in_journal
[ "$(journalctl -u driftline PRIORITY=6 -o cat | grep -c '^watching$')" = 1 ] || fail "what is told of a start has another priority"
rm /backup/projects/foreign.txt /srv/projects/foreign.txt
until_true 90 "safe after the hold" is_safe

# ---- a bucket too: an edit, and init again ----

start_bucket "$tree" "$weed"
printf '[default]\naws_access_key_id = driftline\naws_secret_access_key = driftline-secret\n' >/etc/driftline/aws
chmod 600 /etc/driftline/aws
add_bucket
init
both=$(exposure)
at_most "$both" 2.0
[ "$(driftline status --json --query 'shares[0].targets[].state' | grep -c '"ok"')" = 2 ] || fail "not both targets are ok"
echo later >/srv/projects/later.txt
until_true 60 "what is saved later arrives in the folder" [ -e /backup/projects/later.txt ]
until_true 60 "and is safe" is_safe
driftline restore private/wages.txt --from cloud --to /tmp/back >/dev/null && [ "$(cat /tmp/back/private/wages.txt /tmp/back/wages.txt 2>/dev/null)" = secret ] ||
    fail "it cannot be had back from the bucket: $(find /tmp/back)"

# ---- the bucket alone ----

python3 - <<'PYTHON'
text = open("/etc/driftline/config.toml").read()
begin, end = text.index('[[share.target]]\nname = "target"'), text.rindex("[[share.target]]")
open("/etc/driftline/config.toml", "w").write(text[:begin] + text[end:])
PYTHON
init
bucket=$(exposure)
at_most "$bucket" 2.0
[ "$(grep '^CapBnd:' "/proc/$(property MainPID)/status" | awk '{ print $2 }')" = 0000000010000004 ] || fail "it keeps more rights than to read"

echo "PASS exposure $folder with a folder of this machine, $both with a bucket beside it, $bucket with the bucket alone"
