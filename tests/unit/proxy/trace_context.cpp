#include "proxy/trace_context.h"

#include <doctest/doctest.h>

using namespace holdfast;
using namespace holdfast::proxy;

namespace {

// The specification's own example (section 3.2.2.5).
const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kParent = "00f067aa0ba902b7";
const std::string kExample = "00-" + kTrace + "-" + kParent + "-01";

}  // namespace

TEST_CASE("a traceparent is read as the specification says") {
  const auto parsed = parse_traceparent(kExample);
  REQUIRE(parsed.has_value());
  CHECK(parsed->trace_id == kTrace);
  CHECK(parsed->parent_id == kParent);
  CHECK(parsed->sampled);
  CHECK_FALSE(parse_traceparent("00-" + kTrace + "-" + kParent + "-00")->sampled);
  CHECK_FALSE(parse_traceparent("00-" + kTrace + "-" + kParent + "-f2")->sampled);
  CHECK(parse_traceparent("00-" + kTrace + "-" + kParent + "-ff")->sampled);
}

TEST_CASE("of a later version the part we know is read, and no more is asked of it") {
  CHECK(trace_id_of("01-" + kTrace + "-" + kParent + "-01") == kTrace);
  CHECK(trace_id_of("cc-" + kTrace + "-" + kParent + "-01-what-the-future-brings") == kTrace);
  CHECK(trace_id_of("cc-" + kTrace + "-" + kParent + "-01.what-the-future-brings").empty());
}

TEST_CASE("an invalid traceparent is as none") {
  const std::string good = kExample;
  CHECK(trace_id_of("").empty());
  for (std::size_t cut = 0; cut < good.size(); ++cut)
    CHECK(trace_id_of(good.substr(0, cut)).empty());
  for (const std::string& bad : {
           good + "-",
           good + "0",
           good + "-extra",
           good + ", " + good,  // two field lines
           "ff" + good.substr(2),
           "0g" + good.substr(2),
           "00-" + std::string(32, '0') + "-" + kParent + "-01",
           "00-" + kTrace + "-" + std::string(16, '0') + "-01",
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-" + kParent + "-01",
           "00-" + kTrace + "-" + kParent + "-0x",
           "00_" + kTrace + "-" + kParent + "-01",
           "00-" + kTrace + "_" + kParent + "-01",
           "00-" + kTrace + "-" + kParent + "_01",
       }) {
    CAPTURE(bad);
    CHECK(trace_id_of(bad).empty());
  }
}

TEST_CASE("a trace goes on upstream with a parent id of our own") {
  base::Random random(5);
  const auto fields = continued_trace(kExample, "congo=t61rcWkgMzE", random);
  REQUIRE(fields.size() == 2);
  CHECK(fields[0].name == "traceparent");
  const auto sent = parse_traceparent(fields[0].value);
  REQUIRE(sent.has_value());
  CHECK(sent->trace_id == kTrace);
  CHECK(sent->parent_id != kParent);
  CHECK(sent->sampled);
  CHECK(fields[1].name == "tracestate");
  CHECK(fields[1].value == "congo=t61rcWkgMzE");
  // Undefined flags and the version's own extensions are not passed on.
  const auto later = continued_trace("cc-" + kTrace + "-" + kParent + "-fe-more", "", random);
  REQUIRE(later.size() == 1);
  CHECK(later[0].value.starts_with("00-" + kTrace));
  CHECK(later[0].value.ends_with("-00"));
  CHECK(later[0].value.substr(36, 16) != sent->parent_id);
}

TEST_CASE("tracestate goes nowhere without a valid traceparent, nor if it cannot be a field") {
  base::Random random(5);
  CHECK(continued_trace("", "a=1", random).empty());
  CHECK(continued_trace("00-broken", "a=1", random).empty());
  CHECK(continued_trace(kExample, std::string(513, 'a'), random).size() == 1);
  CHECK(continued_trace(kExample, "a=\xC3\xA4", random).size() == 1);
}
