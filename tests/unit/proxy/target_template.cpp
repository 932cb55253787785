#include "proxy/target_template.h"

#include <doctest/doctest.h>

#include <string>

#include "base/random.h"
#include "proxy/canonical_path.h"
#include "rounds.h"
#include "spellings.h"

using namespace holdfast;
using namespace holdfast::proxy;

namespace {

// What goes upstream for a path, which need not be canonical.
std::string target_for(std::string_view match, std::string_view text, std::string_view path) {
  const auto parsed = PathTemplate::parse(match);
  REQUIRE(parsed);
  const auto wanted = TargetTemplate::parse(text, *parsed);
  if (!wanted) return "error: " + wanted.error().message;
  std::string storage;
  std::string_view canonical;
  REQUIRE(canonical_path(path, storage, canonical) == nullptr);
  Parameters parameters;
  REQUIRE(parsed->match(canonical, parameters));
  std::string out = "was there:";
  wanted->append(parameters, out);
  REQUIRE(out.starts_with("was there:"));
  return out.substr(10);
}

std::string target_error(std::string_view text) {
  const auto match = PathTemplate::parse("/{ip:ip}/{name}/{path:rest}");
  REQUIRE(match);
  const auto parsed = TargetTemplate::parse(text, *match);
  return parsed ? "none" : parsed.error().message;
}

}  // namespace

TEST_CASE("a target is the text with the values in it") {
  CHECK(target_for("/lookup/{ip:ip}", "/geoip/{ip}", "/lookup/::FFFF:808:808") == "/geoip/8.8.8.8");
  CHECK(target_for("/lookup/{ip:ip}", "/geoip/{ip}", "/lookup/2001%3adb8::0001") ==
        "/geoip/2001:db8::1");
  CHECK(target_for("/{a}/{b}", "/{b}/x/{a}/{b}", "/1/2") == "/2/x/1/2");
  CHECK(target_for("/{a}", "/fixed", "/1") == "/fixed");
  CHECK(target_for("/{id:int}", "/v1/@{id}.json", "/12") == "/v1/@12.json");
}

TEST_CASE("a segment goes into a path as it is, escapes and all") {
  CHECK(target_for("/{a}", "/v1/{a}", "/x%2fy z") == "/v1/x%2Fy%20z");
  CHECK(target_for("/{a}", "/v1/{a}", "/a;b=c&d+e%2Bf") == "/v1/a;b=c&d+e%2Bf");
  CHECK(target_for("/f/{p:rest}", "/store/{p}", "/f/a/b%3F//c/") == "/store/a/b%3F//c/");
  CHECK(target_for("/f/{p:rest}", "/store/{p}", "/f/") == "/store/");
}

TEST_CASE("in a query no value begins anything new") {
  CHECK(target_for("/{ip:ip}", "/v1?format=json&ip={ip}", "/2001:db8::1") ==
        "/v1?format=json&ip=2001:db8::1");
  CHECK(target_for("/{q}", "/s?q={q}&x=1", "/a&b=c+d;e%26f%20g") ==
        "/s?q=a%26b%3Dc%2Bd%3Be%26f%20g&x=1");
  CHECK(target_for("/{p:rest}", "/s?path={p}", "/a/b%2Fc@d") == "/s?path=a/b%2Fc%40d");
  CHECK(target_for("/{a}/{b}", "/{a}?{b}", "/1/2") == "/1?2");
  CHECK(target_for("/{a}", "/x?a=?/{a}", "/1") == "/x?a=?/1");
}

TEST_CASE("a target that is wrong says what and where") {
  CHECK(target_error("/{ipp}") ==
        "parameter {ipp}: there is none of that name in \"/{ip:ip}/{name}/{path:rest}\"; "
        "did you mean {ip}?");
  CHECK(target_error("/x?y={other}") ==
        "parameter {other}: there is none of that name in \"/{ip:ip}/{name}/{path:rest}\"");
  CHECK(target_error("/{ip:ip}") ==
        "parameter {ip:ip}: its type stands where it is matched; here it is {ip}");
  CHECK(target_error("/{}").starts_with("parameter {}: there is none of that name"));
  CHECK(target_error("/{ip") == "\"{ip\": a \"{\" that is not closed");
  CHECK(target_error("/{ip{name}}") == "\"{ip{name}}\": a \"{\" that is not closed");
  CHECK(target_error("/a?{ip") == "\"{ip\": a \"{\" that is not closed");
  CHECK(target_error("/ip}") == "a \"}\" that closes nothing");
  CHECK(target_error("/{ip}}") == "a \"}\" that closes nothing");
  CHECK(target_error("/{ip}{name}") == "segment \"{ip}{name}\": more than one parameter");
  CHECK(target_error("geoip/{ip}") == "\"geoip/{ip}\" does not start with a slash");
  CHECK(target_error("/a b/{ip}") == "segment \"a b\": not in canonical form");
  CHECK(target_error("/../{ip}") == "segment \"..\": a dot segment in the path");
  CHECK(target_error("/%4{ip}") == "segment \"%4{ip}\": a malformed percent-encoding in the path");
  CHECK(target_error("/x?a b") == "query: \" \" must be percent-encoded");
  CHECK(target_error("/x?a#b") == "query: \"#\" must be percent-encoded");
  CHECK(target_error("/x?a=%4{ip}") == "query: \"%\" must be percent-encoded");
  CHECK(target_error("/x?a=%41&b=é").starts_with("query: "));
}

TEST_CASE("text around a value can make no dot segment with it") {
  for (const char* segment : {".{name}", "..{name}", "{name}.", "{name}..", "a%2F.{name}",
                              "{path}.", ".{path}", "{name}.;x", "..;{name}", "{name}.%5Cx"}) {
    CAPTURE(segment);
    CHECK(target_error("/" + std::string(segment)).ends_with("a dot segment in the path"));
  }
  for (const char* segment : {".a{name}", "{name}.json", "...{name}", "a.{name}.b"}) {
    CAPTURE(segment);
    CHECK(target_error("/" + std::string(segment)) == "none");
  }
}

TEST_CASE("a target reads back as the values it was made of") {
  const auto match = PathTemplate::parse("/{a}/{b:rest}");
  REQUIRE(match);
  const auto wanted = TargetTemplate::parse("/v1/{a}/x/{b}", *match);
  REQUIRE(wanted);
  const auto back = PathTemplate::parse("/v1/{a}/x/{b:rest}");
  REQUIRE(back);

  const std::uint64_t seed = base::Random::entropy();
  CAPTURE(seed);
  base::Random random(seed);
  std::string storage, again;
  std::size_t tried = 0;
  for (int i = 0; i < holdfast::test::of_rounds(20'000); ++i) {
    const std::string path = proxy::test::random_path(random) + proxy::test::random_path(random);
    CAPTURE(path);
    std::string_view canonical;
    if (canonical_path(path, storage, canonical) != nullptr) continue;
    Parameters parameters;
    if (!match->match(canonical, parameters)) continue;
    ++tried;
    std::string sent;
    wanted->append(parameters, sent);
    CAPTURE(sent);
    std::string_view canonical_sent;
    REQUIRE(canonical_path(sent, again, canonical_sent) == nullptr);
    CHECK(canonical_sent == sent);
    Parameters read;
    REQUIRE(back->match(sent, read));
    CHECK(read[0] == parameters[0]);
    CHECK(read[1] == parameters[1]);
  }
  CHECK(tried > 1'000);
}
