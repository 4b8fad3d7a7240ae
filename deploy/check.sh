#!/usr/bin/env bash
# Checks the deployment files with the tools they are for, where those are installed. The samples are
# read by the programs' own types in `cargo test -p paripassu-xtask --test deploy`.
set -euo pipefail
cd "$(dirname "$0")"
skipped() { echo "skipped: $1 is not installed"; }

for script in ./*.sh certs/*.sh ../.ci/run; do
    bash -n "$script"
    echo "ok: $script"
done

if command -v systemd-analyze >/dev/null; then
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    for unit in systemd/*.service; do
        # the program need not be installed where this is checked
        sed 's|/usr/local/bin/paripassu|/bin/true|' "$unit" >"$dir/${unit##*/}"
        complaints=$(systemd-analyze verify --man=no "$dir/${unit##*/}" 2>&1 | grep -F "${unit##*/}" || true)
        [ -z "$complaints" ] || { echo "$complaints" >&2; exit 1; }
        systemd-analyze security --offline=true --threshold=20 "$dir/${unit##*/}" >"$dir/report" 2>&1 ||
            { cat "$dir/report" >&2; exit 1; }
        echo "ok: $unit ($(grep -o 'exposure level.*' "$dir/report" | head -1))"
    done
else
    skipped systemd-analyze
fi

if python3 -c 'import yaml' 2>/dev/null; then
    python3 - <<'P'
import yaml
compose = yaml.safe_load(open("compose.yaml"))
identities = {}
for name, service in compose["services"].items():
    assert service["read_only"] and service["cap_drop"] == ["ALL"], name
    assert service["user"] != "0", name
    assert "no-new-privileges:true" in service["security_opt"], name
    mounts = [v.split(":") for v in service["volumes"]]
    identities[name] = [m[0] for m in mounts if m[1] == "/etc/paripassu/identity"]
    assert identities[name] == [f"./run/{name}"], (name, identities)
    assert all(m[2:] == ["ro"] for m in mounts if m[0].startswith(".")), name
shared = set(compose["services"]["bank"]["networks"]) & set(compose["services"]["partner"]["networks"])
assert not shared, "the bank and the partner share a network"
print("ok: compose.yaml")
P
else
    skipped "python3-yaml"
fi
