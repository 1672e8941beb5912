#!/bin/bash
# The service as `init` sets it up for an NFS mount and a bucket, of a share below /home, on a clean Debian with a real systemd:
# it runs as root with the network, and still gives copies their owners without CAP_CHOWN, sees nothing of homes but the share,
# reaches no group of machines, and serves metrics, also while the mount hangs.
#
#   service_root.sh TREE PACKAGE WEED    as this machine has them; prints "PASS what happened" or "FAIL why"
set -u
# shellcheck source=tests/lab/service_common.sh
. "$(dirname "$0")/service_common.sh"
tree=/host$1 package=/host$2 weed=/host$3
share=/home/staff/projects arrived=/run/lab/srv/fs/data/projects

has() { cmp -s "$share/$1" "$arrived/$1"; }
listed() { (cd "$1" && find . -mindepth 1 -path ./.driftline -prune -o -printf '%P %y %m %U %G %T@ %l\n' | sort); }
same_all() { diff <(listed $share) <(listed $arrived) && diff -r --no-dereference --exclude=.driftline $share $arrived; }
metrics() (
    exec 9<>/dev/tcp/127.0.0.1/9464 && printf 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n' >&9 && timeout 5 cat <&9
)
has_metric() { metrics | grep -qxF "$1"; }
sent_to() { # sent_to ADDRESS: what becomes of a packet that the service would send there
    local allowed
    allowed=$(sed -n 's/^IPAddressAllow=//p' /etc/systemd/system/driftline.service.d/10-init.conf)
    systemd-run -q --wait --pipe -p IPAddressDeny=any -p "IPAddressAllow=$allowed" python3 -c '
import socket, sys
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (sys.argv[1], 9))
    print("sent")
except OSError as error:
    print(error.strerror)' "$1"
}

# ---- what staff leave: files that belong to many, and bits that only root may set ----

dpkg -i "$package" >/dev/null 2>&1 || fail "it cannot be installed"
mkdir -p $share/private $share/shared $share/sticky $arrived
for name in private/wages.txt shared/tool shared/group sticky/one; do echo "$name" >"$share/$name"; done
ln -s nowhere $share/link
echo secret >/root/secret
owned() { chown "$1" "$share/$3" && chmod "$2" "$share/$3"; }
owned 1001:1002 700 private
owned 1001:1002 600 private/wages.txt
owned 1001:1003 2775 shared
owned 1005:1006 4755 shared/tool
owned 1005:1006 2755 shared/group
owned 1007:1007 644 sticky/one
chmod 1777 $share/sticky
chown -h 1001:1002 $share/link

# ---- an NFS mount, a bucket and metrics ----

start_bucket "$tree" "$weed"
mkdir -p /root/.aws
printf '[default]\naws_access_key_id = driftline\naws_secret_access_key = driftline-secret\n' >/root/.aws/credentials
driftline init --no-service --share $share --target /mnt/efs/projects >/dev/null || fail "init"
sed -i 's/^\[agent\]$/&\nmetrics = "127.0.0.1:9464"/' /etc/driftline/config.toml
add_bucket
HOME=/root driftline init </dev/null >/run/lab/init || fail "init with a bucket: $(cat /run/lab/init)"
grep -q "put those that it is to use into /etc/driftline/aws" /run/lab/init || fail "init does not say whose credentials are used"
mv /root/.aws/credentials /etc/driftline/aws && chmod 600 /etc/driftline/aws
driftline init </dev/null || fail "init with credentials"
[ "$(property User)" = "" ] || fail "a network mount is written by another user than root"
until_true 90 "safe" is_safe
same_all || fail "not the same"
exposure=$(exposure)
at_most "$exposure" 2.0
pid=$(property MainPID)
rights=$(awk '/^CapBnd:/ { print $2 }' "/proc/$pid/status")
[ "$rights" = 000000001000000e ] || fail "it may do more than it needs: $rights"
[ "$(nsenter -t "$pid" -m sh -c 'ls /home /home/staff; ls -A /root')" = "$(printf '/home:\nstaff\n\n/home/staff:\nprojects')" ] ||
    fail "it sees more of homes than the share"
nsenter -t "$pid" -m touch $share/written 2>/dev/null && fail "it may write to the share"
[ "$(sent_to 127.0.0.1)" = sent ] || fail "what it needs is closed: $(sent_to 127.0.0.1)"
ip route add 224.0.0.0/4 dev lo
[ "$(sent_to 224.0.0.1)" = "Operation not permitted" ] || fail "it reaches groups of machines: $(sent_to 224.0.0.1)"

# ---- what staff change: owners, modes, times, names ----

mkdir $share/new && echo new >$share/new/tool
owned 1010:1011 2770 new
owned 1010:1011 6755 new/tool
chown 1020:1021 $share/shared/tool && chmod 4711 $share/shared/tool && touch -d 2020-01-01 $share/shared/tool
mv $share/shared $share/moved
rm $share/private/wages.txt
until_true 60 "what was changed arrives" same_all
until_true 60 "safe after the changes" is_safe
driftline restore --all --from cloud --to /tmp/back >/dev/null && diff -r --no-dereference $share /tmp/back ||
    fail "the bucket does not hold the same"

# ---- metrics are true, also while the mount hangs ----

until_true 10 "metrics are served" has_metric 'driftline_verdict{verdict="safe"} 1'
fault cut
echo later >$share/later
until_true 60 "metrics tell of the hang" has_metric 'driftline_target_state{share="projects",target="target",state="unresponsive"} 1'
has_metric 'driftline_verdict{verdict="attention"} 1' || fail "the metrics' verdict: $(metrics)"
fault heal
until_true 120 "safe after the hang" is_safe
has later || fail "what was saved during the hang is not there"

# ---- a folder of this machine too: with CAP_CHOWN; and without root, once the mount is the service's own ----

mkdir /backup
printf '\n[[share.target]]\nname = "disk"\npath = "/backup"\n' >>/etc/driftline/config.toml
driftline init </dev/null || fail "init with a folder of this machine"
until_true 90 "safe with a folder of this machine" is_safe
diff -r --no-dereference --exclude=.driftline $share /backup || fail "not the same in the folder of this machine"
[ "$(property User)" = "" ] || fail "a network mount is written by another user than root"
three=$(exposure)
at_most "$three" 2.2
sed -i 's|^path = "/mnt/efs/projects"$|&\nownership = "ignore"|' /etc/driftline/config.toml
chown -R driftline: $arrived
driftline init </dev/null || fail "init with a mount of its own"
[ "$(property User)" = driftline ] || fail "it still runs as root: $(cat /etc/driftline/config.toml)"
own=$(exposure)
at_most "$own" 2.0
mkdir $share/last && echo last >$share/last/wages.txt
owned 1030:1031 2750 last
owned 1030:1031 640 last/wages.txt
until_true 90 "what is saved arrives on a mount of its own" has last/wages.txt
until_true 90 "safe without root" is_safe
[ "$(stat -c %U:%a $arrived/last/wages.txt)" = driftline:640 ] || fail "on the mount: $(stat -c %U:%a $arrived/last/wages.txt)"
[ "$(stat -c %u:%g:%a /backup/last /backup/last/wages.txt | paste -sd' ')" = "1030:1031:2750 1030:1031:640" ] ||
    fail "owners are not kept on this machine: $(stat -c %u:%g:%a /backup/last /backup/last/wages.txt)"

echo "PASS exposure $exposure with an NFS mount and a bucket of a share below /home, $three with a folder beside them, $own where" \
    "the mount is its own; owners kept; metrics true in a hang"
