# shellcheck shell=bash
# The caches that hits.sh and misses.sh put beside Holdfast, from Debian's packages, each tuned as a
# cache in front of the upstream at $upstream_port. Sourced, behind lib.sh.
# start_NAME_at PORT WORKERS DIR ...: sets started_pid; $pin runs it on its core.
# shellcheck disable=SC2034,SC2154

# start_nginx_at PORT WORKERS DIR ACCESS_LOG OPEN_FILES: the log's file, or off. Its cache of open
# files saves it two system calls a hit; but it keeps each of them open, and once the limit of
# descriptors is reached it answers nothing but errors. 0: without.
start_nginx_at() {
  local open_files=off
  if [ "$5" -gt 0 ]; then open_files="max=$5 inactive=1h"; fi
  cat >"$3/nginx.conf" <<EOF
daemon off;
$([ "$(id -u)" -ne 0 ] || echo 'user root;')
worker_processes $2;
worker_rlimit_nofile $(ulimit -n);
pid $3/pid;
error_log stderr crit;
events { worker_connections 8192; multi_accept on; }
http {
  access_log $4;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  open_file_cache $open_files;
  open_file_cache_valid 1h;
  client_body_temp_path $3/t1; proxy_temp_path $3/t2; fastcgi_temp_path $3/t3;
  uwsgi_temp_path $3/t4; scgi_temp_path $3/t5;
  proxy_cache_path $3/cache levels=1:2 keys_zone=answers:256m max_size=20g inactive=24h
                   use_temp_path=off;
  upstream origin { server 127.0.0.1:$upstream_port; keepalive 64; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:$1 reuseport backlog=4096;
    location /lookup/ {
      proxy_pass http://origin/geoip/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer bench";
      proxy_cache answers;
      proxy_cache_key \$uri;
      proxy_cache_valid 200 24h;
      proxy_cache_lock on;
    }
  }
}
EOF
  "${pin[@]}" nginx -e stderr -p "$3" -c "$3/nginx.conf" >>"$3/log" 2>&1 &
  started_pid=$!
}

# start_haproxy_at PORT THREADS DIR KEYS: it takes all its cache's memory at start; some 2.5 KB for
# a key is ample.
start_haproxy_at() {
  cat >"$3/haproxy.cfg" <<EOF
global
  nbthread $2
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 30s
  timeout http-keep-alive 300s
cache answers
  total-max-size $((32 + $4 / 400))
  max-object-size 4096
  max-age 86400
frontend clients
  bind 127.0.0.1:$1 backlog 4096 shards by-thread
  http-request cache-use answers
  http-response set-header Cache-Control max-age=86400
  http-response cache-store answers
  default_backend origin
backend origin
  http-request replace-path /lookup/(.*) /geoip/\\1
  http-request set-header Authorization "Bearer bench"
  http-response set-header Cache-Control max-age=86400
  http-reuse always
  server origin 127.0.0.1:$upstream_port
EOF
  "${pin[@]}" haproxy -db -f "$3/haproxy.cfg" >>"$3/log" 2>&1 &
  started_pid=$!
}

# start_varnish_at PORT POOLS DIR STORAGE
start_varnish_at() {
  cat >"$3/holdfast.vcl" <<EOF
vcl 4.1;
backend origin { .host = "127.0.0.1"; .port = "$upstream_port"; }
sub vcl_backend_fetch {
  set bereq.url = regsub(bereq.url, "^/lookup/", "/geoip/");
  set bereq.http.Authorization = "Bearer bench";
}
sub vcl_backend_response { set beresp.ttl = 24h; }
EOF
  "${pin[@]}" varnishd -F -j none -n "$3/work" -a "127.0.0.1:$1" -f "$3/holdfast.vcl" -T none \
    -s "$4" -p "thread_pools=$2" -p listen_depth=4096 >>"$3/log" 2>&1 &
  started_pid=$!
}
