// What must hold in a routed schedule, whatever happens:
//
//   once       what may be sent once is not sent again
//   own        nobody gets what was said of another key, by another upstream or to another client
//   apart      a sick upstream costs the clients of a well one nothing: compare(), check_in_time()
//   forgotten  what was purged, or changed by what a client did, is not answered with any more
#include <algorithm>
#include <string_view>

#include "routed_parts.h"

namespace holdfast::simulation {
namespace {

using namespace std::chrono_literals;
using Kind = cache::Purge::Kind;

// A well upstream's answer takes half a second at the most; some wait for another one first.
constexpr base::Duration kInTime = 2s;

bool has(std::string_view fields, std::string_view text) {
  return fields.find(text) != fields.npos;
}

// The value of the first line of that name; empty: there is none.
std::string_view field_of(std::string_view fields, std::string_view name) {
  const std::size_t at = fields.find(name);
  if (at == fields.npos) return {};
  fields.remove_prefix(at + name.size());
  return fields.substr(0, fields.find("\r\n"));
}

std::string trace_of(std::size_t client) {
  std::string digits(32, '0');
  for (std::size_t number = client + 1, at = 31; number > 0; number /= 16, --at) {
    digits[at] = "0123456789abcdef"[number % 16];
  }
  return digits;
}

bool is_problem(const Given& given) {
  return has(given.fields, "application/problem+json") && given.status >= 502 &&
         given.status <= 504;
}

}  // namespace

void Routed::broken(const std::string& promise) {
  if (!violation_.empty()) return;
  violation_ = "routed: " + promise;
  trace_.line("VIOLATED: ", promise);
}

void Routed::begun(http::ExchangeId id) {
  Client& client = clients_[id];
  if (client.over) return;
  client.begun = order_.next();
  const std::uint64_t done =
      client.safe() ? 0 : upstreams_[client.upstream]->api.done_at(client.once);
  if (done != 0) changed_.push_back({client.ask.read, done, client.begun});
}

void Routed::ended(http::ExchangeId id, const Given& given) {
  Client& client = clients_[id];
  if (client.over) return;
  client.over = true;
  trace_.line("client ", id, " gets ", given.status, given.whole ? " " : " cut off: ", given.body,
              " ", field_of(given.fields, "Cache-Status: "));
  if (client.safe()) --reading_[client.upstream];
  if (client.upstream != sick_) {
    ++tally_.beside_sick;
    fates_[id] = {given.status, given.body, now() - client.asked_at};
    if (other_is_well_ && settings_[client.upstream].roomy) check_in_time(client, given);
  } else {
    tally_.sick_errors += is_problem(given);
    const upstream::Status sick = process_->groups[sick_]->policy.status();
    tally_.parked += sick.parked > 0;
    tally_.full += sick.in_flight >= settings_[sick_].upstream.concurrency;
  }
  client.safe() ? check_read(id, given) : check_unsafe(id, given);
}

void Routed::check_read(std::size_t number, const Given& given) {
  const Client& client = clients_[number];
  if (now() > client.asked_at + patience_) broken("an answer after its deadline");
  if (given.status != 200) {
    ++tally_.errors;
    if (!is_problem(given)) broken("a strange error: " + std::to_string(given.status));
    if (field_of(given.fields, "Retry-After: ").empty()) broken("an error without Retry-After");
    if (client.must_succeed) broken("an error after the recovery: " + given.body);
    return;
  }
  ApiUpstream& api = upstreams_[client.upstream]->api;
  Said* const said = api.said(given.body);
  if (said == nullptr) return broken("a body that its upstream never gave: " + given.body);
  const Meaning& meaning = client.ask.meaning;
  if (said->method != "GET") broken("the answer to a " + said->method + " for a GET");
  if (said->target != meaning.target) broken("an answer about " + said->target);
  if (said->language != meaning.language) broken("an answer in \"" + said->language + "\"");
  const std::string_view cookie = field_of(given.fields, "Set-Cookie: ");
  if (!cookie.empty() && cookie != said->cookie) broken("a cookie of another answer");
  if (!said->may_store) {
    ++tally_.unstorable;
    if (said->given_to && *said->given_to != number) {
      broken("what may not be stored went to two clients");
    }
    said->given_to = number;
    if (!said->asker.empty() && said->asker != trace_of(number)) {
      broken("what may not be stored went to who had not asked for it");
    }
  }
  const std::string_view status = field_of(given.fields, "Cache-Status: ");
  if (has(status, "; collapsed")) ++tally_.collapsed;
  ++(has(status, "detail=stale") ? tally_.stale
     : has(status, "; hit")      ? tally_.fresh
                                 : tally_.fetched);
  check_purges(client, *said, given);
}

bool Routed::concerns(const Purged& purged, const Client& client, const Said& said) const {
  const Meaning& meaning = client.ask.meaning;
  if (purged.one) return purged.meaning == meaning;
  switch (purged.kind) {
    case Kind::All:
      return true;
    case Kind::Route:
      return purged.what == process_->routes[meaning.route]->name();
    case Kind::Path:
      return purged.meaning.route == meaning.route && purged.meaning.path() == meaning.path();
    case Kind::Tag:
      break;
  }
  const auto& tags = process_->routes[meaning.route]->plan().storing.tags;
  return std::find(said.tags.begin(), said.tags.end(), purged.what) != said.tags.end() ||
         std::find(tags.begin(), tags.end(), purged.what) != tags.end();
}

void Routed::check_purges(const Client& client, const Said& said, const Given& given) {
  const std::string_view status = field_of(given.fields, "Cache-Status: ");
  const bool fresh = has(status, "; hit") && !has(status, "detail=stale");
  for (const Purged& purged : purged_) {
    if (purged.at > client.asked || !concerns(purged, client, said)) continue;
    ++(purged.soft ? tally_.asked_since_mark : tally_.asked_since_purge);
    if (said.asked > purged.at || (purged.soft && !fresh)) continue;
    broken(std::string("an answer from before ") +
           (purged.soft ? "it was marked stale, as fresh," : "a purge,") +
           " to who asked after that");
  }
  for (const Changed& changed : changed_) {
    if (changed.told > client.asked || !(changed.meaning == client.ask.meaning)) continue;
    ++tally_.asked_since_change;
    if (said.asked < changed.done) broken("an answer from before what a client was told it did");
  }
}

void Routed::check_unsafe(std::size_t number, const Given& given) {
  const Client& client = clients_[number];
  const ApiUpstream& api = upstreams_[client.upstream]->api;
  if (upstreams_[1 - client.upstream]->api.sent(client.once) > 0) {
    broken("what is sent once went to another upstream");
  }
  const Said* const said = api.answer_to(client.once);
  if (is_problem(given) && !has(given.fields, "fwd=method")) {
    ++tally_.unsafe_failed;
    if (has(given.body, "was not sent") && api.reached(client.once)) {
      broken("a client was told that its request was not sent, and it was");
    }
    return;
  }
  if (said == nullptr) return broken("an answer to what was never sent: " + given.body);
  if (said->status != given.status || said->method != client.ask.method ||
      said->target != client.ask.meaning.target || said->asker != trace_of(number)) {
    broken("an answer to what somebody else sent");
  }
  if (field_of(given.fields, "Set-Cookie: ") != said->cookie) broken("a cookie of another answer");
  if (given.whole ? given.body != said->body : !said->body.starts_with(given.body)) {
    broken("a content that is not its own: " + given.body);
  }
  ++(given.whole ? tally_.unsafe_done : tally_.cut_off);
}

void Routed::check_in_time(const Client& client, const Given& given) {
  ++tally_.in_time;
  const base::Duration waited = now() - client.asked_at;
  if (waited > kInTime) broken("a well upstream's answer took " + text(waited));
  if (is_problem(given)) broken("an error, although its upstream is well: " + given.body);
}

void Routed::check_stored(std::string_view key, const cache::StoredResponse& stored) {
  const proxy::Routes::Entry* const entry = process_->table->of_key(key);
  if (entry == nullptr) return broken("something stored under no route's key");
  const upstream::Request request = entry->route.upstream_request(key);
  for (std::size_t route = 0; route < kRoutes; ++route) {
    if (process_->routes[route].get() != &entry->route) continue;
    const Said* const said = upstreams_[upstream_of_[route]]->api.said(stored.body);
    if (said == nullptr) return broken("something stored that its upstream never gave");
    if (!said->may_store || said->method != "GET") broken("stored what may not be");
    if (said->target != request.target) broken("stored under another key");
  }
}

void Routed::check_step() {
  for (std::size_t i = 0; i < kUpstreams; ++i) {
    const Process::Group& group = *process_->groups[i];
    const proxy::Flights::Stats flights = group.flights.stats();
    if (flights.waiters > reading_[i] + leavers_[i]) broken("others wait among an upstream's own");
  }
}

void Routed::check_drained() {
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    if (!clients_[i].over) broken("client " + std::to_string(i) + " got no answer");
  }
  if (server_.open() != 0) broken("an exchange is left");
  for (std::size_t i = 0; i < kUpstreams; ++i) {
    Process::Group& group = *process_->groups[i];
    const proxy::Flights::Stats flights = group.flights.stats();
    const upstream::Status status = group.policy.status();
    if (flights.flights + flights.waiters != 0) broken("a flight is left");
    if (status.fetches + status.queued + status.parked != 0) broken("a fetch is left");
    if (upstreams_[i]->api.streams() != 0) broken("a transfer is left");
  }
}

std::string compare(const RoutedFates& beside_sick, const RoutedFates& beside_well,
                    RoutedTally& tally) {
  if (beside_sick.size() != beside_well.size()) return "routed: somebody's answer is missing";
  for (const auto& [client, sick] : beside_sick) {
    ++tally.compared;
    const auto found = beside_well.find(client);
    if (found != beside_well.end() && found->second == sick) continue;
    return "routed: beside a sick upstream client " + std::to_string(client) + " gets " +
           std::to_string(sick.status) + " after " + text(sick.after) + ": " + sick.body +
           (found == beside_well.end()
                ? ", beside a well one nothing"
                : ", beside a well one " + std::to_string(found->second.status) + " after " +
                      text(found->second.after) + ": " + found->second.body);
  }
  return {};
}

}  // namespace holdfast::simulation
