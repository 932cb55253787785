#!/bin/bash
# completion.sh FILE: what bash offers to complete.
set -uo pipefail  # no -e: completion functions are written for shells without
failed=0
# shellcheck disable=SC1090
. "$1"

# offers EXPECTED WORD...: the last word is the one to complete.
offers() {
  local expected=$1
  COMP_WORDS=("${@:2}")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  COMPREPLY=()
  _holdfast "$HOLDFAST" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
  if [ "${COMPREPLY[*]}" != "$expected" ]; then
    printf 'after "%s": "%s" instead of "%s"\n' "${COMP_WORDS[*]}" "${COMPREPLY[*]}" "$expected"
    failed=1
  fi
}

offers '--cache-ttl --cache-ttl-override' holdfast --cache
offers '--check-config' holdfast --port 3000 --check
offers 'debug' holdfast --log-level d
offers 'text' holdfast --log-format = t
offers '--try' holdfast --tr
offers 'none' holdfast --try --faults n
offers 'json text' holdfast --log-format =
offers '' holdfast --no-such-fl
cd "$(dirname "$1")" || exit
offers 'holdfast' holdfast --config hold
offers 'admin check explain store' holdfast ''
offers 'check' holdfast c
offers '--field' holdfast check --fi
offers 'explain' holdfast e
offers 'breaker' holdfast admin b
offers 'drain' holdfast admin d
offers 'check compact' holdfast store c
offers 'holdfast' holdfast store check hold
offers '--method' holdfast explain --meth
offers '--cache-ttl --cache-ttl-override' holdfast explain /lookup/8.8.8.8 --cache
offers '--socket' holdfast admin --so
offers '' holdfast explain ''
# Names are those of the settings file.
settings=$(mktemp)
trap 'rm -f "$settings"' EXIT
cat >"$settings" <<'END'
[upstream.one]
urls = ["http://one.example"]
[upstream.other]
urls = ["http://other.example"]
[[route]]
name = "first"
match = "/first/{x}"
upstream = "one"
[[route]]
name = "second"
match = "/second/{x}"
upstream = "other"
request_set = { "X-Key" = "x" }
END
offers 'first second' holdfast admin --config "$settings" purge --route ''
offers 'second' holdfast admin --config = "$settings" stale --route = s
offers 'one other' holdfast admin --config "$settings" breaker open upstream =
HOLDFAST_CONFIG=$settings offers 'other' holdfast admin breaker open upstream = ot
HOLDFAST_CONFIG=/nonexistent offers '' holdfast admin purge --route ''
exit "$failed"
