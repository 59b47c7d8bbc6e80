#!/bin/sh
# Installs the programs that the benchmarks compare p2pim with. Debian; needs root (or sudo before it).
#
# The services that Debian would start are kept from starting: the benchmarks start their own copies, in temporary
# directories and on loopback ports.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)

if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    prosody lua-event ejabberd openssh-server openssh-client rsync gcc libc6-dev libssl-dev util-linux coturn

# magic-wormhole with its mailbox server and transit relay, in an environment of their own.
python3 -m venv "$here/.peers/wormhole"
"$here/.peers/wormhole/bin/pip" install --quiet --disable-pip-version-check \
    magic-wormhole magic-wormhole-mailbox-server magic-wormhole-transit-relay

# Other ways to send bytes through NATs.
for peer in aioquic aiortc iroh; do
    python3 -m venv "$here/.peers/$peer"
    "$here/.peers/$peer/bin/pip" install --quiet --disable-pip-version-check "$peer"
done
