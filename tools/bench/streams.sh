#!/bin/bash
# What goes through in pieces: an answer and an upload of 1 GiB through Holdfast and through nginx
# from Debian's packages, as it is and with its buffering off (nginx-direct), and many slow readers
# at a time. The servers are there all at once, in front of the same origin, idle but for the one
# being measured, and take turns, so that whatever else the machine does hits all of them.
#
# The memory is what the processes of a server held at most during a turn, and by how much that is
# more than before it.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/bench/lib.sh

all_servers='holdfast nginx nginx-direct' all_cases='answer upload readers'
servers=$all_servers cases=$all_cases
rounds=3 mib=1024 method=POST readers=500 reader_mib=10 reader_seconds=30

usage() {
  cat <<END
usage: tools/bench/streams.sh [options]
  --rounds N          turns for each server                                $rounds
  --cases LIST        of: ${all_cases// /,}
  --only LIST         of: ${all_servers// /,}
  --mib N             length of an answer and of an upload                 $mib
  --method M          what answers are asked for with: GET, by a route of
                      mode rfc9111, or POST                                $method
  --readers N         slow readers at a time                               $readers
  --reader-mib N      what each of them reads                              $reader_mib
  --reader-seconds N  for how long                                         $reader_seconds
  --cores S,L         core of the servers, core of origin and load         $server_core,$load_core
  --build DIR         meson build folder (BUILD_DIR)                       $build
  --out FILE          keep every turn's numbers, tab-separated
END
}

read_options 'rounds:rounds:count cases:cases:words only:servers:words mib:mib:count method:method:text
  readers:readers:count reader-mib:reader_mib:count reader-seconds:reader_seconds:count cores::cores
  build:build:text out:out:text' "$@"
# shellcheck disable=SC2086
only_known case "$all_cases" $cases
# shellcheck disable=SC2086
only_known server "$all_servers" $servers
only_known method 'GET POST' "$method"

install_without_services nginx curl python3 || die 'packages could not be installed'
holdfast=$(built src/holdfast)
need_two_cores
raise_descriptors 65536
make_work_folder "${TMPDIR:-/tmp}"
need_plain_folder
printf 'case\tround\tserver\tmib_per_s\tcpu_us_per_mib\tgrown_kib\tpeak_kib\n' >"$results"
pin=(taskset -c "$server_core") load=(taskset -c "$load_core")
problems=0

# ---- The servers ------------------------------------------------------------
# start_NAME PORT DIR: sets started_pid.

start_holdfast() {
  local mode=resilient
  [ "$method" = POST ] || mode=rfc9111
  cat >"$2/any.toml" <<END
[upstream.origin]
urls = ["http://127.0.0.1:$origin_port"]
upstream_spare = "off"
[[route]]
name = "any"
match = "/{path:rest}"
methods = "*"
mode = "$mode"
validate = { json = false }
max_request_body = "64GiB"
END
  # As patient as nginx is, with an origin that hundreds ask at once.
  env HOLDFAST_CONFIG="$2/any.toml" PORT="$1" BIND=127.0.0.1 WORKERS=1 STORE_PATH= \
    REQUEST_DEADLINE=60s ATTEMPT_TIMEOUT=55s \
    "${pin[@]}" "$holdfast" >"$2/log" 2>&1 &
  started_pid=$!
}

start_nginx() { start_nginx_with '' "$@"; }
start_nginx-direct() { start_nginx_with 'proxy_buffering off; proxy_request_buffering off;' "$@"; }
# BUFFERING PORT DIR
start_nginx_with() {
  cat >"$3/nginx.conf" <<END
daemon off;
$([ "$(id -u)" -ne 0 ] || echo 'user root;')
worker_processes 1;
pid $3/pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off;
  tcp_nodelay on;
  client_max_body_size 0;
  client_body_temp_path $3/t1; proxy_temp_path $3/t2; fastcgi_temp_path $3/t3;
  uwsgi_temp_path $3/t4; scgi_temp_path $3/t5;
  server {
    listen 127.0.0.1:$2 backlog=4096;
    location / {
      proxy_pass http://127.0.0.1:$origin_port;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      $1
    }
  }
}
END
  "${pin[@]}" nginx -e stderr -p "$3" -c "$3/nginx.conf" >"$3/log" 2>&1 &
  started_pid=$!
}

# ---- What a turn costs --------------------------------------------------------

# PID FIELD: of /proc/PID/status, over the process and all below it, in KiB.
memory_kib() {
  local pid
  for pid in $(process_tree "$1"); do
    sed -n "s/^$2:[[:space:]]*\([0-9]*\).*/\1/p" "/proc/$pid/status" 2>/dev/null || true
  done | awk '{ kib += $1 } END { print kib + 0 }'
}

# PID: what it held at most counts from now on (proc(5), clear_refs).
forget_peak() {
  local pid
  for pid in $(process_tree "$1"); do echo 5 >"/proc/$pid/clear_refs"; done
}

# SERVER: what is to be as long as it was sent, sets $seconds_taken.
answer_of() {
  local size
  read -r size seconds_taken < <("${load[@]}" curl -gs --noproxy '*' -o /dev/null -m 600 -X "$method" \
    -w '%{size_download} %{time_total}\n' "$1/bytes/$bytes")
  [ "$size" = "$bytes" ]
}

upload_to() {
  local answer
  answer=$("${load[@]}" curl -gs --noproxy '*' -m 600 -X POST -H 'Expect:' -T "$work/content" \
    -w ' %{time_total}\n' "$1/take")
  seconds_taken=${answer#* }
  [ "${answer%% *}" = "$bytes" ]
}

readers_of() {
  local whole
  read -r whole seconds_taken < <("${load[@]}" python3 tools/bench/streams.py readers \
    "$1/bytes/$((reader_mib << 20))" "$method" "$readers" "$((reader_mib << 20))" "$reader_seconds")
  [ "$whole" = "$readers" ]
}

# CASE ROUND SERVER: one turn.
turn() {
  local pid=${pid_of[$3]} url=http://127.0.0.1:${port_of[$3]} before ticks moved=$mib seconds_taken=0
  forget_peak "$pid"
  before=$(memory_kib "$pid" VmRSS)
  ticks=$(cpu_ticks "$pid")
  case $1 in
    answer) answer_of "$url" ;;
    upload) upload_to "$url" ;;
    readers) moved=$((readers * reader_mib)); readers_of "$url" ;;
  esac || {
    say "$1 by $3: not all of it came through"
    problems=1
  }
  awk -v OFS='\t' -v what="$1" -v round="$2" -v server="$3" -v moved="$moved" -v seconds="$seconds_taken" \
    -v ticks="$(($(cpu_ticks "$pid") - ticks))" -v hz="$(getconf CLK_TCK)" -v before="$before" \
    -v peak="$(memory_kib "$pid" VmHWM)" 'BEGIN {
      print what, round, server, sprintf("%.1f", seconds > 0 ? moved / seconds : 0), \
        sprintf("%.0f", ticks / hz * 1e6 / moved), (peak > before ? peak - before : 0), peak }' >>"$results"
}

# ---- The run --------------------------------------------------------------------

bytes=$((mib << 20))
truncate -s "$bytes" "$work/content"
describe "$rounds rounds; $mib MiB, $readers readers of $reader_mib MiB in $reader_seconds s, answers to $method;" \
  "servers on core $server_core, origin and load on core $load_core"
"${load[@]}" python3 tools/bench/streams.py origin >"$work/origin" 2>"$work/origin.err" &
origin_pid=$!
own "$origin_pid"
wait_for "$origin_pid" 20 grep -q . "$work/origin" || die "the origin did not start: $(tail -n 3 "$work/origin.err")"
origin_port=$(<"$work/origin")

declare -A pid_of port_of
for name in $servers; do
  mkdir "$work/$name"
  port_of[$name]=$(free_port)
  "start_$name" "${port_of[$name]}" "$work/$name"
  pid_of[$name]=$started_pid
  own "$started_pid"
  wait_for "$started_pid" 30 answers_200 "http://127.0.0.1:${port_of[$name]}/bytes/1" ||
    die "$name does not answer: $(tail -n 3 "$work/$name/log")"
done

read -ra order <<<"$servers"
for case in $cases; do
  for round in $(seq "$rounds"); do
    for name in "${order[@]}"; do turn "$case" "$round" "$name"; done
    order=("${order[@]:1}" "${order[0]}")
  done
done

awk -F '\t' -v cases="$cases" -v servers="$servers" "$awk_median"'
  function of(c, server, field,  i, values) {
    for (i = 1; i <= turns[c, server]; i++) values[i] = value[c, server, field, i]
    return median(values, turns[c, server])
  }
  NR > 1 {
    n = ++turns[$1, $3]
    for (field = 4; field <= 7; field++) value[$1, $3, field, n] = $field
  }
  END {
    case_count = split(cases, case_names, " ")
    server_count = split(servers, server_names, " ")
    printf "%-8s %-13s %18s %11s %18s %10s\n", "case", "server", "MiB/s [spread]", "us CPU/MiB", \
      "grown MiB [most]", "peak MiB"
    for (i = 1; i <= case_count; i++) {
      c = case_names[i]
      for (j = 1; j <= server_count; j++) {
        s = server_names[j]
        rate = of(c, s, 4); spread = sprintf("[%d-%d]", least, most)
        grown = of(c, s, 6) / 1024; grown_most = most / 1024
        of(c, s, 7); peak = most / 1024
        printf "%-8s %-13s %6d %11s %11d %9.1f %8s %10.1f\n", c, s, rate, spread, of(c, s, 5), grown, \
          sprintf("[%.1f]", grown_most), peak
      }
      for (j = 2; j <= server_count; j++) {
        if (server_names[1] != "holdfast" || c == "readers") continue
        for (k = 1; k <= turns[c, "holdfast"]; k++) {
          other = value[c, server_names[j], 4, k]
          ratio[k] = other > 0 ? value[c, "holdfast", 4, k] / other : 0
        }
        middle = median(ratio, turns[c, "holdfast"])
        printf "%-8s holdfast/%s: %.2f [%.2f-%.2f]\n", c, server_names[j], middle, least, most
      }
    }
  }' "$results"
[ "$problems" -eq 0 ]
