// Nothing of one client reaches another: many random requests at once, to an upstream that answers
// with random directives, Vary and cookies, and says in each content for whom it was made.
#include "base/random.h"
#include "flights_http_fixture.h"
#include "rfc9111/fields.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace holdfast::proxy::test;

namespace {

// What of an answer another client may learn.
struct Made {
  std::size_t client = 0;
  std::string path;
  bool shared = false;                        // RFC 9111, 3 and 3.5, by this test's own reading
  std::string vary;                           // "*", or names with commas between them
  std::map<std::string, std::string> fields;  // of the request
};

struct Crowd : HttpFixture {
  struct Client {
    std::string path;
    std::map<std::string, std::string> fields;
    int answers = 0;
  };

  explicit Crowd(std::uint64_t seed) : random(seed) {
    Flights::Settings settings;
    settings.unshared = {1s, 1s, 100};
    make(settings);
    StoringPolicy pass_cookies;
    pass_cookies.set_cookie = StoringPolicy::SetCookie::Pass;
    route = std::make_unique<Route>(http_plan(pass_cookies));
  }

  bool chance(std::uint64_t of) { return random.below(of) == 0; }
  std::string one_of(std::initializer_list<const char*> texts) {
    return texts.begin()[random.below(texts.size())];
  }

  void join() {
    Client client;
    client.path = "/" + std::to_string(random.below(3));
    if (chance(4)) client.fields["Authorization"] = "user" + std::to_string(random.below(3));
    if (chance(3)) client.fields["Cookie"] = "c" + std::to_string(random.below(3));
    for (const char* name : {"Foo", "Bar"}) {
      if (!chance(3)) client.fields[name] = std::to_string(random.below(2));
    }
    if (chance(8)) client.fields["Cache-Control"] = one_of({"no-cache", "max-age=0", "max-age=5"});
    Lines lines{{"X-Client", {}}};
    const std::string number = std::to_string(clients.size());
    lines[0].value = number;
    for (const auto& [name, value] : client.fields) lines.push_back({name, value});
    const AskedPtr request = asked(client.path, lines);
    const std::size_t index = clients.size();
    clients.push_back(std::move(client));
    flights->join_http(*route, request, loop.now() + 10s,
                       [this, index](const Answer& answer) { take(index, answer); });
  }

  // Content for whoever's request that is: its number, and one of its own.
  FetchResult play(const upstream::Request& request) {
    Made one;
    one.client = std::stoul(*upstream::find_field(request.fields, "X-Client"));
    one.path = request.target;
    one.fields = clients.at(one.client).fields;
    upstream::Fields fields;
    std::string control =
        one_of({"max-age=20", "max-age=20", "max-age=20", "public, max-age=20", "s-maxage=20",
                "max-age=20, must-revalidate", "private, max-age=20", "no-store", "no-cache",
                "max-age=0, stale-while-revalidate=5", "max-age=5, stale-while-revalidate=20"});
    one.shared = control.find("private") == control.npos && control != "no-store";
    const bool allows = control.find("public") != control.npos ||
                        control.find("s-maxage") != control.npos ||
                        control.find("must-revalidate") != control.npos;
    if (one.fields.contains("Authorization") && !allows) one.shared = false;
    if (chance(6)) {
      fields.push_back({"Set-Cookie", "s=" + std::to_string(one.client)});
      one.shared = false;
    }
    one.vary = one_of({"", "", "Foo", "Foo, Bar", "Bar", "Cookie", "*", "Authorization"});
    if (one.vary == "*") one.shared = false;
    if (!one.vary.empty()) fields.push_back({"Vary", one.vary});
    fields.push_back({"Cache-Control", control});
    // An upstream that confirms knows what it confirms: the same selection, as its tag says.
    const std::string* named = upstream::find_field(request.fields, "If-None-Match");
    if (named && chance(2)) {
      const std::size_t before = std::stoul(named->substr(1));
      if (may_have(one.client, made.at(before))) {
        return says("", {{"ETag", *named}, {"Cache-Control", "max-age=20"}}, 304);
      }
    }
    if (chance(10)) return failed(FetchEnd::Deadline, Outcome::ServerError, 503);
    fields.push_back({"ETag", "\"" + std::to_string(made.size()) + "\""});
    made.push_back(one);
    return says(std::to_string(made.size() - 1), std::move(fields));
  }

  bool may_have(std::size_t index, const Made& one) const {
    if (one.client == index) return true;
    if (!one.shared) return false;
    const auto value = [](const auto& fields, const std::string& name) {
      const auto found = fields.find(name);
      return found == fields.end() ? "-" : "=" + found->second;
    };
    for (const char* name : {"Foo", "Bar", "Cookie", "Authorization"}) {
      if (one.vary.find(name) == one.vary.npos) continue;
      if (value(one.fields, name) != value(clients[index].fields, name)) return false;
    }
    return true;
  }

  void take(std::size_t index, const Answer& answer) {
    Client& client = clients[index];
    CHECK(++client.answers == 1);
    if (!answer.content) {
      CHECK(answer.rung == Rung::Error);
      return;
    }
    CAPTURE(index);
    CAPTURE(answer.content->body);
    REQUIRE(answer.content->kind == cache::Kind::Verbatim);
    const Made& one = made.at(std::stoul(answer.content->body));
    CHECK(one.path == client.path);
    CHECK(may_have(index, one));
    // Not even a cookie that came with a content for all.
    const auto cookie = rfc9111::find_line(answer.content->fields, "set-cookie");
    const bool own = !cookie || *cookie == "s=" + std::to_string(index);
    CHECK(own);
    ++answered_from[static_cast<std::size_t>(answer.rung)];
    if (one.client != index) ++shared;
  }

  void end_one() {
    if (fetcher.fetches.empty()) return;
    auto fetch = fetcher.fetches.begin();
    std::advance(fetch, static_cast<std::ptrdiff_t>(random.below(fetcher.fetches.size())));
    FetchResult result = play(fetch->second.request.request);
    fetcher.end(fetch->first, std::move(result));
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      switch (random.below(12)) {
        case 0:
          pass(std::chrono::milliseconds(random.below(6000)));
          break;
        case 1:
          if (chance(4)) flights->purge("all/" + std::to_string(random.below(3)));
          break;
        case 2:
          if (chance(4)) memory.clear();  // what is on disk is enough
          break;
        case 3:
        case 4:
        case 5:
        case 6:
          end_one();
          break;
        default:
          join();
      }
    }
    while (!fetcher.fetches.empty()) end_one();
    CHECK(flights->stats().flights == 0);
    CHECK(flights->stats().waiters == 0);
    for (const Client& client : clients) CHECK(client.answers == 1);
  }

  base::Random random;
  std::vector<Client> clients;
  std::vector<Made> made;
  std::map<std::size_t, int> answered_from;
  int shared = 0;
};

}  // namespace

TEST_CASE("whoever asks, together with whom, gets what was made for it, or for all") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Crowd crowd(seed);
    crowd.run(600);
    // That there was something to leak, and something to share.
    CHECK(crowd.shared > 20);
    CHECK(crowd.answered_from[static_cast<std::size_t>(Rung::Fresh)] > 10);
    CHECK(crowd.answered_from[static_cast<std::size_t>(Rung::Fetched)] > 50);
  }
}

TEST_CASE("a stop answers all who wait, each with nothing but its own") {
  Crowd crowd(99);
  for (int i = 0; i < 200; ++i) {
    crowd.join();
    if (i % 5 == 0) crowd.end_one();
  }
  REQUIRE(crowd.flights->stats().waiters > 0);
  crowd.flights->abandon_all();
  CHECK(crowd.flights->stats().flights == 0);
  CHECK(crowd.flights->stats().waiters == 0);
  for (const Crowd::Client& client : crowd.clients) CHECK(client.answers == 1);
}
