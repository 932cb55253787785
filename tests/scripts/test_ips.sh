#!/bin/bash
# test_ips.sh COMMON_SH TEST_IPS_SH FLAKY_UPSTREAM: what test-ips.sh says of answers, its
# exit codes, and files of any name.
set -euo pipefail
export LC_ALL=C
test_ips=$2 flaky_upstream=$3
# shellcheck source=tools/lib/common.sh
. "$1"
make_work
failed=0
start_upstream "$work/upstream"

# says EXIT_CODE TEXT [ARGUMENT...]: nothing comes from standard input.
says() {
  local expected=$1 text=$2 status=0
  shift 2
  "$test_ips" --url "http://127.0.0.1:$upstream_port" --path geoip "$@" >"$work/said" 2>&1 </dev/null || status=$?
  if [ "$status" -ne "$expected" ] || ! grep -qF -- "$text" "$work/said"; then
    printf 'after "%s": exit code %d instead of %d, or not "%s":\n' "$*" "$status" "$expected" "$text"
    cat "$work/said"
    failed=1
  fi
}

cd "$work"
for name in list.txt 'a list.txt' a=b.txt ./-list; do
  printf '# two\n8.8.8.8\n\n2001:db8::1\r\n' >"$name"
  says 0 'Status 200: 2 (100.00%)' "$name"
done
says 0 'Status 200: 2 (100.00%)' --concurrency=20 -- -list
printf '8.8.8.8\n8.8.8.\n' >wrong
says 1 'Status 200: 1 (50.00%)' wrong
says 2 'absent: no such file' absent
says 2 'no addresses in it' -
says 2 'unknown option --lst' --lst
says 2 'from 1 to 300' --concurrency 0 list.txt
curl -gsf --noproxy '*' -o reply -X PUT -d down "http://127.0.0.1:$upstream_control/mode"
says 1 'Status 000: 2 (100.00%)' list.txt
exit "$failed"
