// The attempt goes the way of the daemon's: the same route, request, transport and judge. Only what
// decides about several attempts is not here. Where an address cannot be connected to, the next one
// of the name is tried: nothing has been asked by then.
#include "daemon/check.h"

#include <csignal>
#include <memory>
#include <optional>
#include <utility>

#include "base/event_loop.h"
#include "base/random.h"
#include "config/masking.h"
#include "daemon/client_request.h"
#include "daemon/parts_settings.h"
#include "daemon/route_plans.h"
#include "daemon/start_check.h"
#include "proxy/fetch_rules.h"
#include "proxy/route.h"
#include "proxy/trace_context.h"
#include "upstream/address_order.h"
#include "upstream/cares_source.h"
#include "upstream/curl_transport.h"
#include "upstream/judge.h"

namespace holdfast::daemon {
namespace {

using upstream::Outcome;

constexpr const char* kMasked = "(secret)";
// Whoever is here asks from this machine.
constexpr const char* kAsker = "127.0.0.1";

// One origin's addresses, one after the other until somebody is there, on a loop that ends with it.
class Attempts {
 public:
  Attempts(base::EventLoop& loop, const config::UpstreamConfig& upstream,
           const upstream::FetchRequest& fetch, std::size_t largest_body, CheckedAnswer& checked)
      : loop_(loop),
        transport_(loop, transport_settings(upstream, largest_body), upstream.settings.api_token),
        timeout_(upstream.settings.attempt_timeout),
        host_(host_to_look_up(upstream.settings.api_urls.front())),
        fetch_(fetch),
        checked_(checked) {
    if (host_.empty()) {
      addresses_.push_back(address_in(upstream.settings.api_urls.front()));
    }
  }

  void run() {
    loop_.post([this] { host_.empty() ? try_next() : look_up(); });
    loop_.run();
  }

 private:
  void look_up() {
    names_ = upstream::make_name_source(loop_, {});
    for (const auto family : {upstream::AddressFamily::V6, upstream::AddressFamily::V4}) {
      names_->ask(host_, family, [this](const upstream::NameAnswer& answer) { named(answer); });
    }
  }

  void named(const upstream::NameAnswer& answer) {
    addresses_.insert(addresses_.end(), answer.addresses.begin(), answer.addresses.end());
    if (!answer.error.empty()) trouble_ = answer.error;
    if (--families_ > 0) return;
    addresses_ = upstream::in_order(addresses_, upstream::system_source_of);
    if (!addresses_.empty()) return try_next();
    checked_.reply.transport = Outcome::Dns;
    checked_.reply.detail = "no address of " + host_ + (trouble_.empty() ? "" : ": " + trouble_);
    loop_.stop();
  }

  void try_next() {
    checked_.address = addresses_[next_++];
    const upstream::Sending sending{.origin = 0,
                                    .address = host_.empty() ? std::string() : checked_.address,
                                    .new_connection = true,
                                    .timeout = timeout_};
    transport_.start(sending, fetch_.request,
                     [this](upstream::Reply reply) { ended(std::move(reply)); });
  }

  void ended(upstream::Reply reply) {
    const bool nobody =
        reply.transport == Outcome::Connect || reply.transport == Outcome::ConnectTimeout;
    if (nobody && next_ < addresses_.size()) {
      checked_.unreachable.push_back(checked_.address + ": " + reply.detail);
      return try_next();
    }
    checked_.reply = std::move(reply);
    loop_.stop();
  }

  base::EventLoop& loop_;
  upstream::CurlTransport transport_;
  const base::Duration timeout_;
  const std::string host_;  // empty: its URL has an address
  const upstream::FetchRequest& fetch_;
  CheckedAnswer& checked_;
  std::unique_ptr<upstream::NameSource> names_;
  int families_ = 2;  // that have not answered
  std::vector<std::string> addresses_;
  std::string trouble_;
  std::size_t next_ = 0;
};

// Some repeat what they were asked with; and a cookie is for whoever got it.
void mask(upstream::Fields& fields, const std::string& token) {
  for (upstream::Field& field : fields) {
    if (config::is_secret_field(field.name)) {
      const std::size_t equals = field.value.find('=');
      const bool of_cookie = upstream::is_field(field, "Set-Cookie") && equals != std::string::npos;
      field.value.replace(of_cookie ? equals + 1 : 0, std::string::npos, kMasked);
    }
    if (token.empty()) continue;
    for (const std::string& word : {token, upstream::escaped_for_query(token)}) {
      for (std::size_t at = field.value.find(word); at != std::string::npos;
           at = field.value.find(word, at)) {
        field.value.replace(at, word.size(), kMasked);
        at += std::string_view(kMasked).size();
      }
    }
  }
}

std::string meaning_of(const CheckedAnswer& checked, const proxy::RoutePlan& plan) {
  const upstream::Reply& reply = checked.reply;
  switch (checked.verdict.outcome) {
    case Outcome::Ok:
      if (upstream::is_negative(reply.status)) return "the upstream has no such entry";
      if (upstream::is_too_large(reply)) {
        return "larger than max_body: it is passed on as it comes, and not stored";
      }
      return reply.status >= 400 ? "an answer to clients as it is, and an error all the same" : "";
    case Outcome::ClientError:
      return upstream::is_negative(reply.status)
                 ? "the upstream has no such entry, or the path in its URL is not right"
                 : "the upstream does not like what it was asked; it would not be asked again";
    case Outcome::Unauthorized:
      return reply.with_token ? "the upstream refuses our token"
                              : "no token is set, and the upstream may ask for one";
    case Outcome::Redirected:
      return "no redirect is followed: the upstream's URL has to be the one it leads to";
    case Outcome::InvalidBody:
    case Outcome::WrongContent:
      return plan.pass_invalid && upstream::is_invalid(checked.verdict.outcome, reply)
                 ? "where nothing better is there it goes to clients all the same (on_invalid)"
                 : "the route's rules refuse it: it is never stored and never served";
    default:
      return {};
  }
}

std::string why_not_asked(const Explanation& explanation) {
  if (!explanation.taken()) {
    return "no route takes it: clients get " + std::to_string(explanation.status) + ", " +
           explanation.why;
  }
  if (explanation.batch) return "it takes a batch; check the path of one element";
  return explanation.offline ? "the route is offline" : "";
}

}  // namespace

base::Result<CheckedAnswer> check(const config::Settings& settings,
                                  const config::ExplainCommand& command) {
  auto explanation = explain(settings, command);
  if (!explanation) return tl::unexpected(explanation.error());
  CheckedAnswer checked;
  checked.explanation = *std::move(explanation);
  checked.not_asked = why_not_asked(checked.explanation);
  if (!checked.not_asked.empty()) return checked;

  const config::Routing& routing = *settings.routing;
  const std::size_t number = checked.explanation.number;
  const config::UpstreamConfig& upstream = routing.upstreams[routing.routes[number].upstream];
  if (auto files = check_tls_files(upstream); !files) return tl::unexpected(files.error());
  auto plans = plan_routes(routing);
  if (!plans) return tl::unexpected(plans.error());
  proxy::Route route(std::move((*plans)[number]));
  const std::string& key = checked.explanation.key;

  std::signal(SIGPIPE, SIG_IGN);
  upstream::set_up_libcurl();
  const base::SystemClock clock;
  const ClientRequest client(command);
  http::Request request = client.request();
  request.client = kAsker;
  base::Random random(base::Random::entropy());
  const upstream::FetchRequest fetch =
      route.plan().storing.http.on
          ? proxy::http_fetch_request(route, key, proxy::make_asked(request, route, key, random),
                                      clock)
          : proxy::fetch_request(
                route, key,
                proxy::continued_trace(request.field(http::Known::Traceparent),
                                       request.field(http::Known::Tracestate), random));
  base::EventLoop loop("check", clock);
  Attempts(loop, upstream, fetch, route.plan().body.max_body_bytes, checked).run();

  upstream::Reply& reply = checked.reply;
  checked.verdict = fetch.any_status ? upstream::judge_any(fetch.request, reply, fetch.validate)
                                     : upstream::judge(fetch.request, reply, fetch.validate,
                                                       fetch.validate_large);
  checked.meaning = meaning_of(checked, route.plan());
  constexpr int kFirstError = 400;
  checked.right = checked.verdict.outcome == Outcome::Ok && reply.status < kFirstError;
  mask(reply.fields, upstream.settings.api_token);
  return checked;
}

}  // namespace holdfast::daemon
