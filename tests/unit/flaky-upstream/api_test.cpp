// The APIs beside the lookup: each names what it was asked for, and meets every fault.
#include <doctest/doctest.h>

#include "api.h"
#include "faults.h"
#include "harness.h"

using namespace holdfast::flaky;

namespace {

UpstreamSettings playing(const std::string& name) {
  auto api = make_api(name);
  REQUIRE(api);
  UpstreamSettings settings;
  settings.api = std::shared_ptr<const Api>(std::move(*api));
  return settings;
}

struct Sample {
  const char* api;
  const char* target;
  const char* key;
};
constexpr Sample kSamples[] = {
    {"weather", "/v1/forecast?latitude=52.50&longitude=-13.4",
     "/v1/forecast?latitude=52.5&longitude=-13.4&units=metric"},
    {"registry", "/packages/%40scope%2Fname", "/packages/@scope/name"},
    {"search", "/search?q=a%26b&page=2", "/search?q=a&b&page=2 en"},
};

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("each API answers by what was asked for alone, and says what that was") {
  for (const Sample& sample : kSamples) {
    CAPTURE(sample.api);
    Instance instance(playing(sample.api));
    const Reply reply = ask(instance.port(), sample.target);
    CHECK(reply.status == 200);
    CHECK(is_json(reply.content));
    CHECK(ask(instance.port(), sample.target).content == reply.content);
    CHECK(ask(instance.port(), "/nothing").status == 404);
    CHECK(instance.count("requests") == 3);
    const std::string stats = instance.control("/ips").content;
    CHECK(holds(stats, "\"" + std::string(sample.key) + "\":2"));
  }
  Instance weather(playing("weather"));
  const auto forecast = [&](const char* query) {
    return ask(weather.port(), "/v1/forecast?" + std::string(query));
  };
  CHECK(holds(forecast("latitude=1&longitude=2.50").content, "\"latitude\":1,\"longitude\":2.5,"));
  CHECK(holds(forecast("longitude=2&latitude=1&units=imperial").content, "\"units\":\"imperial\""));
  CHECK(forecast("latitude=91&longitude=0").status == 400);
  CHECK(forecast("latitude=1").status == 400);
  CHECK(forecast("latitude=1&longitude=2&units=kelvin").status == 400);

  Instance registry(playing("registry"));
  const Reply package = ask(registry.port(), "/packages/caf%C3%A9");
  CHECK(holds(package.content, "\"name\":\"café\""));
  CHECK(ask(registry.port(), "/packages/caf%C3%A9",
            "If-None-Match: " + package.field("ETag") + "\r\n")
            .status == 304);
  CHECK(package.field("Surrogate-Key") == "packages package/caf%C3%A9");
  const Reply missing = ask(registry.port(), "/packages/missing-1");
  CHECK(missing.status == 404);
  CHECK(holds(missing.content, "package_not_found"));
  CHECK(ask(registry.port(), "/packages/a/b").status == 400);

  Instance search(playing("search"));
  const auto language = [&](const char* wanted) {
    return ask(search.port(), "/search?q=x", "Accept-Language: " + std::string(wanted) + "\r\n")
        .field("Content-Language");
  };
  CHECK(language("de-AT, en") == "de");
  CHECK(language("xx, fr;q=0.5") == "fr");
  CHECK(language("xx") == "en");
  CHECK(ask(search.port(), "/search?q=x&page=0").status == 400);
  // Its pages lead from one to the next, and end.
  std::string next = "/search?q=a%26b";
  int pages = 0;
  for (; !next.empty() && pages < 20; ++pages) {
    const std::string content = ask(search.port(), next).content;
    const std::size_t at = content.find("\"next\":\"");
    next = at == std::string::npos ? "" : content.substr(at + 8, content.rfind('"') - at - 8);
  }
  CHECK(pages >= 1);
  CHECK(pages <= 9);
}

TEST_CASE("a search may be posted as a form, and nothing else may") {
  Request post;
  post.method = "POST";
  post.target = "/search";
  post.content = "q=a%26b&page=2";
  Request got;
  got.method = "GET";
  got.target = "/search?q=a%26b&page=2";
  const auto search = make_search_api();
  CHECK(search->answer(post, 0)->message.content == search->answer(got, 0)->message.content);
  CHECK(search->answer(post, 0)->key == search->answer(got, 0)->key);
  CHECK(search->takes_post());
  CHECK_FALSE(make_weather_api()->takes_post());
}

TEST_CASE("every fault is played on every API") {
  for (const Sample& sample : kSamples) {
    Instance instance(playing(sample.api));
    const std::string truth = ask(instance.port(), sample.target).content;
    for (const FaultInfo& info : all_faults()) {
      // Those that wait are the same for all, and have their own tests.
      if (info.fault == Fault::Hang || info.fault == Fault::Drip || info.fault == Fault::Slow)
        continue;
      CAPTURE(sample.api);
      CAPTURE(info.name);
      REQUIRE(instance.put("/faults", std::string(info.name) + "=1").status == 200);
      const Reply reply = ask(instance.port(), sample.target);
      CHECK((reply.status != 200 || reply.content != truth || info.fault == Fault::ShortBody ||
             info.fault == Fault::ShortChunked));
      CHECK(instance.count(info.name) == 1);
    }
  }
}

TEST_CASE("a token may be asked for in a field or in the query, and what came can be read back") {
  UpstreamSettings in_field = playing("registry");
  in_field.token = "s3cret";
  in_field.token_field = "X-Api-Key";
  Instance field(in_field);
  CHECK(ask(field.port(), "/packages/a", "Authorization: Bearer s3cret\r\n").status == 401);
  CHECK(ask(field.port(), "/packages/a", "x-api-key: s3cret\r\n").status == 200);
  CHECK(holds(field.control("/heard").content, "\"x-api-key: s3cret\""));

  UpstreamSettings in_query = playing("registry");
  in_query.token = "s&=t";
  in_query.token_query = "key";
  Instance query(in_query);
  CHECK(ask(query.port(), "/packages/a?key=s").status == 401);
  CHECK(ask(query.port(), "/packages/a?key=s%26%3Dt").status == 200);
  REQUIRE(query.put("/faults", "redirect-echo=1").status == 200);
  CHECK(ask(query.port(), "/packages/a?key=s%26%3Dt").field("Location") ==
        "https://moved.example/s&=t/packages/a?key=s%26%3Dt");
  CHECK(holds(query.control("/heard").content, "\"target\":\"/packages/a?key=s\""));
  CHECK(query.put("/reset").status == 200);
  CHECK(query.control("/heard").content == "{\"requests\":[]}");
}

TEST_CASE("an API that there is not is named beside those that there are") {
  const auto none = make_api("wether");
  REQUIRE(!none);
  CHECK(holds(none.error().message, "wether"));
  for (const std::string& name : api_names()) {
    CHECK(holds(none.error().message, name));
    CHECK(make_api(name));
  }
}
