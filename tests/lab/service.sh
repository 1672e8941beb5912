#!/bin/bash
# The service as an administrator sets it up, on a clean Debian with a real systemd and a real NFS mount.
#
#   service.sh TREE       the sources, as this machine has them; prints "PASS what happened" or "FAIL why"
set -u
# shellcheck source=tests/lab/service_common.sh
. "$(dirname "$0")/service_common.sh"
tree=/host$1 program=/host$DRIFTLINE_BIN
mount_point=/mnt/efs arrived=/run/lab/srv/fs/data/projects

limit_is_hit() {
    [ "$(property ActiveState)" = failed ] && journalctl -u driftline -o cat --since "$began" |
        grep -q "^driftline.service: Start request repeated too quickly"
}
status_is() { property StatusText | grep -q "$1"; }
is_another() { [ "$(property MainPID)" != "$1" ] && is_active; }
result_is() { [ "$(property Result)" = "$1" ]; }
lane_is() { says 'shares[0].targets[0].state' "$1"; }
has() { cmp -s "/srv/projects/$1" "$arrived/$1"; }

# ---- set up ----

install -m 755 "$program" /usr/local/bin/driftline || fail "no program"
install -m 644 "$tree/systemd/driftline.service" /etc/systemd/system/
install -d /etc/systemd/system/driftline.service.d
mkdir -p /srv/projects $arrived
# The state folder lies on a disk that can be held up.
mkdir -p /mnt/local/state /var/lib/driftline && mount --bind /mnt/local/state /var/lib/driftline || fail "no disk for the state"
cat >/etc/systemd/system/driftline.service.d/places.conf <<'UNIT'
[Service]
ReadWritePaths=/mnt
UNIT
driftline init --share /srv/projects --target $mount_point/projects >/dev/null || fail "init"
systemctl daemon-reload
echo one >/srv/projects/one
begun=$EPOCHSECONDS
systemctl enable --now driftline >/dev/null 2>&1 || fail "it does not start"

# ---- READY, STATUS, sandbox ----

is_active || fail "started, and not active"
until_true 60 "safe" is_safe
has one || fail "safe, and not there"
until_true 10 "a STATUS line" status_is "SAFE; 1 file known"
pid=$(property MainPID)
[ "$(awk '/^Seccomp:/ { print $2 }' "/proc/$pid/status")" = 2 ] || fail "no system call filter"
[ "$(awk '/^NoNewPrivs:/ { print $2 }' "/proc/$pid/status")" = 1 ] || fail "it may gain privileges"
nsenter -t "$pid" -m touch /etc/written 2>/dev/null && fail "it may write to /etc"
ready="ready and safe in $((EPOCHSECONDS - begun)) s"

# ---- a mount that hangs: neither the watchdog nor the manager minds ----

restarts=$(property NRestarts)
fault cut
echo two >/srv/projects/two
until_true 60 "unresponsive is said" lane_is unresponsive
sleep 75 # longer than WatchdogSec=
[ "$(property NRestarts) $(property MainPID)" = "$restarts $pid" ] || fail "the watchdog was tripped by a mount"
before=$EPOCHSECONDS
systemctl restart driftline || fail "no restart while the mount hangs"
restart="restart in $((EPOCHSECONDS - before)) s while it hung"
[ "$(property Result)" = success ] || fail "stopped by force: $(property Result)"
[ $((EPOCHSECONDS - before)) -lt 30 ] || fail "a stop takes longer than TimeoutStopSec="
fault heal
until_true 120 "safe after the hang" is_safe
has two || fail "what was saved during the hang is not there"

# ---- unmounted under the running service, and mounted again ----

fault umount
echo three >/srv/projects/three
until_true 60 "it is said that the mount is away" lane_is unreachable
[ -z "$(ls $mount_point)" ] || fail "it wrote below the mount point"
fault remount
until_true 120 "safe after it is mounted again" is_safe
has three || fail "what was saved while it was away is not there"

# ---- a start without the mount, which comes later ----

systemctl stop driftline || fail "stop"
fault umount
echo four >/srv/projects/four
systemctl start driftline || fail "it does not start without the mount"
until_true 60 "it is said that the mount is not there" lane_is unreachable
fault remount
until_true 120 "safe once it is mounted" is_safe
has four || fail "what was saved before the mount came is not there"

# ---- reload: a change takes effect in the process that runs, a wrong one changes nothing and is told ----

pid=$(property MainPID)
mkdir /mnt/local/second
cp /etc/driftline/config.toml /run/lab/config.before
sed -i 's|^\[\[share.target\]\]$|ignore = ["*.draft"]\n\n&|' /etc/driftline/config.toml
printf '\n[[share.target]]\nname = "second"\npath = "/mnt/local/second"\n' >>/etc/driftline/config.toml
systemctl reload driftline || fail "reload"
until_true 60 "a new target is served after a reload" [ -s /mnt/local/second/four ]
until_true 60 "safe after the reload" says 'verdict == `"safe"` && length(shares[0].targets) == `2`' true
echo draft >/srv/projects/five.draft
echo five >/srv/projects/five
until_true 60 "what is saved after the reload arrives" cmp -s /srv/projects/five /mnt/local/second/five
until_true 60 "safe after what was saved after the reload" is_safe
[ ! -e /mnt/local/second/five.draft ] && [ ! -e $arrived/five.draft ] || fail "a new pattern of ignore has no effect"

cp /etc/driftline/config.toml /run/lab/config.good
sed -i 's|^ignore = |ignorre = |' /etc/driftline/config.toml
systemctl reload driftline || fail "a reload of a wrong configuration is a failure of the service"
until_true 30 "systemd has it that a wrong configuration is not taken" status_is "NOT TAKEN.*ignorre"
is_active || fail "a wrong configuration ends what runs: $(property ActiveState)"
driftline status >/run/lab/wrong && fail "status is fine with a wrong configuration"
grep -q 'unknown key "ignorre"' /run/lab/wrong && grep -q 'did you mean "ignore"?' /run/lab/wrong || fail "status: $(cat /run/lab/wrong)"
journalctl -u driftline -p warning -o cat | grep -q 'unknown key "ignorre"' || fail "the journal does not name the mistake"
echo draft >/srv/projects/six.draft
echo six >/srv/projects/six
until_true 60 "what is saved while the file is wrong arrives" has six
until_true 60 "on both targets" cmp -s /srv/projects/six /mnt/local/second/six
[ ! -e /mnt/local/second/six.draft ] || fail "a wrong configuration has an effect"
cp /run/lab/config.good /etc/driftline/config.toml
systemctl reload driftline || fail "reload of the mended configuration"
until_true 60 "safe after the mistake is mended" is_safe
[ "$(property MainPID) $(property NRestarts)" = "$pid $restarts" ] || fail "a reload has begun another process"

# ---- a hung loop trips the watchdog: its own disk answers nothing any more, and all other threads live ----

pid=$(property MainPID)
fsfreeze -f /mnt/local || fail "the state's disk cannot be held up"
until_true 150 "the watchdog is tripped by a loop that hangs" result_is watchdog
fsfreeze -u /mnt/local
until_true 60 "the watchdog ends an agent that hangs" is_another "$pid"
until_true 60 "safe after the watchdog" is_safe

# ---- a share whose disk comes late: the service starts without it, says so, and goes on by itself once it is there ----

mkdir -p /mnt/local/disk /mnt/local/late-copy /srv/late
printf '[Mount]\nWhat=/mnt/local/disk\nWhere=/srv/late\nType=none\nOptions=bind\n' >/etc/systemd/system/srv-late.mount
systemctl daemon-reload && systemctl start srv-late.mount || fail "no disk"
printf '\n[[share]]\nname = "late"\npath = "/srv/late"\n[[share.target]]\nname = "copy"\npath = "/mnt/local/late-copy"\n' \
    >>/etc/driftline/config.toml
driftline init </dev/null >/run/lab/init || fail "init of a second share: $(cat /run/lab/init)"
until_true 90 "safe with a second share" is_safe
systemctl stop driftline srv-late.mount || fail "stop"
# What is no folder cannot be bound: systemd would make one that is missing.
mv /mnt/local/disk /mnt/local/disk.away && touch /mnt/local/disk
systemctl start driftline || fail "a disk that is late keeps the service from starting"
[ "$(systemctl show -P Result srv-late.mount)" != success ] || fail "the disk was not late"
until_true 60 "it is said that the disk is not there" says 'shares[1].state' offline
until_true 10 "systemd has it too" status_is "NOT SAFE: share late is offline"
rm /mnt/local/disk && mv /mnt/local/disk.away /mnt/local/disk
echo late >/mnt/local/disk/late
systemctl start srv-late.mount || fail "the disk does not come"
until_true 90 "what lies on the disk that came late arrives" cmp -s /srv/late/late /mnt/local/late-copy/late
until_true 90 "safe once the disk is there" is_safe

# ---- an agent that ends at once each time is left alone after a while, and that is told ----

# Not by removing the drop-in again: a daemon-reload makes systemd forget the limit.
loops() {
    began=@$(date +%s)
    ln -sfn /bin/false /run/lab/agent
    printf '[Service]\nExecStart=\nExecStart=/run/lab/agent run --config /etc/driftline/config.toml\nRestartSec=100ms\n' \
        >/etc/systemd/system/driftline.service.d/loop.conf
    systemctl daemon-reload
    systemctl restart driftline 2>/dev/null
    until_true 60 "systemd leaves it alone" limit_is_hit
    driftline status >/run/lab/looped
    [ $? = 3 ] || fail "status does not say that no agent runs: $(cat /run/lab/looped)"
    ln -sfn "$(command -v driftline)" /run/lab/agent
    systemctl start driftline 2>/dev/null && fail "it can simply be started again"
}
loops
way=$(sed -n 's/^ *or as a service: //p' /run/lab/looped)
bash -c "$way" && [ -n "$way" ] || fail "status names no way that brings it back: $(cat /run/lab/looped)"
until_true 90 "safe after the loop, as status says" is_safe
systemctl stop driftline && bash -c "$way" 2>/dev/null && is_active || fail "what status says starts only what failed"
loops
driftline init </dev/null >/run/lab/init || fail "init does not bring it back: $(cat /run/lab/init)"
is_active || fail "init does not bring it back: $(cat /run/lab/init)"
until_true 90 "safe after the loop" is_safe
rm /etc/systemd/system/driftline.service.d/loop.conf && systemctl daemon-reload

# ---- a configuration that is wrong waits for a person ----

sed -i '1i nonsense = true' /etc/driftline/config.toml
systemctl restart driftline 2>/dev/null
sleep 18 # longer than RestartSec=
[ "$(property ActiveState) $(property ExecMainStatus)" = "failed 78" ] || fail "a wrong configuration is tried again"

exposure=$(exposure)
at_most "$exposure" 2.0
echo "PASS $ready; $restart; a reload took effect, a wrong one was told; a hung loop restarted; a late disk waited for; a crash loop left alone; exposure $exposure"
