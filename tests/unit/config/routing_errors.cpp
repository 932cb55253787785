// What may be wrong in the sections of the file, and what is said of it.
#include <doctest/doctest.h>

#include "config/routing.h"
#include "start.h"

using namespace holdfast::config;

namespace {

std::string section_error(const std::string& text) {
  Start start;
  const std::string path = start.file("h.toml", text);
  start.arguments = {"--config", path};
  const std::string error = start.error();
  REQUIRE(error.starts_with(path + ":"));
  return error.substr(path.size() + 1);
}

struct Case {
  const char* text;   // the wrong line
  const char* error;  // what follows "KEY: " or the section's title
};

const std::string kUpstream = "[upstream.geo]\nurls = [\"https://a.example\"]\n";
const std::string kRouteHead = "[[route]]\nname = \"x\"\nmatch = \"/x\"\n";

}  // namespace

TEST_CASE("what is wrong with a key of a route is said with file, line, route and key") {
  const Case cases[] = {
      {"macth = \"/x\"", "unknown key \"macth\"; did you mean match?"},
      {"tag = [\"x\"]", "unknown key \"tag\"; did you mean tags?"},
      {"xyzzy = 1", "unknown key \"xyzzy\""},
      {"ttl = \"5m\"", "unknown key \"ttl\"; did you mean cache_ttl?"},
      {"TTL = \"5m\"", "unknown key \"TTL\"; did you mean cache_ttl?"},
      {"max-age = \"5m\"", "unknown key \"max-age\"; did you mean cache_ttl?"},
      {"path = \"/x\"", "unknown key \"path\"; did you mean match?"},
      {"backend = \"x\"", "unknown key \"backend\"; did you mean upstream?"},
      {"timeout = \"5s\"",
       "unknown key \"timeout\"; did you mean attempt_timeout in an [upstream.NAME]?"},
      {"urls = [\"https://a\"]", "urls is a key of upstreams; expected it in an [upstream.NAME]"},
      {"token-file = \"/x\"",
       "token_file is a key of upstreams; expected it in an [upstream.NAME]"},
      {"stale_on_error = \"5m\"", "unknown key \"stale_on_error\"; did you mean stale_if_error?"},
      {"target = 1", "target: is a whole number; expected a text in quotes"},
      {"target = [\"/x\"]", "target: is an array; expected a text in quotes"},
      {"target = 1.5", "target: is a date, a fraction or something nested too deep; expected"},
      {"target = 2026-01-01", "target: is a date"},
      {"target = \"  \"", "target: is blank"},
      {"batch = true", "batch: is true or false; expected a text"},
      {"host = \"a b\"", "host: \"a b\": expected a host without a port"},
      {"host = \"a.example:80\"", "host: \"a.example:80\": expected a host without a port"},
      {"host = \"[::1]:80\"", "host: \"[::1]:80\": expected a host without a port"},
      {"host = \"a/b\"", "host: "},
      {"methods = \"GET\"", "methods: is a text; expected an array such as"},
      {"methods = []", "methods: is empty; expected"},
      {"methods = [1]", "methods: has a whole number in it; expected"},
      {"methods = [\"GET\", \"GET\"]", "methods: \"GET\" is there twice; expected each once"},
      {"methods = [\"get\"]", "methods: \"get\" is no method; did you mean GET?"},
      {"methods = [\"Post\"]", "methods: \"Post\" is no method; did you mean POST?"},
      {"methods = [\"GET\", \"*\"]", "methods: \"*\" is all methods; expected it alone"},
      {"methods = [\"TRACE\"]", "methods: \"TRACE\" would have the upstream repeat"},
      {"methods = [\"CONNECT\"]", "methods: \"CONNECT\" makes a tunnel"},
      {"methods = [\"FROB\"]", "methods: \"FROB\" is no method that is known here"},
      {"max_request_body = \"2TiB\"", "max_request_body: "},
      {"mode = \"x\"", "mode: \"x\": expected one of \"resilient\", \"rfc9111\""},
      {"mode = 9111", "mode: is a whole number; expected a text"},
      {"max_variant = 1", "unknown key \"max_variant\"; did you mean max_variants?"},
      {"vary_normalize = []", "unknown key \"vary_normalize\"; did you mean vary_normalise?"},
      {"upstream = \"goe\"", "upstream: \"goe\" is no upstream; did you mean geo?"},
      {"upstream = \"other\"", "upstream: \"other\" is no upstream; expected the name of"},
      {"upstream = 1", "upstream: is a whole number"},
      {"query = \"some\"", "query: \"some\": expected \"all\", \"none\""},
      {"query = 1", "query: is a whole number; expected"},
      {"query = {}", "query: is empty; expected"},
      {"query = { keep = \"a\" }", "query.keep: is a text; expected an array"},
      {"query = { keep = [1] }", "query.keep: has a whole number in it"},
      {"query = { keep = [\"a\", \"a\"] }", "query.keep: \"a\" is there twice"},
      {"query = { keep = [\"a\"], ignore = [\"b\"] }", "query: has both keep and ignore"},
      {"query = { drop = [\"a\"] }", "query: unknown key \"drop\"; expected keep or ignore"},
      {"query = { ignore = [\"*a\"] }", "query.ignore: \"*a\": expected * at the end alone"},
      {"sort_query = \"yes\"", "sort_query: is a text; expected true or false"},
      {"key_fields = [\"a b\"]", "key_fields: \"a b\" is no field's name"},
      {"key_fields = [\"X-A\", \"x-a\"]", "key_fields: \"x-a\" is there twice"},
      {"key_fields = [\"authorization\"]", "key_fields: \"authorization\" carries a credential"},
      {"key_fields = [\"Cookie\"]", "key_fields: \"Cookie\" is each client's own"},
      {"key_fields = [\"range\"]", "key_fields: \"range\" asks for less than an answer"},
      {"key_fields = [\"If-None-Match\"]", "key_fields: \"If-None-Match\" asks for less"},
      {"key_fields = [\"Accept-Encoding\"]", "key_fields: \"Accept-Encoding\" is ours to say"},
      {"key_fields = [\"traceparent\"]", "key_fields: \"traceparent\" is each request's own"},
      {"key_fields = [\"TraceState\"]", "key_fields: \"TraceState\" is each request's own"},
      {"request_set = { traceparent = \"x\" }",
       "request_set: \"traceparent\" is each request's own and goes upstream by itself"},
      {"request_set = { via = \"x\" }", "request_set: \"via\" tells the way that a request came"},
      {"request_set = { Forwarded = \"x\" }", "request_set: \"Forwarded\" tells the way"},
      {"request_set = { x-forwarded-For = \"x\" }", "request_set: \"x-forwarded-For\" tells"},
      {"request_set = { Cookie = \"x\" }", "request_set: \"Cookie\" is never sent"},
      {"request_set = { If-Modified-Since = \"x\" }",
       "request_set: \"If-Modified-Since\" asks for less than an answer"},
      {"response_set = { etag = \"x\" }", "response_set: \"etag\" is worked out for each answer"},
      {"key_fields = [\"Host\"]", "key_fields: \"Host\" belongs to the connection"},
      {"key_fields = [{}]", "key_fields: has a table in it"},
      {"validate = true", "validate: is true or false; expected a table"},
      {"validate = { jsno = true }", "validate: unknown key \"jsno\"; did you mean json?"},
      {"validate = { json = 1 }", "validate.json: is a whole number; expected true or false"},
      {"validate = { require = \"/ip\" }", "validate.require: is a text; expected an array"},
      {"validate = { require = [1] }", "validate.require: has a whole number in it"},
      {"validate = { equal = [\"/ip\"] }", "validate.equal: is an array; expected a table"},
      {"validate = { equal = { \"/ip\" = 1 } }", "validate.equal./ip: is a whole number"},
      {"validate = { reject_if = { \"/a\" = \"x\" } }", "validate.reject_if./a: is a text"},
      {"validate = { reject_if = { \"/a\" = [] } }", "validate.reject_if./a: is empty"},
      {"validate = { reject_if = { \"/a\" = [1.5] } }", "validate.reject_if./a: has a date"},
      {"validate = { reject_if = [] }", "validate.reject_if: is an array"},
      {"validate = { content_type = 1 }", "validate.content_type: is a whole number"},
      {"validate = { min_body = \"1MB\" }", "validate.min_body: \"1MB\": expected a size"},
      {"validate = { min_body = \"9MiB\" }", "validate.min_body: is more than max_body, 8MiB"},
      {"validate = { on_invalid = \"x\" }",
       "validate.on_invalid: stands in the [[route]] itself; expected on_invalid = ..."},
      {"on_invalid = \"serve\"", "on_invalid: \"serve\": expected one of \"refuse\", \"pass\""},
      {"on_invalid = true", "on_invalid: is true or false; expected"},
      {"on_invalid = \"pass\"\nvalidate = { json = false }",
       "on_invalid: is \"pass\", and nothing is asked of an answer; expected rules in validate"},
      {"on_invalid = \"pass\"\nmode = \"rfc9111\"",
       "on_invalid: is \"pass\", and nothing is asked of an answer; expected rules in validate"},
      {"offline = \"true\"", "offline: is a text; expected true or false"},
      {"ttl_by_status = \"5m\"", "ttl_by_status: is a text; expected a table"},
      {"ttl_by_status = { 199 = \"5m\" }", "ttl_by_status: \"199\" is no final status"},
      {"ttl_by_status = { 600 = \"5m\" }", "ttl_by_status: \"600\" is no final status"},
      {"ttl_by_status = { 0404 = \"5m\" }", "ttl_by_status: \"0404\" is no final status"},
      {"ttl_by_status = { 4xx = \"5m\" }", "ttl_by_status: \"4xx\" is no final status"},
      {"ttl_by_status = { 404 = \"5\" }", "ttl_by_status.404: \"5\": expected a duration"},
      {"ttl_by_status = { 404 = true }", "ttl_by_status.404: is true or false; expected"},
      {"max_body = \"65MiB\"", "max_body: \"65MiB\": expected a size from 1B to 64MiB"},
      {"max_body = 0", "max_body: \"0\": expected a size from 1B to 64MiB"},
      {"max_body = true", "max_body: is true or false; expected a size"},
      {"set_cookie = \"keep\"", "set_cookie: \"keep\": expected one of"},
      {"attempts = 0", "attempts: 0: expected a whole number from 1 to 1000"},
      {"attempts = 1001", "attempts: 1001: expected a whole number from 1 to 1000"},
      {"attempts = \"3\"", "attempts: is a text; expected a whole number"},
      {"request_set = [\"a\"]", "request_set: is an array; expected a table"},
      {"request_set = { \"a b\" = \"x\" }", "request_set: \"a b\" is no field's name"},
      {"request_set = { \"\" = \"x\" }", "request_set: \"\" is no field's name"},
      {"request_set = { A = \"x\", a = \"y\" }", "request_set: \"a\" is there twice"},
      {"request_set = { A = 1 }", "request_set.A: is a whole number"},
      {"request_set = { A = \"\" }", "request_set.A: is blank"},
      {"request_set = { A = \"s3cr3t-t0k3n\\r\\nB: c\" }", "request_set.A: is no field's value"},
      {"request_set = { A = \" s3cr3t-t0k3n\" }", "request_set.A: is no field's value"},
      {"request_set = { host = \"x\" }", "request_set: \"host\" is no route's to change"},
      {"request_set = { Authorization = \"s3cr3t-t0k3n\" }",
       "request_set: \"Authorization\" carries a credential; expected a token_file"},
      {"request_remove = \"A\"", "request_remove: is a text; expected an array of field names"},
      {"request_remove = [\"Authorization\"]", "request_remove: \"Authorization\" carries"},
      {"response_set = { A = \"\\u0000\" }", "response_set.A: is no field's value"},
      {"response_remove = [\"a:\"]", "response_remove: \"a:\" is no field's name"},
      {"cache_ttl = \"x\"", "cache_ttl: \"x\": expected a duration"},
      {"cache_ttl = [\"1h\", 2]", "cache_ttl: expected an array of strings"},
      {"cache_ttl = {}", "cache_ttl: expected a value, not a table"},
      {"cache_ttl = 1979-05-27", "cache_ttl: expected a value: \"text\" in quotes"},
      {"cache_ttl = \"\"", "cache_ttl: is blank"},
      {"attempt_timeout = \"1s\"", "attempt_timeout is a setting of upstreams; expected it in an"},
      {"port = 1", "port is a setting of the whole program; expected it above all sections"},
      {"tags = \"x\"", "tags: "},
      {"tags = [\"a b\"]", "tags: \"a b\": expected a tag of visible ASCII"},
      {"tags = [\"a,b\"]", "tags: \"a,b\": expected a tag of visible ASCII"},
      {"tags = [\"a\", \"a\"]", "tags: "},
      {"content_type = \"a/b\"", "content_type: stands in validate"},
  };
  for (const Case& wrong : cases) {
    CAPTURE(wrong.text);
    const std::string error = section_error(kUpstream + kRouteHead + wrong.text + "\n");
    CAPTURE(error);
    CHECK(error.starts_with("6: [[route]] \"x\": " + std::string(wrong.error)));
    CHECK(!contains(error, "s3cr3t"));
  }
  CHECK(section_error(kUpstream + kRouteHead + "name = \"y\"\n") == "6: the key is there twice");
  CHECK(section_error(kUpstream + "[route]\nname = \"a\"\n[route]\nname = \"b\"\n") ==
        "5: [route] is no section; expected [[route]]");
  CHECK(section_error("tags = [\"x\"]\n" + kUpstream + kRouteHead) ==
        "1: tags is a key of routes; expected it in a [[route]]");
  CHECK(section_error("urls = [\"http://a\"]\n" + kUpstream + kRouteHead) ==
        "1: urls is a key of upstreams; expected it in an [upstream.NAME]");
  CHECK(section_error("host = \"a\"\n" + kUpstream + kRouteHead) ==
        "1: host is a key of sections; expected it in an [upstream.NAME] or a [[route]]");
  const auto of_urls = [](const std::string& url) {
    return section_error("[upstream.a]\nurls = [\"" + url + "\"]\n" + kRouteHead);
  };
  CHECK(contains(of_urls("127.0.0.1:8111"), "urls: \"127.0.0.1:8111\": expected"));
  CHECK(contains(of_urls("api.example:81/v1/s3cr3t0123456789"), "\"api.example:81/v1/***\""));
  CHECK(contains(of_urls("sk0123456789abcdef"), "\"***\""));
  CHECK(contains(of_urls("sk0123456789abcdef:81"), "\"***\""));
  CHECK(section_error(kUpstream + kRouteHead + "cache_ttl = \"1h\"\ncache-ttl = \"1h\"\n") ==
        "7: [[route]] \"x\": cache_ttl: is already set in line 6");
}

TEST_CASE("what is wrong with a key of mode rfc9111 is said likewise") {
  const Case cases[] = {
      {"max_variants = 0", "max_variants: 0: expected a whole number from 1 to 1024"},
      {"max_variants = 1025", "max_variants: 1025: expected a whole number from 1 to 1024"},
      {"max_variants = \"8\"", "max_variants: is a text; expected a whole number"},
      {"vary_normalise = \"accept-language\"", "vary_normalise: is a text; expected an array"},
      {"vary_normalise = [\"Accept\"]",
       "vary_normalise: \"accept\": expected \"accept-language\" or \"accept-encoding\""},
      {"vary_normalise = [\"Accept-Languages\"]",
       "vary_normalise: \"accept-languages\" is not known; did you mean accept-language?"},
      {"vary_normalise = [\"accept-encoding\", \"Accept-Encoding\"]",
       "vary_normalise: \"Accept-Encoding\" is there twice"},
      {"ranges = true", "ranges: is true or false; expected a text"},
      {"ranges = \"loose\"", "ranges: \"loose\": expected one of \"strict\", \"lenient\""},
      {"transfer_coding = \"\"", "transfer_coding: is blank"},
      {"transfer_coding = \"x\"", "transfer_coding: \"x\": expected one of \"strict\""},
      {"targeted = \"CDN-Cache-Control\"", "targeted: is a text; expected an array"},
      {"targeted = [\"a b\"]", "targeted: \"a b\" is no field's name"},
      {"targeted = [\"cache-control\"]", "targeted: \"cache-control\" is what these stand in for"},
      {"targeted = [\"Expires\"]", "targeted: \"Expires\" is what these stand in for"},
      {"targeted = [\"Connection\"]", "targeted: \"Connection\" belongs to the connection"},
      {"targeted = [\"A-CC\", \"a-cc\"]", "targeted: \"a-cc\" is there twice"},
      {"validate = { jsno = true }", "validate: unknown key \"jsno\"; did you mean json?"},
  };
  for (const Case& wrong : cases) {
    CAPTURE(wrong.text);
    const std::string error =
        section_error(kUpstream + kRouteHead + "mode = \"rfc9111\"\n" + wrong.text + "\n");
    CAPTURE(error);
    CHECK(error.starts_with("7: [[route]] \"x\": " + std::string(wrong.error)));
  }
}

TEST_CASE("what a mode has no place for is refused, with what to do instead") {
  const Case of_resilient[] = {
      {"cache_ttl = \"5m\"", "Cache-Control: max-age, or a field of targeted"},
      {"cache_ttl_override = true", "Cache-Control: max-age"},
      {"negative_ttl = \"5m\"", "Cache-Control: max-age"},
      {"ttl_by_status = { 404 = \"5m\" }", "Cache-Control: max-age"},
      {"stale_while_revalidate = \"5m\"", "Cache-Control: stale-while-revalidate"},
      {"batch = \"/x\"", "mode = \"resilient\""},
      {"client_errors = \"pass\"", "expected no such line"},
  };
  const Case of_rfc9111[] = {
      {"max_variants = 8", "mode = \"rfc9111\""},
      {"vary_normalise = []", "mode = \"rfc9111\""},
      {"ranges = \"strict\"", "mode = \"rfc9111\""},
      {"transfer_coding = \"lenient\"", "mode = \"rfc9111\""},
      {"targeted = []", "mode = \"rfc9111\""},
  };
  const auto check = [](const Case& wrong, const std::string& mode, const std::string& other) {
    CAPTURE(wrong.text);
    const std::string key(wrong.text, std::string_view(wrong.text).find(' '));
    // Wherever the mode stands.
    for (const bool before : {true, false}) {
      const std::string line = wrong.text + std::string("\n");
      const std::string error =
          section_error(kUpstream + kRouteHead + (before ? mode + line : line + mode));
      CAPTURE(error);
      const int at = before && !mode.empty() ? 7 : 6;
      CHECK(error.starts_with(std::to_string(at) + ": [[route]] \"x\": " + key +
                              ": is a key of mode = \"" + other + "\": "));
      CHECK(contains(error, wrong.error));
    }
  };
  for (const Case& wrong : of_resilient) check(wrong, "mode = \"rfc9111\"\n", "resilient");
  for (const Case& wrong : of_rfc9111) check(wrong, "mode = \"resilient\"\n", "rfc9111");
  for (const Case& wrong : of_rfc9111) check(wrong, "", "rfc9111");
}

TEST_CASE("what we say of each answer is no route's to set or to remove") {
  const auto refused = [](const std::string& line) {
    return contains(section_error(kUpstream + kRouteHead + line + "\n"),
                    "is worked out for each answer; expected any other field");
  };
  for (const std::string field : {"Age", "Cache-Control", "Cache-Status", "Content-Encoding",
                                  "Content-Range", "Date", "etag", "EXPIRES", "X-Request-Id"}) {
    CAPTURE(field);
    CHECK(refused("response_set = { \"" + field + "\" = \"x\" }"));
    CHECK(refused("response_remove = [\"" + field + "\"]"));
  }
  CHECK(refused("response_set = { Last-Modified = \"Tue, 01 Sep 2026 00:00:00 GMT\" }"));
  CHECK(refused("response_remove = [\"Vary\"]"));
}

TEST_CASE("framing and hop-by-hop fields are nobody's to set or to remove") {
  for (const std::string field :
       {"Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "TE", "Trailer",
        "upgrade", "Proxy-Connection", "Proxy-Authorization", "Expect"}) {
    CAPTURE(field);
    for (const std::string& line :
         {"request_set = { \"" + field + "\" = \"x\" }",
          "response_set = { \"" + field + "\" = \"x\" }", "request_remove = [\"" + field + "\"]",
          "response_remove = [\"" + field + "\"]", "key_fields = [\"" + field + "\"]"}) {
      CHECK(contains(section_error(kUpstream + kRouteHead + line + "\n"),
                     "belongs to the connection"));
    }
  }
  // With the token in a field of its own, that one too.
  Start start;
  const std::string upstream =
      kUpstream + "token_file = \"" + start.file("t", kToken) + "\"\ntoken_field = \"X-Api-Key\"\n";
  for (const char* line : {"request_set = { x-api-key = \"x\" }",
                           "request_remove = [\"X-API-KEY\"]", "key_fields = [\"x-api-key\"]"}) {
    const std::string error = section_error(upstream + kRouteHead + line + "\n");
    CHECK(error.starts_with("8: [[route]] \"x\": "));
    CHECK(contains(error, "carries the token of [upstream.geo]"));
  }
}

TEST_CASE("what is wrong with a key of an upstream is said with file, line, upstream and key") {
  const Case cases[] = {
      {"urls = 1", "urls: is a whole number; expected an array of base URLs"},
      {"urls = [1]", "urls: expected an array of strings"},
      {"urls = [\"a.example\"]", "urls: \"a.example\": expected a URL"},
      {"urls = [\"http://a/0123456789abcdef0123?x\"]", "urls: \"http://a/***?***\": expected"},
      {"urls = [\"http://u:s3cr3t@a\"]", "urls: (not shown): expected a URL without credentials"},
      {"urls = [\"http://a/s3cr3t123\", \"http://a/s3cr3t123\"]", "urls: "},
      {"token_file = 1", "token_file: is a whole number"},
      {"token_file = \"/nonexistent/token\"", "token_file: \"/nonexistent/token\": No such file"},
      {"token_file = \"/\"", "token_file: \"/\": "},
      {"token_file = \"a\\u0000b\"", "token_file: "},
      {"token_field = \"a b\"\nurls = [\"http://a\"]",
       "token_field: \"a b\" cannot carry it: no field has that name"},
      {"token_field = \"Host\"", "token_field: \"Host\" cannot carry it: it belongs to the"},
      {"token_field = \"content-length\"", "token_field: \"content-length\" cannot carry it: it "},
      {"token_field = \"Via\"", "token_field: \"Via\" cannot carry it: it tells the way that"},
      {"token_field = \"X-Forwarded-User\"", "token_field: \"X-Forwarded-User\" cannot carry"},
      {"token_field = \"Cookie\"", "token_field: \"Cookie\" cannot carry it: it is a client's own"},
      {"token_field = \"Range\"", "token_field: \"Range\" cannot carry it: it asks for less"},
      {"token_field = \"if-match\"", "token_field: \"if-match\" cannot carry it: it asks for"},
      {"token_field = \"If-None-Match\"", "token_field: \"If-None-Match\" cannot carry it"},
      {"token_field = \"Accept-Encoding\"",
       "token_field: \"Accept-Encoding\" cannot carry it: it is ours to say"},
      {"token_field = \"traceparent\"",
       "token_field: \"traceparent\" cannot carry it: it is each request's own"},
      {"token_query = \"a&b\"", "token_query: \"a&b\" cannot carry it"},
      {"token_field = \"X-Key\"\nurls = [\"http://a\"]",
       "token_field: has no token to send; expected a token_file beside it"},
      {"host = \"a b\"", "host: \"a b\": expected \"upstream\", \"client\", or a host"},
      {"host = 1", "host: is a whole number"},
      {"hots = \"a\"", "unknown key \"hots\"; did you mean host?"},
      {"api_url = \"http://a\"", "unknown key \"api_url\"; did you mean urls?"},
      {"api_token = \"s3cr3t\"", "unknown key \"api_token\"; did you mean token_file?"},
      {"api_token_file = \"/x\"", "unknown key \"api_token_file\"; did you mean token_file?"},
      {"cache_ttl = \"1h\"", "cache_ttl is a setting of routes; expected it in a [[route]]"},
      {"timeout = \"1s\"", "unknown key \"timeout\"; did you mean attempt_timeout?"},
      {"ttl = \"1h\"", "unknown key \"ttl\"; did you mean cache_ttl in a [[route]]?"},
      {"match = \"/x\"", "match is a key of routes; expected it in a [[route]]"},
      {"key_fields = [\"X\"]", "key_fields is a key of routes; expected it in a [[route]]"},
      {"workers = 1", "workers is a setting of the whole program"},
      {"hedge = \"x\"", "hedge: \"x\": expected off, a delay"},
      {"upstream_concurrency = 0", "upstream_concurrency: \"0\": expected a whole number from 1"},
      {"x.y = 1", "unknown key \"x\""},
  };
  for (const Case& wrong : cases) {
    CAPTURE(wrong.text);
    const std::string error =
        section_error("[upstream.geo]\n" + std::string(wrong.text) + "\n" + kRouteHead);
    CAPTURE(error);
    CHECK(error.starts_with("2: [upstream.geo]: " + std::string(wrong.error)));
    CHECK(!contains(error, "s3cr3t"));
    CHECK(!contains(error, "0123456789abcdef"));
  }
  const std::string both =
      section_error("[upstream.geo]\ntoken_field = \"A\"\ntoken_query = \"a\"\n" + kRouteHead);
  CHECK(both.starts_with("3: [upstream.geo]: token_query: is there beside the other"));
}

TEST_CASE("sections of another form say which form is expected") {
  const Case cases[] = {
      {"[routes]\n", "1: unknown section \"routes\"; did you mean [[route]]?"},
      {"[[rout]]\n", "1: unknown section \"rout\"; did you mean [[route]]?"},
      {"[upstreem.geo]\n", "1: unknown section \"upstreem\"; did you mean [upstream.NAME]?"},
      {"[xyzzy]\n", "1: unknown section \"xyzzy\"; expected [upstream.NAME] or [[route]]"},
      {"[port]\n", "1: \"port\" is a setting and no section; expected a value"},
      {"[route]\n", "1: [route] is no section; expected [[route]]"},
      {"[route.x]\n", "1: [route] is no section; expected [[route]]"},
      {"route = 1\n", "1: route is a whole number; expected [[route]]"},
      {"route = []\n", "1: route is empty; expected [[route]]"},
      {"route = [1]\n", "1: route has a whole number in it; expected [[route]]"},
      {"[upstream]\n", "1: [upstream] has no name; expected [upstream.NAME]"},
      {"[upstream]\nurls = [\"x\"]\n", "2: [upstream] has no name; expected [upstream.NAME]"},
      {"[[upstream]]\n", "1: [[upstream]] is no section; expected [upstream.NAME]"},
      {"upstream = \"x\"\n", "1: upstream is a text; expected [upstream.NAME]"},
      {"[[upstream.x]]\n", "1: [[upstream.\"x\"]] is no section; expected single brackets"},
      {"[upstream.\"a b\"]\n", "1: [upstream.\"a b\"]: is no name; expected a name of a-z"},
      {"[upstream.A]\n", "1: [upstream.\"A\"]: is no name; expected a name of a-z"},
      {"[upstream.-a]\n", "1: [upstream.\"-a\"]: is no name"},
  };
  for (const Case& wrong : cases) {
    CAPTURE(wrong.text);
    CHECK(section_error(wrong.text).starts_with(wrong.error));
  }
  const std::string longest(64, 'a');
  CHECK(contains(section_error("[upstream." + longest + "a]\n"), "at most 64"));
  CHECK(contains(section_error("[upstream." + longest + "]\n"), "is not used"));
}

TEST_CASE("names, and what one section says of another") {
  CHECK(section_error(kUpstream + "[[route]]\nmatch = \"/x\"\n") ==
        "3: [[route]]: name: is missing; expected a name of its own, as \"lookup\"");
  CHECK(section_error(kUpstream + "[[route]]\nname = \"x\"\n") ==
        "3: [[route]] \"x\": match: is missing; expected the paths it takes, as "
        "\"/lookup/{ip:ip}\"");
  for (const char* name : {"X", "-x", "a b", "a.b", "\\u00fc"}) {
    CAPTURE(name);
    const std::string error =
        section_error(kUpstream + "[[route]]\nmatch = \"/x\"\nname = \"" + name + "\"\n");
    CHECK(error.starts_with("5: [[route]]: name: \""));
    CHECK(contains(error, "expected a name of a-z, 0-9, _ and -"));
  }
  CHECK(section_error(kUpstream + kRouteHead + "\n[[route]]\nmatch = \"/y\"\nname = \"x\"\n") ==
        "9: [[route]] \"x\": name: is that of the route in line 3 too; expected one of its own");
  CHECK(section_error(kRouteHead) ==
        "1: [[route]] \"x\": upstream: is missing, as are all; expected an [upstream.NAME]");
  CHECK(section_error(kUpstream + "[upstream.b]\n" + kRouteHead) ==
        "4: [[route]] \"x\": upstream: is missing; expected the name of one of the 2 "
        "[upstream.NAME]");
  CHECK(section_error(kUpstream + "[upstream.b]\n" + kRouteHead + "upstream = \"geo\"\n") ==
        "3: [upstream.b]: is not used; expected a [[route]] with upstream = \"b\"");
  CHECK(section_error("[upstream.api]\n") ==
        "1: [upstream.api]: is not used; expected a [[route]] with upstream = \"api\"");
}

TEST_CASE(
    "of several wrong lines in sections the first is named, and a wrong name before its echo") {
  CHECK(section_error(kRouteHead + "zeta = 1\nalpha = 1\n[upstream.geo]\nurls = 1\n")
            .starts_with("4: [[route]] \"x\": unknown key \"zeta\""));
  CHECK(section_error("[upstream.z]\nurls = 1\n[upstream.a]\nurls = 2\n" + kRouteHead)
            .starts_with("2: [upstream.z]: urls"));
  CHECK(section_error(kUpstream + kRouteHead + "upstream = \"goe\"\n").starts_with("6: [[route]]"));
  CHECK(section_error(kUpstream + kRouteHead + "key_fields = [\"A\",\n  \"b c\"]\n")
            .starts_with("7: "));
}

TEST_CASE("a long or hostile name makes a short, clean error") {
  const std::string hostile = "\"" + std::string(5000, 'x') + "\\u001b\"";
  for (const std::string& text :
       {hostile + " = 1\n", "[upstream." + hostile + "]\n", "[" + hostile + "]\n",
        kUpstream + kRouteHead + hostile + " = 1\n",
        kUpstream + kRouteHead + "upstream = " + hostile + "\n",
        kUpstream + kRouteHead + "request_set = { " + hostile + " = \"x\" }\n",
        kUpstream + kRouteHead + "validate = { equal = { " + hostile + " = 1 } }\n",
        kUpstream + kRouteHead + "validate = { reject_if = { \"a\\nb\" = 1 } }\n",
        kUpstream + kRouteHead + "cache_ttl = " + hostile + "\n"}) {
    const std::string error = section_error(text);
    CHECK(error.size() < 400);
    CHECK(!contains(error, "\x1b"));
  }
}
