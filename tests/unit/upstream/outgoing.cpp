// What goes upstream besides what a route says.
#include "upstream/outgoing.h"

#include <doctest/doctest.h>

using namespace holdfast::upstream;

namespace {

std::string lines(const Fields& fields) {
  std::string text;
  for (const Field& field : fields) text += field.name + ": " + field.value + "\n";
  return text;
}

}  // namespace

TEST_CASE("the token takes the place of what the request says by its name") {
  const Request request{"/x?a", {{"authorization", "theirs"}, {"Accept", "a"}}};
  const Request bearer = with_credential(request, {}, "t");
  CHECK(bearer.target == "/x?a");
  CHECK(lines(bearer.fields) == "Accept: a\nAuthorization: Bearer t\n");
  const Request field = with_credential(request, {Credential::In::Field, "ACCEPT"}, "t");
  CHECK(lines(field.fields) == "authorization: theirs\nACCEPT: t\n");
  const Request spelled{"/x", {{"X_api_Key", "evil"}, {"x-api_key", "evil"}, {"X_API", "a"}}};
  const Request key = with_credential(spelled, {Credential::In::Field, "X-API-Key"}, "t");
  CHECK(lines(key.fields) == "X_API: a\nX-API-Key: t\n");
  CHECK(with_credential(request, {Credential::In::Query, "key"}, "a&b").target == "/x?a&key=a%26b");
  CHECK(with_credential({"/x", {}}, {Credential::In::Query, "key"}, "t").target == "/x?key=t");
}

TEST_CASE("our own fields are there unless the request has them, and nothing ends a line") {
  CHECK(lines(head_fields({}, "", "holdfast")) ==
        "Accept-Encoding: identity\nUser-Agent: holdfast\nAccept: */*\n");
  CHECK(
      lines(head_fields({{"accept", "a"}, {"user-agent", "u"}, {"host", "b"}}, "c", "holdfast")) ==
      "accept: a\nuser-agent: u\nhost: b\nAccept-Encoding: identity\n");
  CHECK(lines(head_fields({{"X", "a\r\nb"}, {"Y\n", "a"}, {"Z", " "}}, "c", "h"))
            .starts_with("Host: c\nAccept-Encoding"));
}
