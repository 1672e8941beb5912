# What the scenarios of the service have in common; read by each of them, in a guest with a systemd.
#
# shellcheck shell=bash

# Says why the scenario fails, and all that is known of the service, and ends it.
fail() {
    echo "FAIL $*"
    systemctl status --no-pager -l driftline
    cat /etc/systemd/system/driftline.service.d/*.conf
    journalctl -u driftline --no-pager | tail -n 40
    driftline status
    driftline problems
    exit 1
}

# until_true SECONDS WHAT COMMAND...
until_true() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || fail "not in time: $what"
        sleep 0.2
    done
}

property() { systemctl show -P "$1" driftline; }
says() { driftline status --json --query "$1" | grep -q "$2"; }
is_safe() { says verdict safe; }
is_active() { [ "$(property ActiveState)" = active ]; }
exposure() { systemd-analyze security --no-pager driftline.service | awk '/Overall exposure/ { print $(NF - 2) }'; }
# at_most FIGURE MOST: whether the service is no more exposed than that, as systemd itself says of it.
at_most() { awk -v is="$1" -v most="$2" 'BEGIN { exit !(is > 0 && is <= most) }' || fail "exposure $1, and not at most $2"; }

# start_bucket TREE WEED: an S3 server in the guest, at $server, with the bucket "office".
start_bucket() {
    local place=/mnt/local/s3 master grpc filer filer_grpc
    export DRIFTLINE_WEED=$2 S3_SERVER_IDLE=1000
    mkdir -p $place
    server=$("$1/tests/s3-server" start seaweedfs $place) || fail "no S3 server: $(tail -n 5 $place/seaweedfs/log)"
    read -r _ master grpc _ _ filer filer_grpc _ <$place/seaweedfs/ports
    echo "s3.bucket.create -name office" |
        "$2" shell -master="127.0.0.1:$master.$grpc" -filer="127.0.0.1:$filer.$filer_grpc" >$place/shell.log 2>&1 ||
        fail "no bucket: $(tail -n 5 $place/shell.log)"
}

# The last share of the configuration gets it as a target.
add_bucket() {
    cat >>/etc/driftline/config.toml <<TOML

[[share.target]]
name = "cloud"
url = "s3://office/projects"
region = "us-east-1"
endpoint = "http://$server"
TOML
}
