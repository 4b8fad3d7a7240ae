#!/usr/bin/env bash
# Makes the certificates of a trial consortium on one machine, under deploy/run (or the folder given).
#
#   deploy/certs/make.sh [FOLDER]
#
# In earnest nobody runs this: each institution makes its own key on its own machine with
# `paripassu pki request`, and the authority signs the request (deploy/README.md).
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$here/run}
paripassu=${PARIPASSU:-paripassu}
command -v "$paripassu" >/dev/null || {
    echo "paripassu is not on the path; set PARIPASSU to the program" >&2
    exit 1
}
umask 077
mkdir -p "$out"
[ -e "$out/ca/ca.crt" ] || "$paripassu" pki init --dir "$out/ca" --name "Trial consortium"
for node in coordinator/coordinator party/bank party/partner helper/helper user/modeler; do
    dir=$out/${node#*/}
    [ -e "$dir/node.crt" ] && continue
    "$paripassu" pki request --dir "$dir" --as "$node"
    "$paripassu" pki sign "$dir/node.csr" --ca "$out/ca" --as "$node" --out "$dir/node.crt"
    cp "$out/ca/ca.crt" "$out/ca/crl.pem" "$dir/"
done
# the containers' user must be able to read its own key, and nobody else
if [ "$(id -u)" = 0 ]; then
    for dir in coordinator bank partner helper; do
        chown -R 10001:10001 "$out/$dir"
    done
fi
echo "identities are in $out"
