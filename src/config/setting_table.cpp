#include "config/setting_table.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/masked_url.h"
#include "config/values.h"

namespace holdfast::config {
namespace {

using base::invalid_input;
using namespace std::chrono_literals;

constexpr std::uint64_t kMiB = 1 << 20;

// Where in the settings a value is.
template <typename Type>
using Place = Type Settings::*;

// Stores a parsed value, or passes on why there is none.
template <typename Parsed, typename Member>
base::Result<void> assign(Settings& settings, Place<Member> member, base::Result<Parsed>&& parsed) {
  if (!parsed) return tl::unexpected(std::move(parsed.error()));
  settings.*member = static_cast<Member>(*std::move(parsed));
  return {};
}

// What a reload takes over, or leaves as it is.
template <typename Member>
auto copies(Place<Member> member) {
  return [member](Settings& to, const Settings& from) { to.*member = from.*member; };
}

Value duration(Place<base::Duration> member, base::Duration least,
               base::Duration most = kLongestDuration) {
  return {.type = "DURATION",
          .set = [=](Settings& settings, std::string_view text) -> base::Result<void> {
            auto parsed = parse_duration(text);
            if (parsed && *parsed < least)
              return invalid_input("expected at least " + format_duration(least));
            if (parsed && *parsed > most)
              return invalid_input("expected at most " + format_duration(most));
            return assign(settings, member, std::move(parsed));
          },
          .text = [=](const Settings& settings) { return format_duration(settings.*member); },
          .copy = copies(member)};
}

Value signed_duration(Place<base::Duration> member) {
  return {.type = "DURATION",
          .set =
              [=](Settings& settings, std::string_view text) {
                return assign(settings, member, parse_signed_duration(text));
              },
          .text = [=](const Settings& settings) { return format_duration(settings.*member); },
          .copy = copies(member)};
}

Value size(Place<std::uint64_t> member, std::uint64_t least) {
  return {.type = "SIZE",
          .set = [=](Settings& settings, std::string_view text) -> base::Result<void> {
            auto parsed = parse_size(text);
            if (parsed && *parsed < least)
              return invalid_input("expected at least " + format_size(least));
            return assign(settings, member, std::move(parsed));
          },
          .text = [=](const Settings& settings) { return format_size(settings.*member); },
          .copy = copies(member)};
}

template <typename Integer>
Value count(Place<Integer> member, std::uint64_t least, std::uint64_t most) {
  return {.type = "NUMBER",
          .set =
              [=](Settings& settings, std::string_view text) {
                return assign(settings, member, parse_count(text, least, most));
              },
          .text = [=](const Settings& settings) { return std::to_string(settings.*member); },
          .copy = copies(member),
          .plain = true};
}

// "off" for none.
Value count_or_off(Place<unsigned> member, std::uint64_t most) {
  return {.type = "NUMBER",
          .set =
              [=](Settings& settings, std::string_view text) {
                return assign(settings, member,
                              parse_count(same_word(text, "off") ? "0" : text, 0, most));
              },
          .text =
              [=](const Settings& settings) {
                return settings.*member == 0 ? std::string("off")
                                             : std::to_string(settings.*member);
              },
          .copy = copies(member)};
}

Value on_off(Place<bool> member) {
  return {
      .type = "on|off",
      .set = [=](Settings& settings,
                 std::string_view text) { return assign(settings, member, parse_switch(text)); },
      .text =
          [=](const Settings& settings) {
            return std::string(settings.*member ? "true" : "false");
          },
      .copy = copies(member),
      .plain = true,
      .is_switch = true};
}

// A file's name; "off" for none, where the setting can be switched off.
Value path(Place<std::string> member, bool can_be_off, std::size_t longest) {
  return {
      .type = "PATH",
      .set = [=](Settings& settings, std::string_view text) -> base::Result<void> {
        if (text.find('\0') != std::string_view::npos)
          return invalid_input("expected a path without NUL");
        if (text.size() > longest) {
          return invalid_input("expected a path of at most " + std::to_string(longest) + " bytes");
        }
        settings.*member = can_be_off && same_word(text, "off") ? std::string() : std::string(text);
        return {};
      },
      .text =
          [=](const Settings& settings) {
            const std::string& value = settings.*member;
            return can_be_off && value.empty() ? std::string("off") : value;
          },
      .copy = copies(member)};
}

// The store's. To SQLite some names mean something else than a file of that name: what would
// be kept there ends with the connection, or is where nobody looks for it.
Value store_file(Place<std::string> member, std::size_t longest) {
  Value value = path(member, true, longest);
  value.set = [set = value.set](Settings& settings, std::string_view text) -> base::Result<void> {
    if (text.starts_with(':')) {
      return invalid_input("expected a file's path; off keeps responses in memory alone");
    }
    if (same_word(text.substr(0, 5), "file:")) {
      return invalid_input("expected a file's path, not a URI");
    }
    return set(settings, text);
  };
  return value;
}

// A list whose parts `parse` puts into canonical form; none twice.
Value list(std::string_view type, Place<std::vector<std::string>> member,
           base::Result<std::string> (*parse)(std::string_view)) {
  return {.type = type,
          .set = [=](Settings& settings, std::string_view text) -> base::Result<void> {
            auto parts = split_list(text);
            if (!parts) return tl::unexpected(std::move(parts.error()));
            std::vector<std::string> values;
            for (const std::string& part : *parts) {
              auto value = parse(part);
              if (!value) return tl::unexpected(std::move(value.error()));
              if (std::find(values.begin(), values.end(), *value) != values.end()) {
                // A URL's path may be a key.
                const std::string shown =
                    parse == parse_base_url ? base::masked_url(*value) : *value;
                return invalid_input("expected each once; " + shown + " is there twice");
              }
              values.push_back(*std::move(value));
            }
            settings.*member = std::move(values);
            return {};
          },
          .text =
              [=](const Settings& settings) {
                std::string out;
                for (const std::string& value : settings.*member) {
                  if (!out.empty()) out += ",";
                  out += value;
                }
                return out;
              },
          .copy = copies(member),
          .list = true};
}

// Where to listen. That one includes another would else come out as a port in use.
Value listen_addresses(Place<std::vector<std::string>> member) {
  Value value = list("IP,...", member, parse_address);
  value.set = [member, set = value.set](Settings& settings,
                                        std::string_view text) -> base::Result<void> {
    if (auto done = set(settings, text); !done) return done;
    for (const std::string& address : settings.*member) {
      if (address.starts_with("::ffff:") && address.find('.') != std::string::npos) {
        return invalid_input("expected the IPv4 address itself in place of " + address);
      }
    }
    const std::string overlap = overlap_of(settings.*member);
    if (!overlap.empty()) return invalid_input("expected each once; " + overlap);
    return {};
  };
  return value;
}

// One of a few words.
template <typename Enum, std::size_t N>
Value word(std::string_view type, Place<Enum> member,
           std::array<std::pair<std::string_view, Enum>, N> words) {
  return {.type = type,
          .set = [=](Settings& settings, std::string_view text) -> base::Result<void> {
            std::string all;
            for (const auto& [name, value] : words) {
              if (same_word(name, text)) {
                settings.*member = value;
                return {};
              }
              all += all.empty() ? "" : ", ";
              all += name;
            }
            return invalid_input("expected one of " + all);
          },
          .text =
              [=](const Settings& settings) {
                for (const auto& [name, value] : words) {
                  if (value == settings.*member) return std::string(name);
                }
                return std::string();
              },
          .copy = copies(member)};
}

// What is asked of the upstream on our own account; "off" for nothing.
Value target(Place<std::string> member) {
  return {.type = "PATH",
          .set = [=](Settings& settings, std::string_view text) -> base::Result<void> {
            const bool visible =
                std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
            const bool path =
                text.substr(0, 1) == "/" && visible && text.find('#') == std::string_view::npos;
            if (!same_word(text, "off") && !path)
              return invalid_input("expected a path that begins with a slash, or off");
            settings.*member = path ? std::string(text) : std::string();
            return {};
          },
          .text =
              [=](const Settings& settings) {
                const std::string& value = settings.*member;
                return value.empty() ? std::string("off") : value;
              },
          .copy = copies(member)};
}

Value hedge(Place<Hedge> member) {
  return {.type = "DELAY",
          .set = [=](Settings& settings,
                     std::string_view text) { return assign(settings, member, parse_hedge(text)); },
          .text = [=](const Settings& settings) { return format_hedge(settings.*member); },
          .copy = copies(member)};
}

Value token(Place<std::string> member) {
  return {.type = "TOKEN",
          .set = [=](Settings& settings,
                     std::string_view text) { return assign(settings, member, parse_token(text)); },
          .text = [=](const Settings& settings) { return settings.*member; },
          .copy = copies(member)};
}

constexpr std::array kLevels = {std::pair{std::string_view("debug"), LogLevel::Debug},
                                std::pair{std::string_view("info"), LogLevel::Info},
                                std::pair{std::string_view("warn"), LogLevel::Warn},
                                std::pair{std::string_view("error"), LogLevel::Error}};
constexpr std::array kFormats = {std::pair{std::string_view("json"), LogFormat::Json},
                                 std::pair{std::string_view("text"), LogFormat::Text}};

constexpr std::array kAutoOrOff = {std::pair{std::string_view("auto"), true},
                                   std::pair{std::string_view("off"), false}};
constexpr std::array kSchedulings = {std::pair{std::string_view("normal"), Scheduling::Normal},
                                     std::pair{std::string_view("realtime"), Scheduling::Realtime}};

constexpr std::size_t kLongestPath = 4095;
// sockaddr_un has room for 108 bytes, one of them the end.
constexpr std::size_t kLongestSocketPath = 107;

constexpr Initial worked_out(std::string_view note, std::string_view example) {
  return {{}, note, example};
}

std::vector<Setting> make_table() {
  using S = Settings;
  constexpr auto kSecret = Secrecy::Secret;
  constexpr auto kOpen = Secrecy::Open;
  return {
      {"api_url",
       "Upstream",
       {"http://localhost:8000"},
       Reload::Now,
       Secrecy::InUrl,
       "Base URL of the upstream; several, separated by commas, stand in for each other. What may "
       "be a key in its path is not shown.",
       list("URL,...", &S::api_urls, parse_base_url)},
      {"api_token", "Upstream", worked_out("none", "secret"), Reload::Now, kSecret,
       "Bearer token for the upstream. Better in a file: others can see a flag.",
       token(&S::api_token)},
      {"api_token_file", "Upstream",
       worked_out("$CREDENTIALS_DIRECTORY/api_token if that exists", "/etc/holdfast/api_token"),
       Reload::Now, kOpen,
       "File that holds the bearer token; a new one in it is used within seconds.",
       path(&S::api_token_file, false, kLongestPath)},

      {"api_ca_file", "Upstream", worked_out("the machine's authorities", "/etc/holdfast/ca.pem"),
       Reload::Now, kOpen,
       "File with the authorities (PEM) that sign the upstream's certificate; read again when it "
       "changes.",
       path(&S::api_ca_file, false, kLongestPath)},
      {"api_client_cert_file", "Upstream", worked_out("none", "/etc/holdfast/client.pem"),
       Reload::Now, kOpen,
       "File with our own certificate (PEM, its chain after it) for upstreams that ask for one; "
       "read "
       "again when it changes.",
       path(&S::api_client_cert_file, false, kLongestPath)},
      {"api_client_key_file", "Upstream",
       worked_out("API_CLIENT_CERT_FILE", "/etc/holdfast/client.key"), Reload::Now, kOpen,
       "File with its key (PEM, without a passphrase).",
       path(&S::api_client_key_file, false, kLongestPath)},

      {"port",
       "Serving",
       {"3000"},
       Reload::Restart,
       kOpen,
       "Port where clients connect; 0 lets the kernel pick one.",
       count(&S::port, 0, 65535)},
      {"bind",
       "Serving",
       {"127.0.0.1,::1"},
       Reload::Restart,
       kOpen,
       "Addresses where clients connect; 0.0.0.0 is all of IPv4, and :: all of IPv6, with all of "
       "IPv4 where the list names no address of that.",
       listen_addresses(&S::bind)},
      {"workers", "Serving", worked_out("one per core that it may use", "4"), Reload::Restart,
       kOpen, "Serving loops, each a thread.", count(&S::workers, 1, 1024)},
      {"worker_scheduling",
       "Serving",
       {"normal"},
       Reload::Restart,
       kOpen,
       "realtime: serving loops go before everything else on their core, fetching and storing "
       "included; needs RLIMIT_RTPRIO.",
       word("normal|realtime", &S::worker_scheduling, kSchedulings)},
      {"request_deadline",
       "Serving",
       {"10s"},
       Reload::Now,
       kOpen,
       "Longest a client waits for an answer.",
       duration(&S::request_deadline, 10ms, 1h)},

      {"max_connections",
       "Limits",
       {"10000"},
       Reload::Now,
       kOpen,
       "Client connections at a time, of all workers together; beyond it the longest idle one "
       "goes.",
       count(&S::max_connections, 1, 1'000'000)},
      {"max_waiting",
       "Limits",
       {"20000"},
       Reload::Now,
       kOpen,
       "Requests that wait for the upstream at a time, for at most 4096 keys; further ones get "
       "503, "
       "or what is stored.",
       count(&S::max_waiting, 1, 1'000'000)},
      {"connection_max_requests",
       "Limits",
       {"0"},
       Reload::Now,
       kOpen,
       "Requests on one connection before it is closed; 0 for no limit.",
       count(&S::connection_max_requests, 0, 4'000'000'000)},
      {"client_max_connections",
       "Limits",
       {"0"},
       Reload::Now,
       kOpen,
       "Connections of one client, an IPv4 address or IPv6 /64, at a time; 0 for no limit.",
       count(&S::client_max_connections, 0, 1'000'000)},
      {"client_rate",
       "Limits",
       {"0"},
       Reload::Now,
       kOpen,
       "Requests per second of one client, above which it gets 429; 0 for no limit.",
       count(&S::client_rate, 0, 1'000'000)},
      {"client_burst",
       "Limits",
       {"100"},
       Reload::Now,
       kOpen,
       "Requests of one client that CLIENT_RATE lets through at once.",
       count(&S::client_burst, 1, 1'000'000)},
      {"idle_timeout",
       "Limits",
       {"75s"},
       Reload::Now,
       kOpen,
       "Longest a connection stays open without a request.",
       duration(&S::idle_timeout, 100ms, 24h)},
      {"head_timeout",
       "Limits",
       {"10s"},
       Reload::Now,
       kOpen,
       "Longest a request's head takes from its first byte.",
       duration(&S::head_timeout, 100ms, 1h)},
      {"body_timeout",
       "Limits",
       {"10s"},
       Reload::Now,
       kOpen,
       "Longest a request's content takes after its head.",
       duration(&S::body_timeout, 100ms, 1h)},
      {"write_timeout",
       "Limits",
       {"20s"},
       Reload::Now,
       kOpen,
       "Longest a client takes none of the bytes of its answer.",
       duration(&S::write_timeout, 100ms, 1h)},

      {"cache_ttl",
       "Freshness",
       {"24h"},
       Reload::Now,
       kOpen,
       "Freshness lifetime where the upstream states none.",
       duration(&S::cache_ttl, 0s)},
      {"cache_ttl_override",
       "Freshness",
       {"off"},
       Reload::Now,
       kOpen,
       "Use CACHE_TTL whatever the upstream states.",
       on_off(&S::cache_ttl_override)},
      {"negative_ttl",
       "Freshness",
       {"5m"},
       Reload::Now,
       kOpen,
       "Freshness lifetime of an upstream's 404 or 410 where it states none.",
       duration(&S::negative_ttl, 0s)},
      {"stale_while_revalidate",
       "Freshness",
       {"7d"},
       Reload::Now,
       kOpen,
       "How long past its freshness lifetime a stored response is served at once, "
       "while it is refreshed behind.",
       duration(&S::stale_while_revalidate, 0s)},
      {"stale_if_error",
       "Freshness",
       {"30d"},
       Reload::Now,
       kOpen,
       "How long past its freshness lifetime a stored response is served when the upstream fails.",
       duration(&S::stale_if_error, 0s)},

      {"attempt_timeout", "Attempts", worked_out("9/10 of REQUEST_DEADLINE", "9s"), Reload::Now,
       kOpen,
       "Longest one attempt at the upstream lasts. A slow one is raced by another long before.",
       duration(&S::attempt_timeout, 1ms, 1h)},
      {"retry_base",
       "Attempts",
       {"25ms"},
       Reload::Now,
       kOpen,
       "First backoff before a retry; it doubles from there, with full jitter.",
       duration(&S::retry_base, 1ms, 1h)},
      {"retry_cap",
       "Attempts",
       {"1s"},
       Reload::Now,
       kOpen,
       "Longest backoff before a retry.",
       duration(&S::retry_cap, 1ms, 1h)},
      {"hedge",
       "Attempts",
       {"p95"},
       Reload::Now,
       kOpen,
       "Start a second attempt after this long, for one in twenty at most: a duration, or a "
       "percentile of recent answers. off: never a second one beside the first, however long that "
       "takes.",
       hedge(&S::hedge)},
      {"retry_budget",
       "Attempts",
       {"1000"},
       Reload::Now,
       kOpen,
       "Retries, hedges and races allowed per 100 requests to the upstream, besides ten a second.",
       count(&S::retry_budget_percent, 0, 100'000)},
      {"upstream_concurrency",
       "Attempts",
       {"64"},
       Reload::Now,
       kOpen,
       "Most attempts in flight.",
       count(&S::upstream_concurrency, 1, 10000)},
      {"upstream_spare",
       "Attempts",
       {"1"},
       Reload::Now,
       kOpen,
       "Connections to each upstream that stand ready, so that a miss after a pause costs one "
       "round "
       "trip; each is made with a HEAD request of the base path, without the token. off for an "
       "upstream that counts those.",
       count_or_off(&S::upstream_spare, 16)},
      {"upstream_http2",
       "Attempts",
       {"off"},
       Reload::Now,
       kOpen,
       "auto: HTTP/2 with https upstreams that offer it.",
       word("auto|off", &S::upstream_http2, kAutoOrOff)},
      {"probe_path",
       "Attempts",
       {"off"},
       Reload::Now,
       kOpen,
       "Path below API_URL to ask for while there is no other traffic, so that an outage is known "
       "before a client meets it; any 2xx will do. off for none.",
       target(&S::probe_path)},
      {"probe_interval",
       "Attempts",
       {"30s"},
       Reload::Now,
       kOpen,
       "How long without other traffic until PROBE_PATH is asked for.",
       duration(&S::probe_interval, 100ms, 1h)},

      {"memory_limit",
       "Storage",
       {"64MiB"},
       Reload::Now,
       kOpen,
       "Memory for stored responses. Where nobody sets it, it is at most a quarter of what the "
       "control "
       "group has (a container's limit).",
       size(&S::memory_limit_bytes, kMiB)},
      {"store_path", "Storage",
       worked_out("$STATE_DIRECTORY/holdfast.db, else ./holdfast.db",
                  "/var/lib/holdfast/holdfast.db"),
       Reload::Restart, kOpen, "SQLite file that keeps stored responses; off for memory alone.",
       store_file(&S::store_path, kLongestPath)},
      {"store_limit",
       "Storage",
       {"2GiB"},
       Reload::Restart,
       kOpen,
       "Size of the store at which the least recently used responses go.",
       size(&S::store_limit_bytes, kMiB)},

      {"log_level",
       "Operation",
       {"info"},
       Reload::Now,
       kOpen,
       "Least severe events to log: debug, info, warn or error.",
       word("LEVEL", &S::log_level, kLevels)},
      {"log_format",
       "Operation",
       {"json"},
       Reload::Now,
       kOpen,
       "json, an object a line, or text for people.",
       word("FORMAT", &S::log_format, kFormats)},
      {"admin_socket", "Operation",
       worked_out("$RUNTIME_DIRECTORY/admin.sock if that is set, else off",
                  "/run/holdfast/admin.sock"),
       Reload::Restart, kOpen, "Unix socket for `holdfast admin`, mode 0600; off for none.",
       path(&S::admin_socket, true, kLongestSocketPath)},
      {"clock_offset",
       "Operation",
       {"0s"},
       Reload::Restart,
       kOpen,
       "Shifts the wall clock, to rehearse what would be answered later: 25h.",
       signed_duration(&S::clock_offset)},
  };
}

std::string replaced(std::string_view text, char from, char to) {
  std::string out(text);
  std::replace(out.begin(), out.end(), from, to);
  return out;
}

// Somebody forgot the scheme of "127.0.0.1:8111". Anything else without one may be a key.
bool lacks_scheme_alone(std::string_view text) {
  const std::string_view authority = text.substr(0, text.find_first_of("/?#"));
  const std::size_t colon = std::min(authority.rfind(':'), authority.size());
  const std::string_view host = authority.substr(0, colon);
  const std::string_view port = authority.substr(std::min(colon + 1, authority.size()));
  constexpr std::string_view kDigits = "0123456789";
  constexpr std::size_t kLongestPort = 5;
  const bool is_port =
      !port.empty() && port.size() <= kLongestPort && port.find_first_not_of(kDigits) == port.npos;
  const bool v4 = host.size() <= 15 && host.find_first_not_of("0123456789.") == host.npos;
  return is_port && !host.empty() && (v4 || base::masked_url(host) == host);
}

std::string shown_url(std::string_view text) {
  constexpr std::string_view kScheme = "http://";
  if (!lacks_scheme_alone(text)) return base::masked_url(text);
  return base::masked_url(std::string(kScheme).append(text)).substr(kScheme.size());
}

}  // namespace

std::string Setting::shown(std::string_view text) const {
  if (secrecy == Secrecy::Open) return std::string(text);
  if (secrecy == Secrecy::Secret) return text.empty() ? "" : "(secret)";
  std::string shown;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (begin > 0) shown += ',';
    shown += shown_url(trimmed(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return shown;
}

Scope Setting::scope() const {
  if (group == "Freshness") return Scope::Route;
  // A section has these under names of its own: they are no defaults for another host.
  if (key == "api_url" || key == "api_token" || key == "api_token_file") return Scope::Program;
  return group == "Upstream" || group == "Attempts" ? Scope::Upstream : Scope::Program;
}

std::string Setting::flag() const {
  return "--" + replaced(key, '_', '-');
}

std::string Setting::environment_variable() const {
  std::string out(key);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

const std::vector<Setting>& setting_table() {
  static const std::vector<Setting> table = make_table();
  return table;
}

const Setting* find_setting(std::string_view key) {
  const std::string wanted = replaced(key, '-', '_');
  const auto& table = setting_table();
  const auto found = std::find_if(table.begin(), table.end(),
                                  [&](const Setting& setting) { return setting.key == wanted; });
  return found == table.end() ? nullptr : &*found;
}

}  // namespace holdfast::config
