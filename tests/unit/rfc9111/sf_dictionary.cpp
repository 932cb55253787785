#include "rfc9111/sf_dictionary.h"

#include <doctest/doctest.h>

using namespace holdfast::rfc9111;

namespace {

SfMember only_member(std::string_view text) {
  const auto members = parse_sf_dictionary(text);
  REQUIRE(members);
  REQUIRE(members->size() == 1);
  return members->front();
}

}  // namespace

TEST_CASE("each type of a structured field is told from the others") {
  struct Row {
    const char* text;
    SfType type;
  };
  for (const Row& row : {
           Row{"a=1", SfType::Integer},
           {"a=-999999999999999", SfType::Integer},
           {"a=1.5", SfType::Decimal},
           {"a=123456789012.125", SfType::Decimal},
           {"a=\"x\"", SfType::String},
           {"a=x", SfType::Token},
           {"a=*x:/y'", SfType::Token},
           {"a=::", SfType::ByteSequence},
           {"a=:aGVsbG8=:", SfType::ByteSequence},
           {"a=:aGVsbG8:", SfType::ByteSequence},
           {"a", SfType::Boolean},
           {"a=?0", SfType::Boolean},
           {"a=@1659578233", SfType::Date},
           {"a=%\"f%c3%bc\"", SfType::DisplayString},
           {"a=()", SfType::InnerList},
           {"a=( \"x\" 1;q=2  y );p", SfType::InnerList},
           {"a=1;x;y=?0; z=\"s\"", SfType::Integer},
           {"*_-.9=1", SfType::Integer},
       }) {
    CAPTURE(row.text);
    CHECK(only_member(row.text).type == row.type);
  }
}

TEST_CASE("the values that cache directives have are read") {
  CHECK(only_member("max-age=003600").integer == 3600);
  CHECK(only_member("max-age=-5").integer == -5);
  CHECK(only_member("no-store").boolean);
  CHECK(only_member("no-store=?1").boolean);
  CHECK(!only_member("no-store=?0").boolean);
  CHECK(only_member("private=\"a, \\\"b\\\\\"").text == "a, \"b\\");
  CHECK(only_member("private=Set-Cookie").text == "Set-Cookie");
}

TEST_CASE("of one key the last value counts, and members keep their order") {
  const auto members = parse_sf_dictionary("a=1, b , a=2 \t,\t c;x=1 ");
  REQUIRE(members);
  REQUIRE(members->size() == 3);
  CHECK((*members)[0].key == "a");
  CHECK((*members)[0].integer == 2);
  CHECK((*members)[1].key == "b");
  CHECK((*members)[2].key == "c");
  CHECK(parse_sf_dictionary("")->empty());
  CHECK(parse_sf_dictionary("   ")->empty());
}

TEST_CASE("what is malformed anywhere is no dictionary at all") {
  for (const char* text :
       {"a=1,", "a=1,,b", ",a", "a=", "a =1", "a= 1", "A=1", "a=1 b", "\ta", "9a", "a=1;", "a=1;B",
        "a=1 ;b", "a=1;b=", "&&&&&", "a=1, &",
        // numbers
        "a=-", "a=1.", "a=.5", "a=1.2345", "a=1234567890123456", "a=1234567890123.1", "a=--1",
        "a=+1", "a=1e3",
        // strings
        "a=\"x", "a=\"\\x\"", "a=\"\\", "a=\"\x7f\"", "a=\"\xc3\xbc\"", "a='x'x\"",
        // byte sequences, booleans, dates, display strings
        "a=:aGVsbG8=", "a=:a:", "a=:aG=a:", "a=:aGVs=:", "a=:a\"b:", "a=?", "a=?2", "a=?10", "a=@",
        "a=@1.5", "a=@x", "a=%", "a=%\"x", "a=%\"%C3%BC\"", "a=%\"%c3\"", "a=%\"%e\"",
        "a=%\"\xc3\xbc\"", "a=%\"%ed%a0%80\"", "a=%\"%f4%90%80%80\"", "a=%\"%c0%80\"",
        // inner lists
        "a=(", "a=(1", "a=(1 ", "a=(1,2)", "a=((1))", "a=(1\t2)", "a=(1;)"}) {
    CAPTURE(text);
    CHECK(!parse_sf_dictionary(text));
  }
}
