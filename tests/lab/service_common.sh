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
