// `holdfast explain`: what it says of a request is what the daemon then does.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <simdjson.h>
#include <algorithm>
#include <array>
#include <fstream>
#include <stop_token>
#include <thread>

#include "base/unique_fd.h"
#include "command.h"
#include "stage.h"

using namespace holdfast::scenario;

namespace {

struct Explain {
  explicit Explain(const Folder& folder, const Upstream& upstream)
      : environment({{"ADMIN_SOCKET", (folder.path / "admin.sock").string()},
                     {"API_URL", upstream.url()},
                     {"API_TOKEN", Upstream::kToken}}) {}

  Said operator()(std::vector<std::string> words) const {
    words.insert(words.begin(), "explain");
    Said said = run_holdfast(std::move(words), environment);
    CHECK_FALSE(contains(said.output, Upstream::kToken));
    return said;
  }
  // A member of what the daemon says; REQUIREs that it says something.
  std::string of_daemon(const std::string& ip, const std::string& member,
                        const std::vector<std::string>& more = {}) const {
    return of_path("/lookup/" + ip, member, more);
  }
  std::string of_path(const std::string& path, const std::string& member,
                      const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words{"--json", path};
    words.insert(words.end(), more.begin(), more.end());
    const Said result = (*this)(words);
    INFO(result.output);
    simdjson::dom::parser parser;
    simdjson::dom::element json;
    REQUIRE(parser.parse(result.output).get(json) == simdjson::SUCCESS);
    std::string_view value;
    REQUIRE(json["daemon"][member].get(value) == simdjson::SUCCESS);
    return std::string(value);
  }
  std::string rung(const std::string& ip, const std::vector<std::string>& more = {}) const {
    return of_daemon(ip, "rung", more);
  }

  Process::Environment environment;
};

// An upstream that keeps the lines of the one request it answers.
class OneAnswer {
 public:
  OneAnswer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(listener_.get(), generic, size) == 0);
    REQUIRE(::listen(listener_.get(), 8) == 0);
    REQUIRE(::getsockname(listener_.get(), generic, &size) == 0);
    port_ = ntohs(address.sin_port);
    server_ = std::jthread([this](const std::stop_token& over) { serve(over); });
  }
  std::uint16_t port() const { return port_; }
  // When it has answered.
  std::vector<std::string> lines() {
    server_.request_stop();
    server_.join();
    return lines_;
  }

 private:
  void serve(const std::stop_token& over) {
    const std::stop_callback wake(over, [this] { ::shutdown(listener_.get(), SHUT_RDWR); });
    const holdfast::base::UniqueFd client(::accept(listener_.get(), nullptr, nullptr));
    std::string head;
    std::array<char, 4096> bytes;
    while (head.find("\r\n\r\n") == head.npos) {
      const auto n = ::recv(client.get(), bytes.data(), bytes.size(), 0);
      if (n <= 0) return;
      head.append(bytes.data(), static_cast<std::size_t>(n));
    }
    for (std::size_t end = head.find("\r\n"); end > 0; end = head.find("\r\n")) {
      lines_.push_back(head.substr(0, end));
      head.erase(0, end + 2);
    }
    const std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    (void)!::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
  }

  const holdfast::base::UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::vector<std::string> lines_;
  std::jthread server_;
};

// The rung that Cache-Status tells of.
std::string answered_by(const Response& response) {
  const std::string status = response.field("Cache-Status");
  for (const char* rung : {"stale-while-revalidate", "stale-if-error"}) {
    if (contains(status, rung)) return rung;
  }
  return contains(status, "hit") ? "fresh" : contains(status, "fwd=") ? "fetch" : "error";
}

}  // namespace

TEST_CASE("without a daemon it says what the settings say, and that none runs") {
  const Folder folder;
  Upstream upstream;
  const Explain explain(folder, upstream);
  const auto taken = explain({"/lookup/8.8.8.8"});
  INFO(taken.output);
  CHECK(taken.code == 0);
  CHECK(taken.has("route       lookup, /lookup/{ip:ip}"));
  CHECK(taken.has("key         lookup/8.8.8.8\n"));
  CHECK(taken.has("asks        GET /geoip/8.8.8.8\n"));
  CHECK(taken.has("Authorization: Bearer (secret)\n"));
  CHECK(taken.has("daemon      does not run, or not with this ADMIN_SOCKET: "));
  const auto refused = explain({"/lookup/nowhere"});
  CHECK(refused.code == 1);
  CHECK(refused.has("none: 400, not an IPv4 or IPv6 address (route lookup"));
  CHECK(explain({"/nowhere"}).code == 1);
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{}, {"/a", "--no-such"}, {"/a", "--port", "x"}}) {
    const auto wrong = explain(words);
    CHECK(wrong.code == 2);
    CHECK(std::count(wrong.output.begin(), wrong.output.end(), '\n') == 1);
  }
  CHECK(explain({"--help"}).has("URL_OR_PATH"));
}

TEST_CASE("what it says goes upstream is, line by line, what the upstream gets") {
  const Folder folder;
  const Upstream none;
  Explain explain(folder, none);
  OneAnswer upstream;
  const std::string url = "http://127.0.0.1:" + std::to_string(upstream.port());
  const std::string token = (folder.path / "token").string();
  std::ofstream(token) << "s3cret/t";
  const std::string file = (folder.path / "holdfast.toml").string();
  std::string in;
  SUBCASE("a token as bearer") {}
  SUBCASE("in a field") {
    in = "token_field = \"X-Api-Key\"\n";
  }
  SUBCASE("in the query, and the client's host") {
    in = "token_query = \"key\"\nhost = \"client\"\n";
  }
  SUBCASE("a host of its own") {
    in = "host = \"api.example:81\"\n";
  }
  std::ofstream(file) << "[upstream.a]\nurls = [\"" + url + "/v1/\"]\ntoken_file = \"" + token +
                             "\"\nhedge = \"off\"\n" + in +
                             "[[route]]\nname = \"a\"\nmatch = \"/x/{y}\"\n"
                             "key_fields = [\"Accept-Language\"]\n"
                             "request_set = { \"X-Pass\" = \"hidden\", \"User-Agent\" = \"ua\" }\n"
                             "validate = { json = false }\n";
  explain.environment.emplace_back("HOLDFAST_CONFIG", file);
  Daemon daemon(folder, url, explain.environment);
  const auto said = explain({"--json", "http://client.example/x/a%2Fb?c=d&e", "--field",
                             "Accept-Language: de, en", "--field", "X-Other: no"});
  INFO(said.output);
  simdjson::dom::parser parser;
  simdjson::dom::element json;
  REQUIRE(parser.parse(said.output).get(json) == simdjson::SUCCESS);
  std::vector<std::string> expected{std::string(std::string_view(json["request_line"])) +
                                    " HTTP/1.1"};
  for (const simdjson::dom::element field : json["fields"]) {
    expected.push_back(std::string(std::string_view(field["name"])) + ": " +
                       std::string(std::string_view(field["value"])));
  }
  Query query{daemon.url("/x/a%2Fb?c=d&e")};
  query.fields = {"Host: client.example", "Accept-Language: de, en", "X-Other: no"};
  REQUIRE(ask(query).status == 200);
  std::vector<std::string> got = upstream.lines();
  for (std::string& line : got) {
    for (const std::string secret : {"s3cret/t", "s3cret%2Ft", "hidden"}) {
      const std::size_t at = line.find(secret);
      if (at != line.npos) line.replace(at, secret.size(), "(secret)");
    }
  }
  std::sort(expected.begin(), expected.end());
  std::sort(got.begin(), got.end());
  CHECK(got == expected);
}

TEST_CASE("the rung it names is the one that answers, all the way down") {
  const Folder folder;
  Upstream upstream;
  Explain explain(folder, upstream);
  explain.environment.emplace_back("REQUEST_DEADLINE", "1s");
  Daemon daemon(folder, upstream.url(), explain.environment);
  const auto same = [&](const std::string& expected) {
    const std::string rung = explain.rung("8.8.8.8");
    CHECK(rung == expected);
    CHECK(answered_by(get(daemon.lookup_url("8.8.8.8"))) == rung);
  };
  const auto by_hand = [&](const std::string& target) {
    const std::string socket = (folder.path / "admin.sock").string();
    return ask({"http://x" + target, "POST", {}, {}, socket}).status;
  };
  same("fetch");
  same("fresh");
  CHECK(explain.rung("1.1.1.1", {"--field", "Cache-Control: only-if-cached"}) == "not-stored");
  CHECK(explain.rung("8.8.8.8", {"--field", "Cache-Control: only-if-cached"}) == "fresh");
  CHECK(explain.of_daemon("1.1.1.1", "word", {"--field", "Cache-Control: only-if-cached"}) ==
        "only-if-cached");
  // Nobody can be asked.
  REQUIRE(by_hand("/breaker?state=open") == 200);
  REQUIRE(by_hand("/stale?ip=8.8.8.8") == 200);
  same("stale-while-revalidate");
  CHECK(explain.rung("9.9.9.9") == "error");
  CHECK(get(daemon.lookup_url("9.9.9.9")).status >= 502);
  const auto text = explain({"/lookup/9.9.9.9"});
  INFO(text.output);
  CHECK(text.code == 0);
  CHECK(text.has("breaker open by hand"));
  CHECK(text.has("now         error: "));
  CHECK(text.has("stored      nothing"));
}

TEST_CASE("a fetch under way is one that a request would join") {
  const Folder folder;
  Upstream upstream;
  Explain explain(folder, upstream);
  explain.environment.emplace_back("HEDGE", "off");
  Daemon daemon(folder, upstream.url(), explain.environment);
  upstream.tell("hold", "");
  std::jthread client([&] { CHECK(get(daemon.lookup_url("8.8.8.8")).status == 200); });
  upstream.wait_until("held=1");
  CHECK(explain.of_daemon("8.8.8.8", "why") == "waits for the fetch that is under way");
  const auto text = explain({"/lookup/8.8.8.8"});
  CHECK(text.has("fetch       under way, 1 waiting"));
  CHECK(upstream.count("requests") == 1);
  upstream.tell("release", "");
}

TEST_CASE("a daemon with other settings is one whose answer is told apart") {
  const Folder folder;
  Upstream upstream;
  const Explain explain(folder, upstream);
  Daemon daemon(folder, upstream.url(), explain.environment);
  const std::string path = (folder.path / "holdfast.toml").string();
  std::ofstream(path) << "[upstream.geo]\n[[route]]\nname = \"other\"\n"
                         "match = \"/lookup/{ip:ip}\"\n[[route]]\nname = \"more\"\n"
                         "match = \"/more\"\n";
  CHECK(explain({"/lookup/8.8.8.8", "--config", path}).has("its key differs"));
  CHECK(explain({"/more", "--config", path}).has("has other settings, or another version"));
}

TEST_CASE("what is passed through is sent once, or refused while the breaker is open") {
  const Folder folder;
  Upstream upstream;
  Explain explain(folder, upstream);
  const std::string file = (folder.path / "holdfast.toml").string();
  std::ofstream(file) << "[upstream.a]\nurls = [\"" + upstream.url() +
                             "\"]\n[[route]]\nname = \"a\"\nmatch = \"/x/{y}\"\n"
                             "methods = [\"GET\", \"POST\"]\nvalidate = { json = false }\n";
  explain.environment.emplace_back("HOLDFAST_CONFIG", file);
  Daemon daemon(folder, upstream.url(), explain.environment);
  const std::string socket = (folder.path / "admin.sock").string();
  const auto by_admin = [&](const std::string& more) {
    const Response response =
        ask({"http://x/explain?path=/x/a&method=POST" + more, "GET", {}, {}, socket});
    CHECK(response.status == 200);
    return response.body;
  };
  CHECK(contains(by_admin(""), "\"rung\":\"pass\",\"why\":\"passed through: sent once\""));
  CHECK(contains(by_admin(""), "\"passed\":true"));
  CHECK(contains(by_admin("&text"), "now         pass: passed through: sent once\n"));
  const auto text = explain({"/x/a", "--method", "POST"});
  INFO(text.output);
  CHECK(text.has("daemon      runs"));
  CHECK(text.has("now         pass: passed through: sent once\n"));
  CHECK_FALSE(text.has("refreshed"));

  REQUIRE(ask({"http://x/breaker?state=open", "POST", {}, {}, socket}).status == 200);
  const std::string refused = "error: 503 at once, and not sent: every breaker is open\n";
  CHECK(contains(by_admin("&text"), refused));
  CHECK(contains(by_admin(""), "\"rung\":\"error\",\"why\":\"503 at once"));
  CHECK(explain({"/x/a", "--method=POST"}).has(refused));
  CHECK(ask({daemon.url("/x/a"), "POST"}).status == 503);
}

namespace {

// A route of mode rfc9111 of everything, before the same upstream.
void write_site(const std::string& file) {
  std::ofstream(file) << "[upstream.geo]\n[[route]]\nname = \"site\"\nmatch = \"/{path:rest}\"\n"
                         "mode = \"rfc9111\"\nmethods = \"*\"\n";
}

}  // namespace

TEST_CASE("why nothing is kept, and what is remembered of a key, is said by one word") {
  const Folder folder;
  Upstream upstream({"--cache-control", "private"});
  Explain explain(folder, upstream);
  const std::string file = (folder.path / "holdfast.toml").string();
  write_site(file);
  explain.environment.emplace_back("HOLDFAST_CONFIG", file);
  Daemon daemon(folder, upstream.url(), explain.environment);
  const std::string path = "/geoip/8.8.8.8";
  CHECK(contains(get(daemon.url(path)).field("Cache-Status"), "; detail=private"));
  CHECK(explain.of_path(path, "alone_by") == "private");
  CHECK(explain({path}).has(" s, private: the answer is for the one who asked"));

  struct Row {
    const char* field;
    const char* word;
  };
  for (const Row& row : {Row{"Cache-Control: no-store", "client-no-store"},
                         Row{"If-Match: \"x\"", "precondition"}, Row{"A_B: c", "ambiguous"}}) {
    CAPTURE(row.field);
    const Response answer = ask({daemon.url(path), "GET", {row.field}});
    CHECK(contains(answer.field("Cache-Status"), std::string("fwd=bypass")));
    CHECK(contains(answer.field("Cache-Status"), std::string("; detail=") + row.word));
    CHECK(explain.of_path(path, "rung", {"--field", row.field}) == "pass");
    CHECK(explain.of_path(path, "word", {"--field", row.field}) == row.word);
    CHECK(explain({path, "--field", row.field}).has(std::string("decides     ") + row.word + ": "));
  }
}

TEST_CASE("what is stored and not used, as the client says so, is told by that word") {
  const Folder folder;
  Upstream upstream({"--cache-control", "max-age=600\r\nVary: Foo"});
  Explain explain(folder, upstream);
  const std::string file = (folder.path / "holdfast.toml").string();
  write_site(file);
  explain.environment.emplace_back("HOLDFAST_CONFIG", file);
  Daemon daemon(folder, upstream.url(), explain.environment);
  const std::string path = "/geoip/8.8.8.8";
  CHECK(get(daemon.url(path)).status == 200);
  CHECK(explain.of_path(path, "rung") == "fresh");
  const std::vector<std::string> anew{"--field", "Cache-Control: no-cache"};
  CHECK(explain.of_path(path, "rung", anew) == "fetch");
  CHECK(explain.of_path(path, "word", anew) == "client-no-cache");
  const Response answer = ask({daemon.url(path), "GET", {"Cache-Control: no-cache"}});
  CHECK(contains(answer.field("Cache-Status"), "fwd=request"));
  CHECK(contains(answer.field("Cache-Status"), "; detail=client-no-cache"));
  // A variant is behind the URL's key, and no sign of other settings.
  const auto text = explain({path});
  INFO(text.output);
  CHECK(text.has("daemon      runs"));
  CHECK(text.has(" foo"));
  CHECK(explain.of_path(path, "rung", {"--field", "Foo: 1"}) == "fetch");
}
