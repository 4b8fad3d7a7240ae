#!/usr/bin/env bash
# The walk of examples/README.md, its commands in their order. A test runs it, and another checks that
# both say the same.
#
#   examples/by_hand.sh          from the root of a checkout, with paripassu on the path; makes ./walk
#   PORT=7555 WALK=/tmp/walk examples/by_hand.sh
set -euo pipefail
cd "$(dirname "$0")/.."

# The walk says 7443 and ./walk; other values are put in their place.
: "${PORT:=7443}" "${WALK:=walk}"
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
step() { printf '\n== %s\n' "$1" >&2; }

step "A folder for everything"
mkdir "$WALK"
cp examples/config/*.toml examples/data/lending_club/*.csv "$WALK"/
cp examples/lending_club.toml "$WALK"/job.toml
cd "$WALK"

step "Identities"
paripassu pki init --dir ca --name "Example consortium"
paripassu pki request --dir coordinator --as coordinator/coordinator
paripassu pki request --dir bank --as party/bank
paripassu pki request --dir partner --as party/partner
paripassu pki request --dir modeler --as user/modeler
paripassu pki sign coordinator/node.csr --as coordinator/coordinator --out coordinator/node.crt
paripassu pki sign bank/node.csr --as party/bank --out bank/node.crt
paripassu pki sign partner/node.csr --as party/partner --out partner/node.crt
paripassu pki sign modeler/node.csr --as user/modeler --out modeler/node.crt
for member in coordinator bank partner modeler; do cp ca/ca.crt ca/crl.pem $member/; done
paripassu pki show bank

step "Nodes"
sed -i "s/:7443/:$PORT/" coordinator.toml bank.toml partner.toml
paripassu coordinator serve --config coordinator.toml --ready-file coordinator.json 2> coordinator.log &
paripassu party serve --config bank.toml --ready-file bank.json 2> bank.log &
paripassu party serve --config partner.toml --ready-file partner.json 2> partner.log &
until [ -e coordinator.json ] && [ -e bank.json ] && [ -e partner.json ]; do sleep 0.2; done
export PARIPASSU_COORDINATOR=127.0.0.1:$PORT
paripassu doctor --identity modeler

step "The modeler plans and proposes"
paripassu job plan job.toml --rows bank=9358,partner=9420 --matched 8900
JOB=$(paripassu job submit job.toml --identity modeler)

# A person reads what `job show` prints before its digest is taken from it; a script cannot.
step "The officers approve"
paripassu job show $JOB --identity bank
CONTRACT=$(paripassu job show $JOB --identity bank --json | grep -o '"digest":"[0-9a-f]*"' | cut -d'"' -f4)
paripassu job approve $JOB --contract $CONTRACT --identity bank
paripassu job approve $JOB --contract $CONTRACT --identity partner

step "The job runs"
paripassu job watch $JOB --identity modeler

step "Results"
paripassu job report $JOB --out bank/results
paripassu model show bank/results/$JOB
paripassu model show partner/results/$JOB
