// Attempt: begun -> running in its pool -> ended (its reply is made, and posted) -> delivered
//
// An attempt leaves its pool as it ends, and its callback is posted, so that this may
// start, cancel or destroy attempts as it likes. A pool lives as long as it is in
// `pools_` or an attempt has gone through it: one that is distrusted leaves `pools_` and
// dies with its last attempt. Pools are never destroyed inside one of their own calls.
#include "upstream/curl_transport.h"

#include <arpa/inet.h>
#include <curl/curl.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string_view>

#include "base/masked_url.h"
#include "upstream/curl_attempt.h"
#include "upstream/curl_pool.h"
#include "upstream/outgoing.h"
#include "upstream/stream_attempt.h"
#include "upstream/trust_store.h"

namespace holdfast::upstream {
namespace {

constexpr std::chrono::seconds kIdlePoolsInterval{10};

bool valid_target(std::string_view target) {
  return !target.empty() && target.front() == '/' && printable(target) &&
         target.find(' ') == std::string_view::npos;
}

// What libcurl takes for an address: anything else it would look up.
bool is_address(const std::string& text) {
  in6_addr parsed;
  return ::inet_pton(AF_INET, text.c_str(), &parsed) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), &parsed) == 1;
}

std::string part_of(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return {};
  std::string copy = text;
  curl_free(text);
  return copy;
}

// The files to read. libcurl knows where the distribution keeps its bundle.
TrustStore::Settings trust_settings(const CurlTransport::Settings& settings) {
  TrustStore::Settings trust{.ca_file = settings.ca_file,
                             .client_cert_file = settings.client_cert_file,
                             .client_key_file = settings.client_key_file,
                             .check_interval = settings.trust_check_interval};
  if (!trust.ca_file.empty()) return trust;
  const char* const file = std::getenv("SSL_CERT_FILE");
  const char* const folder = std::getenv("SSL_CERT_DIR");
  if (file != nullptr) trust.ca_file = file;
  if (folder != nullptr) trust.ca_dir = folder;
  if (!trust.ca_file.empty() || !trust.ca_dir.empty()) return trust;
  const std::unique_ptr<CURL, EasyDeleter> easy(curl_easy_init());
  const char* machines = nullptr;
  if (easy) curl_easy_getinfo(easy.get(), CURLINFO_CAINFO, &machines);
  trust.ca_file = machines != nullptr ? machines : "/etc/ssl/certs/ca-certificates.crt";
  return trust;
}

void replace_all(std::string& text, std::string_view what, std::string_view by) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
    text.replace(at, what.size(), by);
    at += by.size();
  }
}

std::string unescaped(std::string_view text) {
  const auto digit = [&text](std::size_t at) {
    const char c = at < text.size() ? text[at] : ' ';
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && digit(i + 1) >= 0 && digit(i + 2) >= 0;
    out += escape ? static_cast<char>(digit(i + 1) * 16 + digit(i + 2)) : text[i];
    i += escape ? 2 : 0;
  }
  return out;
}

// What may be a key in a URL's path, as masked_url() has it.
std::vector<std::string> keys_in(std::string_view url) {
  const std::string_view scheme = "http://";
  std::vector<std::string> keys;
  const std::size_t authority = url.find("://");
  std::size_t at = url.find('/', authority == url.npos ? 0 : authority + 3);
  while (at != url.npos) {
    const std::size_t end = std::min(url.find('/', at + 1), url.size());
    const std::string segment(url.substr(at + 1, end - at - 1));
    const std::string plain = std::string(scheme) + "host/" + segment;
    if (!segment.empty() && base::masked_url(plain) != plain) keys.push_back(segment);
    at = end == url.size() ? url.npos : end;
  }
  return keys;
}

}  // namespace

void set_up_libcurl() {
  static std::once_flag once;
  std::call_once(once, [] {
    ::unsetenv("SSLKEYLOGFILE");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
      throw std::runtime_error("libcurl cannot be set up");
    }
  });
}

std::string problem_of_files(const CurlTransport::Settings& settings) {
  set_up_libcurl();
  return TrustStore::problem_of(trust_settings(settings));
}

CurlTransport::CurlTransport(base::EventLoop& loop, Settings settings, std::string token)
    : loop_(loop), settings_(std::move(settings)) {
  set_up_libcurl();
  if (!set_token(std::move(token))) throw std::runtime_error("the token holds a control character");
  for (std::string url : settings_.base_urls) {
    while (url.ends_with('/')) url.pop_back();
    const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
    if (!parsed || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) {
      throw std::runtime_error("not a URL: " + url);
    }
    std::string host = part_of(parsed.get(), CURLUPART_HOST);
    if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
    const bool tls = part_of(parsed.get(), CURLUPART_SCHEME) == "https";
    const bool has_address = is_address(host);
    std::vector<std::string> keys = keys_in(url);
    origins_.push_back({.url = std::move(url),
                        .keys = std::move(keys),
                        .host = std::move(host),
                        .tls = tls,
                        .has_address = has_address});
  }
  knocks_ = new_pool();
  const bool any_tls = std::any_of(origins_.begin(), origins_.end(),
                                   [](const Origin& origin) { return origin.tls; });
  if (!any_tls) return;
  const char* const library = curl_version_info(CURLVERSION_NOW)->ssl_version;
  if (library == nullptr || std::string_view(library).find("OpenSSL") == std::string_view::npos) {
    throw std::runtime_error("libcurl was not built with OpenSSL");
  }
  trust_store_ = std::make_unique<TrustStore>(
      trust_settings(settings_), [this, alive = std::weak_ptr(alive_)](auto trust) {
        loop_.post([this, alive, trust = std::move(trust)]() mutable {
          if (!alive.expired()) adopt(std::move(trust));
        });
      });
}

CurlTransport::~CurlTransport() {
  trust_store_.reset();
  attempts_.clear();
}

std::string CurlTransport::trust_problem() const {
  return trust_store_ ? trust_store_->problem() : std::string();
}

void CurlTransport::adopt(std::shared_ptr<const Trust> trust) {
  trust_ = std::move(trust);
  // What was set up under the old ones may not be what the new ones allow.
  std::erase_if(pools_, [this](const auto& entry) { return origins_[entry.first.first].tls; });
  knocks_ = new_pool();
  for (Origin& origin : origins_) {
    if (origin.spares) origin.spares->renewed();
  }
  renew_tls();
  if (spare_timer_.pending()) look_at_spares();
  for (const AttemptId id : std::exchange(waiting_, {})) {
    const auto found = attempts_.find(id);
    if (found == attempts_.end() || found->second->ended()) continue;
    found->second->timer().cancel();
    run(*found->second);
  }
}

void CurlTransport::renew_tls() {
  auto state = std::make_shared<TlsState>();
  state->trust = trust_;
  state->sessions.reset(curl_share_init());
  curl_share_setopt(state->sessions.get(), CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
  tls_ = std::move(state);
}

bool CurlTransport::set_token(std::string token) {
  if (!printable(token)) return false;
  token_ = std::move(token);
  return true;
}

void CurlTransport::raise_body_limit(std::size_t bytes) {
  settings_.body_limit_bytes = std::max(settings_.body_limit_bytes, bytes);
}

bool CurlTransport::wind_down() {
  return !trust_store_ || trust_store_->wind_down();
}

Transport::AttemptId CurlTransport::start(const Sending& sending, const Request& request,
                                          Callback callback) {
  ++in_flight_;
  Sending shown = sending;
  if (sending.on_interim) {
    shown.on_interim = [this, origin = sending.origin, tell = sending.on_interim](
                           int status, const Fields& fields) {
      Fields hidden = fields;
      hide_credentials(origin, hidden);
      tell(status, hidden);
    };
  }
  return begin(std::make_unique<Attempt>(++last_id_, loop_, settings_, Attempt::Kind::Request,
                                         shown, std::move(callback)),
               request);
}

Transport::AttemptId CurlTransport::stream(const Sending& sending, const StreamRequest& request,
                                           StreamPeer& peer, Callback callback) {
  const AttemptId id = ++last_id_;
  StreamAttempt::Told told{
      [this, origin = sending.origin](Fields& fields) { hide_credentials(origin, fields); },
      [this, id] { stalled(id); }, [this, id] { go_on(id); },
      [this, id](bool answered) { over(id, answered); }};
  return begin(std::make_unique<StreamAttempt>(id, loop_, settings_, sending, request, peer,
                                               std::move(callback), std::move(told)),
               request.request);
}

void CurlTransport::stalled(AttemptId id) {
  auto& attempt = static_cast<StreamAttempt&>(*attempts_.at(id));
  attempt.stall();
  finished(attempt);
}

void CurlTransport::over(AttemptId id, bool answered) {
  Attempt& attempt = *attempts_.at(id);
  // Its connection goes with it: it is in the middle of a request.
  attempt.end(answered ? CURLE_OK : CURLE_GOT_NOTHING);
  finished(attempt);
}

void CurlTransport::go_on(AttemptId id) {
  const auto found = attempts_.find(id);
  if (found == attempts_.end() || found->second->kind() != Attempt::Kind::Stream) return;
  auto& attempt = static_cast<StreamAttempt&>(*found->second);
  const CURLcode code = attempt.go_on();
  if (code == CURLE_OK) return;
  attempt.end(code);
  finished(attempt);
}

void CurlTransport::knock(std::size_t origin, const std::string& address, base::Duration timeout,
                          Callback callback) {
  const Sending sending{.origin = origin, .address = address, .timeout = timeout};
  begin(std::make_unique<Attempt>(++last_id_, loop_, settings_, Attempt::Kind::Knock, sending,
                                  std::move(callback)),
        {"/", {}});
}

Transport::AttemptId CurlTransport::begin(std::unique_ptr<Attempt> made, const Request& request) {
  const AttemptId id = made->id();
  Attempt& attempt = *attempts_.emplace(id, std::move(made)).first->second;
  const Sending& sending = attempt.sending();
  if (sending.origin >= origins_.size() || !valid_target(request.target)) {
    fail_later(id, Outcome::Connect, "not a valid request target");
    return id;
  }
  const Origin& origin = origins_[sending.origin];
  if (sending.address.empty() && !origin.has_address) {
    fail_later(id, Outcome::Dns, "no address is known of the host's name");
    return id;
  }
  if (!sending.address.empty() && !is_address(sending.address)) {
    fail_later(id, Outcome::Dns, "not an address: " + sending.address);
    return id;
  }
  const bool asked =
      attempt.kind() == Attempt::Kind::Request || attempt.kind() == Attempt::Kind::Stream;
  if (asked && !token_.empty()) {
    const Request with_token = with_credential(request, settings_.credential, token_);
    attempt.ask(origin.url + with_token.target, with_token);
    attempt.set_with_token();
  } else {
    attempt.ask(origin.url + request.target, request);
  }
  if (origin.tls && !trust_) {
    wait_for_trust(attempt);
  } else {
    run(attempt);
  }
  return id;
}

void CurlTransport::wait_for_trust(Attempt& attempt) {
  waiting_.push_back(attempt.id());
  attempt.wait_in(Phase::Tls);
  attempt.timer().set_after(loop_, attempt.time_left(), [this, id = attempt.id()] {
    fail_later(id, Outcome::TlsTimeout, "the authorities' certificates have not been read yet",
               true);
  });
}

void CurlTransport::run(Attempt& attempt) {
  const bool tls = origins_[attempt.sending().origin].tls;
  SpareConnections* const spares = spares_of(attempt);
  if (spares != nullptr && attempt.kind() == Attempt::Kind::Request) spares->asked(loop_.now());
  if (tls && !trust_->problem().empty()) {
    fail_later(attempt.id(), Outcome::Certificate, trust_->problem(), true);
  } else if (const char* problem = attempt.run(pool_of(attempt), tls ? tls_ : nullptr)) {
    fail_later(attempt.id(), Outcome::Local, problem);
  }
}

// An upstream that redirects may repeat what it was asked with, and that is told to people.
void CurlTransport::hide_credentials(std::size_t origin, Fields& fields) const {
  for (Field& field : fields) {
    if (!is_field(field, "Location")) continue;
    for (const std::string& key : origins_[origin].keys) replace_all(field.value, key, "***");
    if (!token_.empty()) {
      replace_all(field.value, escaped_for_query(token_), "***");
      replace_all(field.value, token_, "***");
    }
    if (still_tells(origin, field.value)) field.value = "***";
  }
}

// In whichever spelling.
bool CurlTransport::still_tells(std::size_t origin, std::string text) const {
  constexpr int kMostTimesEscaped = 5;
  for (int i = 0; i < kMostTimesEscaped && text.find('%') != std::string::npos; ++i) {
    text = unescaped(text);
    const auto is_in = [&text](const std::string& key) { return text.find(key) != text.npos; };
    const auto& keys = origins_[origin].keys;
    if ((!token_.empty() && is_in(token_)) || std::any_of(keys.begin(), keys.end(), is_in)) {
      return true;
    }
  }
  return false;
}

void CurlTransport::finished(Attempt& attempt) {
  hide_credentials(attempt.sending().origin, attempt.reply().fields);
  if (SpareConnections* spares = spares_of(attempt)) {
    const Reply& reply = attempt.reply();
    if (reply.transport == Outcome::Ok) {
      spares->answered(reply.kept);
    } else if (attempt.kind() == Attempt::Kind::Spare) {
      spares->failed(loop_.now());
    } else {
      spares->ended();
    }
  }
  tell_lack(attempt);
  // Perhaps the server cannot bear the session we took up; the next handshake is whole.
  if (attempt.reply().transport == Outcome::Tls) renew_tls();
  deliver_later(attempt.id());
}

std::shared_ptr<Pool> CurlTransport::pool_of(const Attempt& attempt) {
  if (attempt.kind() == Attempt::Kind::Knock) return knocks_;
  auto& pool = pools_[place_of(attempt.sending().origin, attempt.sending().address)];
  if (!pool) pool = new_pool();
  if (!idle_timer_.pending()) {
    idle_timer_.set_after(loop_, kIdlePoolsInterval, [this] { drop_idle_pools(); });
  }
  return pool;
}

std::shared_ptr<Pool> CurlTransport::new_pool() {
  const auto ended = [this](CURL* easy, CURLcode code) {
    Attempt& attempt = Attempt::of(easy);
    attempt.end(code);
    finished(attempt);
  };
  return std::make_shared<Pool>(loop_, settings_.kept_connections, settings_.http2, ended);
}

// libcurl closes what has been idle for too long when it is next asked for something;
// an address that nobody asks any more would keep its connections for ever.
void CurlTransport::drop_idle_pools() {
  std::erase_if(pools_, [this](const auto& entry) {
    const Pool& pool = *entry.second;
    return pool.running() == 0 && pool.last_used() + settings_.connection_idle < loop_.now();
  });
  if (!pools_.empty()) {
    idle_timer_.set_after(loop_, kIdlePoolsInterval, [this] { drop_idle_pools(); });
  }
}

void CurlTransport::cancel(AttemptId id) {
  const auto found = attempts_.find(id);
  if (found == attempts_.end()) return;
  if (found->second->kind() == Attempt::Kind::Request) --in_flight_;
  if (SpareConnections* spares = spares_of(*found->second)) spares->ended();
  attempts_.erase(found);
}

std::optional<Progress> CurlTransport::progress(AttemptId id) const {
  const auto found = attempts_.find(id);
  if (found == attempts_.end() || found->second->ended()) return std::nullopt;
  return found->second->progress();
}

void CurlTransport::distrust(std::size_t origin, const std::string& address) {
  const Place place = place_of(origin, address);
  pools_.erase(place);
  if (origin < origins_.size() && origins_[origin].preferred == place.second) {
    origins_[origin].spares->renewed();
  }
}

CurlTransport::Place CurlTransport::place_of(std::size_t origin, const std::string& address) const {
  const bool own = origin < origins_.size() && origins_[origin].host == address;
  return {origin, own ? std::string() : address};
}

void CurlTransport::prefer(std::size_t origin, const std::string& address) {
  if (origin >= origins_.size() || settings_.spares.wanted == 0) return;
  Origin& its = origins_[origin];
  if (address.empty()) {
    its.preferred.reset();
    return;
  }
  const Place place = place_of(origin, address);
  if (its.preferred == place.second) return;
  its.preferred = place.second;
  if (its.spares) {
    its.spares->renewed();
  } else {
    its.spares.emplace(settings_.spares, loop_.now());
  }
  // From the loop: the caller may be in the middle of something.
  spare_timer_.set_after(loop_, base::Duration{0}, [this] { look_at_spares(); });
}

SpareConnections* CurlTransport::spares_of(const Attempt& attempt) {
  const Sending& sending = attempt.sending();
  const bool apart =
      attempt.kind() == Attempt::Kind::Knock || attempt.kind() == Attempt::Kind::Stream;
  if (apart || sending.origin >= origins_.size()) return nullptr;
  Origin& origin = origins_[sending.origin];
  if (origin.preferred != place_of(sending.origin, sending.address).second) return nullptr;
  return &*origin.spares;
}

void CurlTransport::look_at_spares() {
  for (std::size_t i = 0; i < origins_.size(); ++i) {
    Origin& origin = origins_[i];
    if (!origin.preferred) continue;
    const auto found = pools_.find({i, *origin.preferred});
    const Pool* const pool = found == pools_.end() ? nullptr : found->second.get();
    // What is under way leaves a connection.
    if (pool != nullptr && pool->running() > 0) continue;
    if (origin.tls && (!trust_ || !trust_->problem().empty())) continue;
    const std::size_t idle = ready({i, *origin.preferred});
    const base::SteadyTime now = loop_.now();
    switch (origin.spares->look(now, idle, pool == nullptr ? now : pool->last_used())) {
      case SpareConnections::Need::Nothing:
        break;
      case SpareConnections::Need::Make:
        for (std::size_t n = idle; n < settings_.spares.wanted; ++n) make_spare(i, true);
        break;
      case SpareConnections::Need::Refresh:
        make_spare(i, false);
        break;
    }
  }
  spare_timer_.set_after(loop_, settings_.spares.check_interval, [this] { look_at_spares(); });
}

std::size_t CurlTransport::ready(std::size_t origin, const std::string& address) const {
  return ready(place_of(origin, address));
}

std::size_t CurlTransport::ready(const Place& place) const {
  const auto found = pools_.find(place);
  return found == pools_.end() ? 0 : found->second->ready();
}

void CurlTransport::make_spare(std::size_t origin, bool new_connection) {
  const Sending sending{.origin = origin,
                        .address = *origins_[origin].preferred,
                        .new_connection = new_connection,
                        .timeout = settings_.connect_timeout * 2};
  begin(std::make_unique<Attempt>(++last_id_, loop_, settings_, Attempt::Kind::Spare, sending,
                                  [](const Reply&) {}),
        {"/", {}});
}

void CurlTransport::fail_later(AttemptId id, Outcome outcome, std::string detail, bool own_lack) {
  Attempt& attempt = *attempts_.at(id);
  attempt.fail(outcome, std::move(detail), own_lack);
  tell_lack(attempt);
  deliver_later(id);
}

void CurlTransport::tell_lack(Attempt& attempt) {
  if (on_lack_ && attempt.reply().lack) on_lack_(*attempt.reply().lack);
}

void CurlTransport::deliver_later(AttemptId id) {
  loop_.post([this, id, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) deliver(id);
  });
}

void CurlTransport::deliver(AttemptId id) {
  const auto found = attempts_.find(id);
  if (found == attempts_.end()) return;  // cancelled meanwhile
  const auto attempt = std::move(found->second);
  attempts_.erase(found);
  if (attempt->kind() == Attempt::Kind::Request) --in_flight_;
  attempt->callback()(std::move(attempt->reply()));  // may destroy us: nothing after this
}

}  // namespace holdfast::upstream
