#!/bin/sh
# Asks for every address of a file and says how many answers were status 200.
# Needs a POSIX shell, awk, sort and curl. Exit: 0 all 200, 1 not all, 2 usage or
# an unusable file, 128+n on signal n (after a summary of what was done so far).
#
# One curl makes all requests: starting a process for each would measure the
# starting. It reports a line per request through a named pipe, read below. Each
# request has its own connection, because curl repeats one that fails on a used
# connection, and a silent repeat would hide a fault.
# shellcheck disable=SC2317  # trap handlers
set -u
export LC_ALL=C

base_url=${BASE_URL:-http://localhost:3000}
path=${LOOKUP_PATH:-/lookup}
file=${IPS_FILE:-test_ips.txt}
concurrency=${CONCURRENCY:-1}
timeout=${TIMEOUT:-30}
header=${REQUEST_HEADER:-}

usage() {
  cat <<EOF
usage: ${0##*/} [options] [FILE]
  -f, --file FILE      addresses, one a line; - is standard input   IPS_FILE        $file
  -u, --url URL        base URL                                     BASE_URL        $base_url
  -c, --concurrency N  requests at a time, 1 to 300                 CONCURRENCY     $concurrency
  -t, --timeout S      longest wait for one answer, in seconds      TIMEOUT         $timeout
  -p, --path PATH      what comes between base URL and address      LOOKUP_PATH     $path
  -H, --header LINE    one more request header field                REQUEST_HEADER
  -h, --help           this text, with the values now in force
An address without a complete answer (refused, reset, truncated, timed out)
counts as status 000.
EOF
}

fail() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit 2
}

while [ $# -gt 0 ]; do
  option=$1
  case $option in
    --*=*)
      value=${option#*=}
      option=${option%%=*}
      shift
      set -- "$option" "$value" "$@"
      ;;
  esac
  case $option in
    -h | --help) usage; exit 0 ;;
    -f | --file | -u | --url | -c | --concurrency | -t | --timeout | -p | --path | -H | --header)
      [ $# -ge 2 ] || fail "$option needs a value"
      case $option in
        -f | --file) file=$2 ;;
        -u | --url) base_url=$2 ;;
        -c | --concurrency) concurrency=$2 ;;
        -t | --timeout) timeout=$2 ;;
        -p | --path) path=$2 ;;
        *) header=$2 ;;
      esac
      shift 2
      ;;
    --) shift; [ $# -eq 0 ] || file=$1; break ;;
    -?*) fail "unknown option $option (--help lists them)" ;;
    *) file=$1; shift ;;
  esac
done

# The limit is curl's own: it takes a larger --parallel-max for its default.
case $concurrency in
  '' | *[!0-9]* | ????*) fail "concurrency must be a whole number from 1 to 300, not '$concurrency'" ;;
esac
if [ "$concurrency" -lt 1 ] || [ "$concurrency" -gt 300 ]; then
  fail "concurrency must be a whole number from 1 to 300, not '$concurrency'"
fi
case $timeout in
  '' | *[!0-9.]* | *.*.* | .) fail "timeout must be a number of seconds, not '$timeout'" ;;
esac
# These go into a curl config file, where a quote or a line break ends the value.
newline='
'
case $base_url$path$header in
  *'"'* | *\\* | *"$newline"*) fail "quotes, backslashes and line breaks are not allowed in the URL, path or header" ;;
esac
base_url=${base_url%/}
path=/${path#/}
path=${path%/}/
command -v curl >/dev/null 2>&1 || fail "curl is not installed"

if [ "$file" != - ]; then
  [ -e "$file" ] || fail "$file: no such file"
  if [ ! -f "$file" ] && [ ! -p "$file" ] && [ ! -c "$file" ]; then fail "$file: not a file"; fi
  [ -r "$file" ] || fail "$file: not readable"
fi

umask 077
work=${TMPDIR:-/tmp}/test-ips.$$
mkdir "$work" || fail "cannot make $work"
curl_pid=
curl_config=$work/config
results=$work/results

now() {
  stamp=$(date +%s.%N 2>/dev/null)
  case $stamp in
    *[!0-9.]* | '') stamp=$(date +%s) ;; # a date without %N
  esac
  printf '%s\n' "$stamp"
}

cleanup() {
  if [ -n "$curl_pid" ]; then
    kill "$curl_pid" 2>/dev/null
    wait "$curl_pid" 2>/dev/null
  fi
  rm -rf "$work"
}

# Status, seconds and curl's exit code a line -> the report. Exit 0 if all are 200.
summary() {
  end=$(now)
  sort -k2,2n "$results" | awk -v asked="$1" -v start="$start" -v end="$end" '
    { latency[++n] = $2
      count[$3 == 0 ? $1 : "000"]++ }
    function rank(share,  i) {    # nearest rank, in milliseconds
      i = int(share * n); if (i < share * n) i++
      return sprintf("%.1f ms", 1000 * latency[i < 1 ? 1 : i])
    }
    END {
      if (n < asked) count["000"] += asked - n   # curl itself came to grief
      total = n < asked ? asked : n
      elapsed = end - start
      printf "\nTotal IPs tested: %d\n", total
      printf "Total time: %.2f seconds\n", elapsed
      if (elapsed > 0) printf "Average requests per second: %.2f\n", total / elapsed
      else printf "Average requests per second: more than the clock can tell\n"
      if (n > 0)
        printf "Latency: p50 %s, p95 %s, p99 %s, max %s\n", rank(0.5), rank(0.95), rank(0.99), rank(1)
      printf "Status Code Distribution:\n"
      for (status = 0; status < 1000; status++) {
        code = sprintf("%03d", status)
        if (code in count)
          printf "Status %s: %d (%.2f%%)\n", code, count[code], 100 * count[code] / total
      }
      exit !(total > 0 && count["200"] == total)
    }'
}

interrupted() {
  trap '' INT TERM HUP
  kill "$curl_pid" 2>/dev/null
  printf '\nInterrupted.\n'
  [ ! -s "$results" ] || summary 0
  exit "$1"
}

trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# Not by name: awk takes a=b.txt for an assignment.
if [ "$file" != - ]; then exec <"$file" || fail "$file: cannot be read"; fi
# Blank lines and lines that start with # are no addresses. Whatever is not plain
# address text is percent-encoded: the daemon, not curl, is to judge it.
{
  printf 'header = "Connection: close"\n'
  [ -z "$header" ] || printf 'header = "%s"\n' "$header"
  awk -v prefix="$base_url$path" '
    BEGIN { for (i = 1; i < 256; i++) code[sprintf("%c", i)] = sprintf("%%%02X", i) }
    NR == 1 { sub(/^\357\273\277/, "") }
    { gsub(/^[ \t\r]+|[ \t\r]+$/, "") }
    /^$/ || /^#/ { next }
    { text = ""
      for (i = 1; i <= length($0); i++) {
        c = substr($0, i, 1)
        text = text (c ~ /[0-9A-Za-z.:_~%\/-]/ ? c : code[c])
      }
      printf "url = \"%s%s\"\n", prefix, text }'
} >"$curl_config" || fail "$file: cannot be read"
total=$(grep -c '^url = ' "$curl_config")
[ "$total" -gt 0 ] || fail "$file: no addresses in it"

mkfifo "$work/pipe" || fail "cannot make a named pipe in $work"
: >"$results"
parallel=
[ "$concurrency" -eq 1 ] || parallel="--parallel --parallel-immediate --parallel-max $concurrency"

# Standard error, because curl does not buffer it; it is kept free of anything
# else. The body goes nowhere, but all of it is read.
start=$(now)
# shellcheck disable=SC2086  # none or several words
curl --disable --silent --no-progress-meter --globoff --path-as-is --noproxy 'localhost,127.0.0.1,::1' \
  --max-time "$timeout" $parallel \
  --write-out '%{stderr}result %{http_code} %{time_total} %{exitcode}\n' \
  --config "$curl_config" >/dev/null 2>"$work/pipe" &
curl_pid=$!
trap 'interrupted 130' INT
trap 'interrupted 143' TERM
trap 'interrupted 129' HUP

done_count=0
exec 3>>"$results"
while read -r mark status seconds exit_code rest; do
  if [ "$mark" != result ]; then
    printf '%s\n' "$mark $status $seconds $exit_code $rest" >&2
    continue
  fi
  printf '%s %s %s\n' "$status" "$seconds" "$exit_code" >&3
  done_count=$((done_count + 1))
  [ $((done_count % 100)) -ne 0 ] || printf 'Progress: %d IPs processed\n' "$done_count"
done <"$work/pipe"
exec 3>&-
wait "$curl_pid"
curl_pid=

summary "$total"
exit $?
