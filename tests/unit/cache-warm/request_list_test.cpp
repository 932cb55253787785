#include "request_list.h"

#include <doctest/doctest.h>

#include <sstream>
#include <stdexcept>

using namespace holdfast::warm;

namespace {

const std::string kDaemon = "http://127.0.0.1:3000";

struct Read {
  explicit Read(const std::string& text, std::size_t most = 1000, Pattern pattern = {},
                Site site = Site(kDaemon))
      : list(most, std::move(pattern), std::move(site)) {
    std::istringstream in(text);
    ok = list.read(in, "list");
    for (std::size_t i = 0; i < list.size(); ++i) texts.push_back(list.name(i));
  }
  // The only problem there is.
  std::string problem() const {
    REQUIRE(list.problem_count() == 1);
    return list.problems()[0].reason;
  }
  RequestList list;
  bool ok = false;
  std::vector<std::string> texts;
};

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("comments, blank lines, CRLF, a byte order mark and a missing last line end are fine") {
  const Read read(
      "\xef\xbb\xbf"
      "8.8.8.8\r\n\r\n# all of it\n  1.1.1.1 # resolver\t\n\n2001:db8::1");
  CHECK(read.ok);
  CHECK(read.texts == Texts{"8.8.8.8", "1.1.1.1", "2001:db8::1"});
  CHECK(read.list.problem_count() == 0);
}

TEST_CASE("an address is kept once, in whatever spellings and blocks it comes") {
  const Read read(
      "2001:DB8:0:0::1\n2001:db8::1\n::ffff:192.0.2.1\n192.0.2.1\n192.0.2.0/30\n::ffff:c000:201\n");
  CHECK(read.texts == Texts{"2001:db8::1", "192.0.2.1", "192.0.2.0", "192.0.2.2", "192.0.2.3"});
  CHECK(read.list.duplicates() == 4);
}

TEST_CASE("a block is every address of it") {
  CHECK(Read("192.0.2.254/31").texts == Texts{"192.0.2.254", "192.0.2.255"});
  CHECK(Read("192.0.2.7/32").texts == Texts{"192.0.2.7"});
  CHECK(Read("2001:db8::fffe/127").texts == Texts{"2001:db8::fffe", "2001:db8::ffff"});
  CHECK(Read("2001:db8::/128").texts == Texts{"2001:db8::"});
  CHECK(Read("::ffff:192.0.2.4/127").texts == Texts{"192.0.2.4", "192.0.2.5"});
  const Read large("10.1.254.0/23");
  CHECK(large.texts.size() == 512);
  CHECK(large.texts.front() == "10.1.254.0");
  CHECK(large.texts.back() == "10.1.255.255");
}

TEST_CASE("a bad line is named with its place and reason, and the others stay") {
  const Read read(
      "8.8.8.8\n8.8.8\nexample.com\n8.8.8.8 1.1.1.1\n010.1.1.1\nfe80::1%eth0\n10.0.0.1/24\n"
      "10.0.0.0/33\n10.0.0.0/\n10.0.0.0/-1\n10.0.0.0/2x\nx/24\n2001:db8::/129\n1.1.1.1\n");
  CHECK(read.ok);
  CHECK(read.texts == Texts{"8.8.8.8", "1.1.1.1"});
  CHECK(read.list.problem_count() == 12);
  const auto& problems = read.list.problems();
  CHECK(problems[0].place == "list:2");
  CHECK(problems[0].text == "8.8.8");
  CHECK(problems[0].reason == "not an IP address");
  CHECK(problems[5].place == "list:7");
  CHECK(problems[5].reason.find("the block is 10.0.0.0/24") != std::string::npos);
  CHECK(problems[11].place == "list:13");
}

TEST_CASE("what is no text is reported readably, shortened, and costs no memory") {
  std::string wild("\x1b[2J\0\xff", 6);
  wild += std::string(5'000'000, 'x') + "\n8.8.8.8\n" + std::string(1'000'000, '\n') + "y\n";
  const Read read(wild);
  CHECK(read.ok);
  CHECK(read.texts == Texts{"8.8.8.8"});
  REQUIRE(read.list.problems().size() == 2);
  CHECK(read.list.problems()[0].text.starts_with("\\x1b[2J\\x00\\xffxxx"));
  CHECK(read.list.problems()[0].text.size() < 100);
  CHECK(read.list.problems()[1].place == "list:1000003");
}

TEST_CASE("of very many bad lines all are counted and the first hundred kept") {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "bad\n";
  const Read read(text + "8.8.8.8\n");
  CHECK(read.list.problem_count() == 1000);
  CHECK(read.list.problems().size() == 100);
  CHECK(read.texts == Texts{"8.8.8.8"});
}

TEST_CASE("the limit holds for all lists together, and what is listed again does not count") {
  CHECK(Read("10.0.0.0/30\n10.0.0.0/30\n10.0.0.1\n", 4).ok);
  for (const char* text :
       {"10.0.0.0/29\n", "10.0.0.0/30\n10.0.0.4\n", "10.0.0.0/30\n10.0.0.2/30\n10.0.0.4/30",
        "0.0.0.0/0", "::/0", "2001:db8::/64", "::ffff:0:0/96"}) {
    CAPTURE(text);
    const Read read(text, 4);
    CHECK_FALSE(read.ok);
    CHECK(read.list.too_many());
    CHECK(read.list.size() <= 4);
    CHECK(read.list.problems().back().reason.find("the limit for all lists is 4") !=
          std::string::npos);
  }
}

TEST_CASE("a byte order mark within is where lists were put together") {
  const Read read(
      "8.8.8.8\r\n\xef\xbb\xbf"
      "1.1.1.1\r\n\xef\xbb\xbf\r\n9.9.\xef\xbb\xbf"
      "9.9\r\n");
  CHECK(read.texts == Texts{"8.8.8.8", "1.1.1.1"});
  CHECK(read.list.problem_count() == 1);
}

TEST_CASE("a list that is no UTF-8 text is one problem that names it") {
  const auto is_unread = [](const std::string& text, const std::string& reason) {
    const Read read(text);
    CAPTURE(reason);
    CHECK(read.ok);
    CHECK(read.texts.empty());
    CHECK(read.list.problem_count() == 0);
    REQUIRE(read.list.unread().size() == 1);
    CHECK(read.list.unread()[0].name == "list");
    CHECK(read.list.unread()[0].reason.find(reason) != std::string::npos);
    CHECK(!read.list.is_whole());
  };
  std::string utf16;
  for (const char c : std::string("8.8.8.8\r\n1.1.1.1\r\n")) utf16 += {c, '\0'};
  is_unread("\xff\xfe" + utf16, "UTF-16");
  is_unread(utf16, "UTF-16");
  is_unread("\xfe\xff" + ('\0' + utf16), "UTF-16");
  is_unread(std::string("\0\0\xfe\xff\0\0\0\x38", 8), "UTF-16");
  is_unread("\x1f\x8b\x08 ...", "compressed");
  // A NUL elsewhere is a bad line, and no more.
  const Read stray(std::string("8.8.8.8\n\0\n1.1.1.1\n", 18));
  CHECK(stray.texts == Texts{"8.8.8.8", "1.1.1.1"});
  CHECK(stray.list.problem_count() == 1);
  CHECK(stray.list.unread().empty());
}

TEST_CASE("a list whose reading fails is named, and the next one is read") {
  struct Failing : std::streambuf {
    int_type underflow() override { throw std::runtime_error("the disk fails"); }
    std::streamsize xsgetn(char*, std::streamsize) override { return underflow(); }
  } failing;
  std::istream in(&failing);
  std::istringstream next("8.8.8.8\n");
  RequestList list(10, {}, Site(kDaemon));
  CHECK(list.read(in, "list"));
  CHECK(list.read(next, "next"));
  CHECK(list.size() == 1);
  CHECK(list.problem_count() == 0);
  REQUIRE(list.unread().size() == 1);
  CHECK(list.unread()[0].name == "list");
  CHECK(list.unread()[0].reason.find("cannot be read") != std::string::npos);
}

TEST_CASE("a path is asked for as it is, with its query, beside addresses") {
  const Read read(
      "/v1/users/7?full=1&q=a%20b   # a comment\n192.0.2.0/31\n/\n/?\n/a//b/\n/a#part\n"
      "2001:db8::1\n");
  CHECK(read.list.is_whole());
  CHECK(read.texts == Texts{"/v1/users/7?full=1&q=a%20b", "192.0.2.0", "192.0.2.1", "/", "/?",
                            "/a//b/", "/a", "2001:db8::1"});
  CHECK(read.list.target(0) == "/v1/users/7?full=1&q=a%20b");
  CHECK(read.list.target(1) == "/lookup/192.0.2.0");
  CHECK(read.list.target(7) == "/lookup/2001:db8::1");
  CHECK_FALSE(read.list.is_address(0));
  CHECK(read.list.is_address(1));
  CHECK(read.list.paths() == 5);
}

TEST_CASE("a path is kept once in all the spellings that are one request to the daemon") {
  const Read read(
      "/caf\xc3\xa9?q=%c3%a9\n/caf%C3%A9?q=%C3%A9\n/%63af%c3%a9?q=\xc3\xa9\n"
      "http://127.0.0.1:3000/caf%C3%A9?q=%C3%A9#top\n/caf%C3%A9\n");
  CHECK(read.texts == Texts{"/caf%C3%A9?q=%C3%A9", "/caf%C3%A9"});
  CHECK(read.list.duplicates() == 3);
}

TEST_CASE("a path that the daemon would refuse is a bad line, and says why") {
  for (const auto& bad :
       std::initializer_list<std::pair<const char*, const char*>>{{"/a b", "a blank"},
                                                                  {"/a/../b", "dot segment"},
                                                                  {"/a%2", "percent-encoding"},
                                                                  {"/a?b=%", "percent-encoding"},
                                                                  {"/a\\b", "backslash"},
                                                                  {"/a\x01", "control"}}) {
    CAPTURE(bad.first);
    const Read read(std::string(bad.first) + "\n/good\n");
    CHECK(read.texts == Texts{"/good"});
    CHECK(read.problem().find(bad.second) != std::string::npos);
    CHECK(read.list.problems()[0].place == "list:1");
  }
}

TEST_CASE("a URL of the daemon's is its path and query, any other is a bad line") {
  const std::string daemon = "http://cache.example:8080";
  for (const auto& good : std::initializer_list<std::pair<const char*, const char*>>{
           {"http://cache.example:8080/a?b=1#c", "/a?b=1"},
           {"HTTP://Cache.Example:8080", "/"},
           {"https://cache.example:8080?q", "/?q"}}) {
    CAPTURE(good.first);
    CHECK(Read(good.first, 10, {}, Site(daemon)).texts == Texts{good.second});
  }
  for (const char* line : {"http://cache.example/a", "http://other.example:8080/a", "https:///a",
                           "http://cache.example:8080.evil.example/a", "http://cache.example:x/",
                           "http://cache.example:8080:8080/"}) {
    CAPTURE(line);
    const Read read(line, 10, {}, Site(daemon));
    CHECK(read.texts.empty());
    CHECK(read.problem().find("URL") != std::string::npos);
  }
  CHECK(
      Read("http://other.example/a", 10, {}, Site(daemon)).problem() ==
      "a URL of another site than cache.example:8080 (--host HOST asks the daemon for another's)");
  // Schemes have their ports.
  CHECK(Read("http://a.example:80/", 10, {}, Site("http://a.example")).texts == Texts{"/"});
  CHECK(Read("https://a.example/", 10, {}, Site("https://a.example:443")).texts == Texts{"/"});
  CHECK(Read("https://a.example/", 10, {}, Site("http://a.example")).texts.empty());
  CHECK(Read("http://[2001:DB8::1]:81/x", 10, {}, Site("http://[2001:db8::1]:81")).texts ==
        Texts{"/x"});
}

TEST_CASE("a base path of the daemon's URL is not asked for twice") {
  const Site site("http://a.example/geo");
  CHECK(Read("http://a.example/geo/x\nhttp://a.example/geo\nhttp://a.example/geo?y\n", 10, {}, site)
            .texts == Texts{"/x", "/", "/?y"});
  CHECK(Read("http://a.example/geology\n", 10, {}, site).texts.empty());
}

TEST_CASE("with --host the URLs of that site are asked for, and no other's") {
  const Site site(kDaemon, "www.example.com");
  CHECK(Read("https://www.example.com/a\nhttp://WWW.example.com:80/b\n", 10, {}, site).texts ==
        Texts{"/a", "/b"});
  const Read foreign(
      "https://www.example.com:8443/a\nhttps://example.com/\nhttp://127.0.0.1:3000/a\n", 10, {},
      site);
  CHECK(foreign.texts.empty());
  CHECK(foreign.list.problem_count() == 3);
  CHECK(Read("https://a.example:8443/x\n", 10, {}, Site(kDaemon, "a.example:8443")).texts ==
        Texts{"/x"});
}

TEST_CASE("credentials in a URL are not repeated") {
  const Read read("http://user:s3cr3t@127.0.0.1:3000/a\n");
  CHECK(read.problem() == "a URL with credentials in it");
  CHECK(read.list.problems()[0].text.find("s3cr3t") == std::string::npos);
}

TEST_CASE("with a pattern for texts a line is one, percent-encoded for the place it stands in") {
  const auto targets = [](const char* pattern, const std::string& lines) {
    return Read(lines, 100, Pattern::parse(pattern).value()).texts;
  };
  CHECK(targets("/v1/users/{}",
                "7\nJane Doe\na/b?c\n100%\nC#\nx # a comment\n# all of it\n"
                "caf\xc3\xa9\n8.8.8.8\n2001:db8::1\n10.0.0.0/8\n") ==
        Texts{"/v1/users/7", "/v1/users/Jane%20Doe", "/v1/users/a%2Fb%3Fc", "/v1/users/100%25",
              "/v1/users/C%23", "/v1/users/x", "/v1/users/caf%C3%A9", "/v1/users/8.8.8.8",
              "/v1/users/2001:db8::1", "/v1/users/10.0.0.0%2F8"});
  CHECK(targets("/q?a={}&b=1", "x&y=z+;\n") == Texts{"/q?a=x%26y%3Dz%2B%3B&b=1"});
  CHECK(targets("/users/{}.json", "7\n/other?x\nhttp://127.0.0.1:3000/y\n") ==
        Texts{"/users/7.json", "/other?x", "/y"});
  // What would leave its segment on some server.
  const Read dots("..\nx\n", 10, Pattern::parse("/a/{}").value());
  CHECK(dots.texts == Texts{"/a/x"});
  CHECK(dots.problem().find("dot segment") != std::string::npos);
}

TEST_CASE("with a pattern for addresses elsewhere they and their blocks go there") {
  const Read read("2001:DB8::/127\n8.8.8.8\nbad\n", 10,
                  Pattern::parse("/v2/geo?format=json&ip={ip}").value());
  CHECK(read.texts == Texts{"2001:db8::", "2001:db8::1", "8.8.8.8"});
  CHECK(read.list.target(1) == "/v2/geo?format=json&ip=2001:db8::1");
  CHECK(read.problem() == "not an IP address");
}

TEST_CASE("a pattern has one place, in a path that the daemon takes") {
  for (const char* text : {"", "/a", "a/{}", "/{}/{}", "/{name}", "/}{", "/{", "/{}#", "/../{}",
                           "/a b/{}", "/%c3/{}", "/%zz/{}", "{}"}) {
    CAPTURE(text);
    CHECK_FALSE(Pattern::parse(text));
  }
}

TEST_CASE("the limit holds for paths too") {
  CHECK(Read("/a\n/b\n/a\n", 2).ok);
  const Read read("/a\n8.8.8.8\n/b\n", 2);
  CHECK_FALSE(read.ok);
  CHECK(read.list.too_many());
  CHECK(read.list.problems().back().place == "list:3");
}

TEST_CASE("an XML sitemap is the URLs of its pages, entities undone") {
  const Read read(
      "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- made by <hand> -->\n"
      "<urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'\n  xmlns:image=\"x\">\n"
      "<url><loc>https://www.example.com/a?b=1&amp;c=%27&#39;&#x27;</loc><priority>&x;</priority></"
      "url>\n"
      "<url>\n <loc>\n  https://www.example.com/caf&#xE9;\n </loc>\n"
      "  <image:image><image:loc>https://www.example.com/no.png</image:loc></image:image>\n</url>\n"
      "<url><loc><![CDATA[https://www.example.com/x?y&z]]></loc><lastmod/></url>\n"
      "<loc>https://www.example.com/not-in-url</loc>\n"
      "<url><loc>https://other.example/</loc></url><url><loc/></url>\n"
      "</urlset>\n",
      100, {}, Site(kDaemon, "www.example.com"));
  CHECK(read.list.unread().empty());
  CHECK(read.texts == Texts{"/a?b=1&c=%27''", "/caf%C3%A9", "/x?y&z"});
  REQUIRE(read.list.problem_count() == 2);
  CHECK(read.list.problems()[0].place == "list:14");
  CHECK(read.list.problems()[0].reason.starts_with("a URL of another site"));
  CHECK(read.list.problems()[1].reason == "<loc> has no http or https URL");
}

TEST_CASE("XML that is no whole sitemap is one problem, and nothing of it is asked") {
  const std::string page = "<url><loc>http://127.0.0.1:3000/a</loc></url>";
  for (const auto& bad : std::initializer_list<std::pair<std::string, const char*>>{
           {"<urlset>" + page, "it ends within <urlset>"},
           {"<urlset>\n" + page + "</urlse>", "line 2: an end tag of nothing"},
           {"<urlset><url><loc>/a</url>", "an end tag of nothing"},
           {"<urlset><url><loc>/a&nbsp;</loc>", "no entity"},
           {"<urlset><url><loc>/a&#0;</loc>", "no entity"},
           {"<urlset><url><loc>/a&#xD800;</loc>", "no entity"},
           {"<urlset><url><loc>/a & b</loc>", "no entity"},
           {"<urlset><url><loc>/<b>a</b></loc>", "an element within <loc>"},
           {"<urlset a=1></urlset>", "not well-formed"},
           {"<urlset a=\"1\"b=\"2\"></urlset>", "not well-formed"},
           {"<urlset></urlset><urlset></urlset>", "more than one element"},
           {"<urlset></urlset>x", "outside"},
           {"<!DOCTYPE urlset [<!ENTITY a 'b'>]><urlset/>", "a document type"},
           {"<?xml version='1.0' encoding='ISO-8859-1'?><urlset/>", "another encoding"},
           {"<sitemapindex/>", "an index of sitemaps"},
           {"<html><body/></html>", "<html>, where a sitemap has <urlset>"},
           {"<!-- ", "a comment without an end"},
           {"<!-- x -->", "it has no element"},
           {"<", "a \"<\" of no element"},
           {"<urlset", "not well-formed"}}) {
    CAPTURE(bad.first);
    const Read read(bad.first);
    CHECK(read.ok);
    CHECK(read.texts.empty());
    REQUIRE(read.list.unread().size() == 1);
    CHECK(read.list.unread()[0].reason.starts_with("XML, but no sitemap: "));
    CAPTURE(read.list.unread()[0].reason);
    CHECK(read.list.unread()[0].reason.find(bad.second) != std::string::npos);
  }
  CHECK(Read("<urlset/>").list.is_whole());
}
