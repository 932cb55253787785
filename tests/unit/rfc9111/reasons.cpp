// The words for what is not kept, here and in the manual, holdfast(8).
#include "rfc9111/reasons.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <string>

using namespace holdfast::rfc9111;

TEST_CASE("each reason has one word, which Cache-Status can say as it is") {
  std::set<std::string_view> words;
  for (const ReasonWords& one : kReasons) {
    CAPTURE(one.word);
    CHECK(words.insert(one.word).second);
    CHECK(one.word.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") == one.word.npos);
    CHECK(meaning(one.word) == one.meaning);
    CHECK(meaning(one.reason) == one.meaning);
    CHECK(word(one.reason) == one.word);
  }
  CHECK(meaning("stale-if-error").empty());
}

TEST_CASE("the manual has the same words with the same meanings") {
  const char* const path = std::getenv("PAGE");
  REQUIRE(path != nullptr);
  std::ifstream page(path);
  std::string line;
  while (std::getline(page, line) && !line.starts_with("<!-- reasons")) {
  }
  std::string table;
  while (std::getline(page, line) && !line.starts_with("<!-- end")) {
    if (line.starts_with("| `")) table += line + "\n";
  }
  std::string expected;
  for (const ReasonWords& one : kReasons) {
    expected += "| `" + std::string(one.word) + "` | " + std::string(one.meaning) + " |\n";
  }
  CHECK(table == expected);
}
