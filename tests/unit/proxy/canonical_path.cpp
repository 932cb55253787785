#include "proxy/canonical_path.h"

#include <doctest/doctest.h>

#include <string>

#include "base/random.h"
#include "rounds.h"
#include "spellings.h"

using namespace holdfast;
using namespace holdfast::proxy;
using namespace std::string_view_literals;

namespace {

std::string canonical_form(std::string_view path) {
  std::string storage;
  std::string_view result = "untouched";
  if (const char* objection = canonical_path(path, storage, result)) {
    CHECK(result == "untouched");
    return "refused: " + std::string(objection);
  }
  return std::string(result);
}

bool refused(std::string_view path) {
  return canonical_form(path).starts_with("refused: ");
}

}  // namespace

TEST_CASE("a canonical path stays as it is, without a copy") {
  for (const std::string_view path : {"/"sv,
                                      "/lookup/8.8.8.8"sv,
                                      "/lookup/2001:db8::1"sv,
                                      "/a/b/"sv,
                                      "//"sv,
                                      "/a//b"sv,
                                      "/a%2Fb"sv,
                                      "/a%5Cb"sv,
                                      "/a%20b"sv,
                                      "/%C3%A9"sv,
                                      "/-._~!$&'()*+,;=:@"sv,
                                      "/%25"sv,
                                      "/%252e%252e/"sv,
                                      "/..."sv,
                                      "/.a"sv,
                                      "/a."sv,
                                      "/a.."sv,
                                      "/..a"sv,
                                      "/.well-known/x"sv,
                                      "/a;.."sv,
                                      "/%3F%23"sv}) {
    CAPTURE(path);
    std::string storage;
    const std::size_t capacity = storage.capacity();
    std::string_view result;
    CHECK(canonical_path(path, storage, result) == nullptr);
    CHECK(result == path);
    CHECK(static_cast<const void*>(result.data()) == path.data());
    CHECK(storage.empty());
    CHECK(storage.capacity() == capacity);
  }
}

TEST_CASE("unreserved characters are decoded, other escapes only get upper-case hex") {
  CHECK(canonical_form("/%61%7A%41%5a%30%39%2d%2E%5f%7e") == "/azAZ09-._~");
  CHECK(canonical_form("/a%2fb%5cc%3ad") == "/a%2Fb%5Cc%3Ad");
  CHECK(canonical_form("/%21%24%26%27%28%29%2a%2b%2c%3b%3d%40") ==
        "/%21%24%26%27%28%29%2A%2B%2C%3B%3D%40");
  CHECK(canonical_form("/%3f%23%25") == "/%3F%23%25");
  CHECK(canonical_form("/%2561") == "/%2561");  // decoded once
}

TEST_CASE("what belongs into no URI is escaped, what is escaped stays so") {
  CHECK(canonical_form("/a b") == "/a%20b");
  CHECK(canonical_form("/\"<>[]^`{|}") == "/%22%3C%3E%5B%5D%5E%60%7B%7C%7D");
  CHECK(canonical_form("/%22%3c%3e%5b%5d%5e%60%7b%7c%7d") == "/%22%3C%3E%5B%5D%5E%60%7B%7C%7D");
  CHECK(canonical_form("/\xc3\xa9") == "/%C3%A9");
  CHECK(canonical_form("/%c3%a9") == "/%C3%A9");
  CHECK(canonical_form("/\xff\x80") == "/%FF%80");  // no UTF-8, and none of our business
}

TEST_CASE("double slashes are kept") {
  CHECK(canonical_form("//a///%62//") == "//a///b//");
}

TEST_CASE("what servers read in two ways is refused") {
  for (const std::string_view path :
       {"/%"sv,          "/%2"sv,       "/%zz"sv,      "/%%41"sv,      "/%4"sv,
        "/a%"sv,         "/%2g/"sv,     "/%u0041"sv,   "/%00"sv,       "/a\0b"sv,
        "/%0a"sv,        "/a%0D%0Ab"sv, "/\n"sv,       "/\t"sv,        "/%1f"sv,
        "/%7f"sv,        "/\x7f"sv,     "/a\\b"sv,     "/..\\x"sv,     "/a?b"sv,
        "/a#b"sv,        "/."sv,        "/.."sv,       "/./"sv,        "/../"sv,
        "/a/../b"sv,     "/a/."sv,      "/%2e"sv,      "/%2e%2E/"sv,   "/.%2e"sv,
        "/%2E./x"sv,     "/..%2F.."sv,  "/..%5c.."sv,  "/a%2f..%2f"sv, "/a%5c."sv,
        "/a%2F%2e%2e"sv, "/..;x"sv,     "/.;"sv,       "/..;/x"sv,     "/%2e%2e;a=b/x"sv,
        "/..%3bx"sv,     "/..%3B/"sv,   "/a%2F..;x"sv, "/.%2Fa"sv}) {
    CAPTURE(path);
    CHECK(refused(path));
  }
}

TEST_CASE("the refusal says why") {
  CHECK(canonical_form("/%zz") == "refused: a malformed percent-encoding in the path");
  CHECK(canonical_form("/%00") == "refused: a control character in the path");
  CHECK(canonical_form("/a\\b") == "refused: a backslash in the path");
  CHECK(canonical_form("/a/..") == "refused: a dot segment in the path");
  CHECK(canonical_form("*") == "refused: a path that does not start with a slash");
  CHECK(canonical_form("") == "refused: a path that does not start with a slash");
  CHECK(canonical_form("a/b") == "refused: a path that does not start with a slash");
}

TEST_CASE("a byte means the same wherever it stands in a path") {
  for (int c = 0; c < 256; ++c) {
    const char byte = static_cast<char>(c);
    const std::string alone = canonical_form(std::string("/x") + byte + "x");
    for (const std::size_t size : {7U, 8U, 15U, 16U, 17U, 30U}) {
      for (std::size_t at = 1; at < size; ++at) {
        std::string path(size, 'x');
        path[0] = '/';
        path[at] = byte;
        CAPTURE(path);
        const std::string form = canonical_form(path);
        if (alone.starts_with("refused")) {
          CHECK(form == alone);
        } else {
          CHECK(form ==
                path.substr(0, at) + alone.substr(2, alone.size() - 3) + path.substr(at + 1));
        }
      }
    }
  }
}

TEST_CASE("a dot segment is found wherever it stands in a path") {
  for (const std::string_view text : {"/.", "/..", "/./", "/../", "/.;", "/..;v=1"}) {
    for (const std::size_t before : {0U, 1U, 5U, 6U, 7U, 8U, 9U, 13U, 14U, 15U, 16U, 17U}) {
      for (const std::size_t after : {0U, 1U, 7U, 8U, 9U}) {
        if (after > 0 && !text.ends_with('/')) continue;
        const std::string path = (before > 0 ? "/" + std::string(before - 1, 'x') : "") +
                                 std::string(text) + std::string(after, 'x');
        CAPTURE(path);
        CHECK(canonical_form(path) == "refused: a dot segment in the path");
      }
    }
  }
}

TEST_CASE("storage is used again from path to path") {
  std::string storage;
  std::string_view result;
  REQUIRE(canonical_path("/" + std::string(1000, ' '), storage, result) == nullptr);
  CHECK(result.size() == 3001);
  const char* const place = storage.data();
  REQUIRE(canonical_path("/%41", storage, result) == nullptr);
  CHECK(result == "/A");
  CHECK(storage.data() == place);
}

TEST_CASE("all spellings of a path have one canonical form, and different paths have two") {
  const std::uint64_t seed = base::Random::entropy();
  CAPTURE(seed);
  base::Random random(seed);
  std::string storage;
  std::size_t tried = 0;
  for (int i = 0; i < holdfast::test::of_rounds(20'000); ++i) {
    const std::string path = proxy::test::random_path(random);
    std::string_view form;
    if (canonical_path(path, storage, form) != nullptr) continue;
    ++tried;
    const std::string first(form);
    CAPTURE(path);
    CAPTURE(first);
    CHECK(canonical_form(first) == first);
    CHECK(proxy::test::meaning(first) == proxy::test::meaning(path));
    const std::string other = proxy::test::respelt(path, random);
    CAPTURE(other);
    CHECK(canonical_form(other) == first);
    const std::string different = proxy::test::random_path(random);
    if (refused(different)) continue;
    CHECK((canonical_form(different) == first) ==
          (proxy::test::meaning(different) == proxy::test::meaning(path)));
  }
  CHECK(tried > std::size_t{holdfast::test::of_rounds(5'000)});
}
