#!/bin/bash
# An administrator's first day with driftline, from README's own words, on a clean Debian with a real systemd and a real NFS
# mount: install, set up, look, break something, mend it, restore, upgrade, purge.
#
#   office_day.sh TREE OLD.deb NEW.deb  as this machine has them; prints "PASS what happened" or "FAIL why"
#
# What README says to type first is taken from there, word by word.
set -u
# shellcheck source=tests/lab/service_common.sh
. "$(dirname "$0")/service_common.sh"
readme=/host$1/README.md old=/host$2 new=/host$3
arrived=/run/lab/srv/fs/data/projects

has() { cmp -s "/srv/projects/$1" "$arrived/$1"; }
# Told by `what` of itself, and shown here for the log.
shown() { echo "\$ $*"; "$@"; }

# readme BEGINNING: runs the one command of README that begins so, as root.
readme() {
    local line
    line=$(sed -n 's/ *#.*//; s/^    sudo //p' "$readme" | grep "^$1" | head -n 1)
    [ -n "$line" ] || fail "README has no command that begins with: $1"
    echo "\$ $line"
    bash -c "$line" </dev/null
}

# ---- install: nothing runs, and nothing is enabled, before there is something to keep safe ----

mkdir -p /srv/projects $arrived
for name in {1..40}; do head -c $((name * 500)) /dev/urandom >/srv/projects/$name.dat; done
begun=$EPOCHSECONDS
(cd "$(dirname "$old")" && readme "dpkg -i") || fail "it cannot be installed"
[ "$(property ActiveState) $(property UnitFileState)" = "inactive disabled" ] || fail "something runs before it is set up"
[ -z "$(ls /etc/driftline)" ] || fail "a configuration that nobody wrote: $(ls /etc/driftline)"
getent passwd driftline >/dev/null || fail "it has no user of its own"
systemctl start driftline 2>/dev/null && fail "it starts without a configuration"
sleep 18 # longer than RestartSec=
[ "$(property ActiveState) $(property ExecMainStatus) $(property NRestarts)" = "failed 78 0" ] || fail "it is tried again"
for file in /usr/share/man/man1/driftline-init.1.gz /usr/share/bash-completion/completions/driftline; do
    [ -s $file ] || fail "there is no $file"
done

# ---- three commands from nothing to a protected share ----

readme "driftline init --share" || fail "init"
[ "$(property ActiveState) $(property UnitFileState)" = "active enabled" ] || fail "set up, and does not run"
until_true 60 "safe" is_safe
protected=$((EPOCHSECONDS - begun))
readme "driftline status" || fail "status is not fine"
readme "driftline check" | grep -q "no problem" || fail "check finds a problem"
diff -r --exclude=.driftline /srv/projects $arrived >/dev/null || fail "safe, and not the same"
[ "$(property User)" = "" ] || fail "a network mount is written by another user than root"
nsenter -t "$(property MainPID)" -m touch /etc/written 2>/dev/null && fail "it may write to /etc"
exposure=$(exposure)
at_most "$exposure" 2.0

# ---- something breaks, is seen, and is mended ----

fault umount
echo seen >/srv/projects/seen.txt
until_true 60 "the mount that went is told" says verdict attention
shown driftline status && fail "status is fine without the target"
shown driftline problems && fail "no problem without the target"
driftline problems | grep -q unreachable || driftline problems | grep -qi "target" || fail "problems does not name the target"
fault remount
until_true 120 "safe after it is mounted again" is_safe
has seen.txt || fail "what was saved meanwhile is not there"

# ---- a mistake of somebody's, and its restore ----

before=$(date -u +%Y-%m-%dT%H:%M:%SZ)
sleep 1.1
hash=$(sha256sum </srv/projects/7.dat)
echo wrong >/srv/projects/7.dat
rm /srv/projects/8.dat
until_true 60 "the mistake is carried over" has 7.dat
until_true 60 "and the removal" [ ! -e $arrived/8.dat ]
shown driftline history 7.dat || fail "history"
shown driftline restore --all --as-of "$before" || fail "restore"
[ "$(sha256sum </srv/projects/7.dat)" = "$hash" ] && [ -s /srv/projects/8.dat ] || fail "not as it was"
until_true 60 "safe after the restore" is_safe

# ---- an upgrade while staff work: the state is kept, and nothing that is saved meanwhile is lost ----

bound=$(cat /mnt/efs/projects/.driftline/identity)
pid=$(property MainPID)
( for turn in {1..60}; do echo "$turn" >"/srv/projects/during-$turn.txt"; sleep 0.25; done ) &
saving=$!
sleep 1
shown dpkg -i "$new" || fail "it cannot be upgraded"
wait $saving
[ "$(property ActiveState)" = active ] && [ "$(property MainPID)" != "$pid" ] || fail "the new program does not run"
until_true 60 "safe after the upgrade" is_safe
for turn in {1..60}; do has "during-$turn.txt" || fail "during-$turn.txt was saved while it was upgraded, and is not there"; done
[ "$(cat /mnt/efs/projects/.driftline/identity)" = "$bound" ] || fail "the target was bound anew"
[ "$(driftline log --json | grep -c '"bind"')" = 2 ] || fail "the index began anew: $(driftline log | head -n 5)"
[ "$(dpkg-query -W -f '${Version}' driftline)" != "$(dpkg-deb -f "$old" Version)" ] || fail "it is no other version"

# ---- removed: it stops, and comes back as it was ----

shown dpkg -r driftline || fail "it cannot be removed"
[ "$(property ActiveState)" != active ] || fail "removed, and runs"
[ -s /etc/driftline/config.toml ] && [ -s /var/lib/driftline/index.db ] || fail "removed, and the state with it: $(ls /var/lib/driftline)"
dpkg -i "$new" >/dev/null 2>&1 && systemctl start driftline || fail "it does not come back"
until_true 60 "safe when it came back" is_safe

# ---- purged: all that is ours, and nothing else ----

count=$(find /srv/projects $arrived -path '*/.driftline' -prune -o -type f -print | wc -l)
shown dpkg --purge driftline || fail "it cannot be purged"
left=$(find / -xdev \( -path /proc -o -path /host -o -path /mnt -o -path /run -o -path /srv -o -path /var/lib/dpkg \) -prune -o \
    -name '*driftline*' -print)
[ -z "$left" ] || fail "left behind: $left"
[ "$(find /srv/projects $arrived -path '*/.driftline' -prune -o -type f -print | wc -l)" = "$count" ] || fail "files were taken away"
[ "$(cat $arrived/.driftline/identity)" = "$bound" ] || fail "the target's own was taken away"

echo "PASS protected $protected s after the installation began; exposure $exposure; 60 saves during the upgrade are there;" \
    "nothing left behind"
