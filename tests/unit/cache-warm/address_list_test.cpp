#include "address_list.h"

#include <doctest/doctest.h>

#include <sstream>
#include <stdexcept>

using namespace holdfast::warm;

namespace {

struct Read {
  explicit Read(const std::string& text, std::size_t most = 1000) : list(most) {
    std::istringstream in(text);
    ok = list.read(in, "list");
    for (const Address& address : list.addresses()) texts.push_back(to_text(address));
  }
  AddressList list;
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
      "10.0.0.0/33\n10.0.0.0/\n10.0.0.0/-1\n10.0.0.0/2x\n/24\n2001:db8::/129\n1.1.1.1\n");
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
    CHECK(read.list.addresses().size() <= 4);
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
  AddressList list(10);
  CHECK(list.read(in, "list"));
  CHECK(list.read(next, "next"));
  CHECK(list.addresses().size() == 1);
  CHECK(list.problem_count() == 0);
  REQUIRE(list.unread().size() == 1);
  CHECK(list.unread()[0].name == "list");
  CHECK(list.unread()[0].reason.find("cannot be read") != std::string::npos);
}
