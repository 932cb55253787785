#include "upstream/message.h"

#include <doctest/doctest.h>

#include <set>

namespace holdfast::upstream {

TEST_CASE("a field is found whatever the case of its name, and the first one wins") {
  const Fields fields{{"ETag", "\"a\""}, {"retry-after", "1"}, {"Retry-After", "2"}};
  REQUIRE(find_field(fields, "Retry-After") != nullptr);
  CHECK(*find_field(fields, "Retry-After") == "1");
  CHECK(*find_field(fields, "etag") == "\"a\"");
  CHECK(find_field(fields, "etags") == nullptr);
  CHECK(find_field(fields, "eta") == nullptr);
  CHECK(find_field({}, "etag") == nullptr);
}

TEST_CASE("a reply that ends its connection says so, or is a broken one") {
  Reply reply;
  reply.fields = {{"connection", "keep-alive"}};
  CHECK_FALSE(reply.ended_connection());
  reply.fields.push_back({"Connection", "Upgrade ,\tClose"});
  CHECK(reply.ended_connection());
  reply.fields = {{"Connection", "closed, clos"}, {"X-Connection", "close"}};
  CHECK_FALSE(reply.ended_connection());
  reply.transport = Outcome::Reset;
  CHECK_FALSE(reply.ended_connection());  // while it was set up
  reply.phase = Phase::Answer;
  CHECK(reply.ended_connection());
  reply.own_lack = true;
  CHECK_FALSE(reply.ended_connection());
}

TEST_CASE("every outcome has a name of its own") {
  std::set<std::string_view> names;
  for (int i = 0; i < kOutcomes; ++i) names.insert(to_string(static_cast<Outcome>(i)));
  CHECK(names.size() == kOutcomes);
  CHECK(names.count("unknown") == 0);
}

}  // namespace holdfast::upstream
