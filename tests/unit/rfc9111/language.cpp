#include "rfc9111/language.h"

#include <doctest/doctest.h>

using namespace holdfast::rfc9111;

TEST_CASE("lists that say the same have the same text") {
  struct Row {
    const char* list;
    const char* text;
  };
  for (const Row& row : {
           Row{"en, de", "de, en"},
           {"de, en", "de, en"},
           {"eN,  De", "de, en"},
           {" en ,   de", "de, en"},
           {"fr;q=0.5, de;q=1.0", "de, fr;q=0.5"},
           {"fr ; Q=0.500,de;q=1", "de, fr;q=0.5"},
           {"a;q=0.05, b;q=0.125, c;q=0., d;q=0.000", "b;q=0.125, a;q=0.05, c;q=0, d;q=0"},
           {"gzip, *;q=0", "gzip, *;q=0"},
           {"en, en, en;q=0.5", "en, en;q=0.5"},
           {"", ""},
           {" , ,", ""},
           {"de;q=2, en, X Y, de;q=0.1234, fr;level=1, q;",
            "en, de;q=0.1234, de;q=2, fr;level=1, q;, x y"},
       }) {
    CAPTURE(row.list);
    CHECK(normalised_preferences(row.list) == row.text);
    CHECK(normalised_preferences(row.text) == row.text);
  }
}

TEST_CASE("the best language is the one that nothing else equals") {
  CHECK(best_language("fr;q=0.5, DE;q=1.0") == "de");
  CHECK(best_language("en-GB") == "en-gb");
  CHECK(best_language("en;q=0.1, *;q=0.05") == "en");
  for (const char* list : {"", "en, de", "*", "*, en;q=0.5", "en;q=0", "en;q=2", "en, x y"}) {
    CAPTURE(list);
    CHECK(!best_language(list));
  }
}
