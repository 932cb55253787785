// What the program does by itself, as a file would say it. --print-example-config shows it too, a
// comment above each key.
#include "config/built_in_routing.h"

namespace holdfast::config {

std::string_view built_in_routing() {
  return R"([upstream.api]
# Without urls of its own: API_URL, with API_TOKEN.

[[route]]
# In metrics, in the log, and towards the admin socket.
name = "lookup"
# The paths it takes: {ip:ip} is one segment that is an IP address.
match = "/lookup/{ip:ip}"
# Who is asked: an [upstream.NAME].
upstream = "api"
# What for.
target = "/geoip/{ip}"
# Of the client's query nothing goes to the upstream or into the key.
query = "none"
# POST takes a JSON array of addresses here.
batch = "/lookup"
# A larger answer is not stored.
max_body = "1MiB"
# Set-Cookie is taken out of an answer, which is stored all the same.
set_cookie = "strip"
# A 404, and what else is about the request, reaches clients as a problem of ours.
client_errors = "problem"
# An answer is one JSON document,
validate.json = true
# with these members, of these types; ? is null as well.
validate.require = ["/ip:string", "/location:string?", "/postal_code:string?", "/network_name:string?", "/domain:string?", "/latitude:number?", "/longitude:number?"]
# It speaks of the address that was asked for.
validate.equal = { "/ip" = "ip" }
# Fields of the request to the upstream.
request_set = { "Accept" = "application/json" }
)";
}

std::string_view another_routing() {
  return R"([upstream.rates]
# Base URLs that stand in for each other.
urls = ["https://rates.example.net/v2", "https://rates.example.org/v2"]
# File with the token of this upstream, which is sent to no other.
#token_file = "/etc/holdfast/rates_token"
# How it is sent, instead of Authorization: Bearer; or token_query = "key".
#token_field = "X-Api-Key"
# The Host sent: the URL's; "client": the request's; or this text.
host = "upstream"
# A setting of upstreams, for this one.
upstream_concurrency = 4

[[route]]
name = "rates"
match = "/rates/{currency}"
# Optional: for this Host of the client's alone.
host = "rates.example.com"
# All but GET and HEAD are passed through, each sent once; "*" is all of them.
methods = ["GET", "HEAD", "POST"]
# The most that may be sent in one of those.
max_request_body = "1MiB"
upstream = "rates"
# The default is the path as it came.
target = "/latest/{currency}"
# "all" (the default), "none", { keep = ["a"] } or { ignore = ["utm_*"] }.
query = { keep = ["base"] }
# The order of parameters does not make another key.
sort_query = true
# Request fields that are part of the key and go upstream.
key_fields = ["Accept-Language"]
# What is no right answer is a failed attempt. Also equal, and min_body = "1KiB".
validate = { json = true, require = ["/rate:number"], reject_if = { "/status" = ["error"] }, content_type = "application/json" }
# "pass": an answer that stays wrong reaches the client as it came, unstored, where nothing stored
# stands in; "refuse": as an error of ours.
on_invalid = "refuse"
ttl_by_status = { "404" = "1m" }
max_body = "8MiB"
# "pass": an answer with Set-Cookie is passed on and not stored; "strip", "store".
set_cookie = "pass"
# "pass": a 4xx that is about the request reaches the client as it came; "problem": as one of ours.
client_errors = "pass"
# Most attempts for one fetch.
attempts = 5
# true: the upstream is never asked, and what is stored answers, however stale.
offline = false
request_set = { "Accept" = "application/json" }
request_remove = ["Referer"]
response_set = { "X-Content-Type-Options" = "nosniff" }
response_remove = ["Server"]
# Settings of freshness, for this route.
cache_ttl = "10m"
stale_if_error = "2d"
stale_while_revalidate = "1h"
)";
}

std::string_view http_routing() {
  return R"([upstream.site]
urls = ["https://www.example.net"]
host = "client"

[[route]]
name = "site"
match = "/site/{path:rest}"
methods = "*"
upstream = "site"
# The upstream and the client say what is stored, for how long, and for whom; all end-to-end fields
# go both ways. "resilient" is the default.
mode = "rfc9111"
# Fields of an answer that count in place of Cache-Control and Expires, the first that is there
# (RFC 9213).
targeted = ["CDN-Cache-Control"]
# Of one URL so many answers that its Vary tells apart.
max_variants = 64
# Fields that are compared as what the client prefers, and not letter by letter.
vary_normalise = ["accept-language", "accept-encoding"]
# "lenient": where a Content-Range does not fit its content, its first position and the length do.
ranges = "strict"
# "lenient": an answer in a transfer coding that is not known is read up to the connection's end.
transfer_coding = "strict"
# An answer with Set-Cookie is passed on and not stored; "strip", "store".
set_cookie = "pass"
# In place of an error, where nothing the upstream said forbids it.
stale_if_error = "2d"
)";
}

}  // namespace holdfast::config
