// How conversations are varied beyond bytes, for libFuzzer alone: what must fit together in an
// answer (a length and its content, chunks, a coding and what is coded) stays fitting, mostly,
// or is spoilt in one place. Bytes are left to libFuzzer every other time.
#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t limit);

namespace {

using namespace std::string_view_literals;

constexpr std::string_view kStatusLines[] = {
    "HTTP/1.1 200 OK\r\n"sv,
    "HTTP/1.1 200 OK\n"sv,
    "HTTP/1.0 200 OK\r\n"sv,
    "HTTP/1.1 200\r\n"sv,
    "HTTP/1.1 203 X\r\n"sv,
    "HTTP/1.1 204 No Content\r\n"sv,
    "HTTP/2 200 \r\n"sv,
    "HTTP/1.1 304 X\r\n"sv,
    "HTTP/1.1 404 Not Found\r\n"sv,
    "HTTP/1.1 410 \r\n"sv,
    "HTTP/1.1 206 Partial\r\n"sv,
    "HTTP/1.1 101 Switching\r\n"sv,
    "HTTP/1.1 200 O\rK\r\n"sv,
    "HTTP/1.1 2000 OK\r\n"sv,
    "HTTP/1.1 200\tOK\r\n"sv,
    "\r\n"sv,
    "HTTP/1.1 205 X\r\n"sv,
    "http/1.1 200 OK\r\n"sv,
};
constexpr std::string_view kInterim[] = {
    "HTTP/1.1 100 Continue\r\n\r\n"sv,
    "HTTP/1.1 103 Early Hints\r\nCache-Control: no-store\r\n\r\n"sv,
    "HTTP/1.1 103 X\r\nContent-Length: 5\r\n\r\n"sv,
    "HTTP/1.1 102 X\r\nTransfer-Encoding: chunked\r\n\r\n"sv,
    "HTTP/1.1 103 X\r\nContent-Encoding: gzip\r\n\r\n"sv,
    "HTTP/1.0 199 \n\n"sv,
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"sv,
};
constexpr std::string_view kLines[] = {
    "Cache-Control: no-store\r\n"sv,
    "Cache-Control: private\r\n"sv,
    "Cache-Control: no-cache\r\n"sv,
    "Cache-Control: max-age=60\r\n"sv,
    "Cache-Control: max-age=60,\r\n\tno-store\r\n"sv,
    "Cache-Control : no-store\r\n"sv,
    "Cache-Control: a=\"b, no-store\"\r\n"sv,
    "Cache-Control: a=\"b, no-store\r\n"sv,
    "Cache-Control: no-store;x\r\n"sv,
    "cAcHe-CoNtRoL:\r\n private\r\n"sv,
    "Vary: *\r\n"sv,
    "Vary: Accept, *\r\n"sv,
    "Content-Length: 148\r\n"sv,
    "Content-Length: 148, 148\r\n"sv,
    "Content-Length: 0148\r\n"sv,
    "Content-Length:\r\n 148\r\n"sv,
    "Content-Length : 148\r\n"sv,
    "Content-Length: 5\r\n"sv,
    "Transfer-Encoding: chunked\r\n"sv,
    "Transfer-Encoding: identity\r\n"sv,
    "Transfer-Encoding: gzip, chunked\r\n"sv,
    "Transfer-Encoding : chunked\r\n"sv,
    "Transfer-Encoding:\r\n chunked\r\n"sv,
    "Transfer-Encoding: , chunked\r\n"sv,
    "Transfer-Encoding: x\r\n chunked\r\n"sv,
    "Content-Encoding: gzip\r\n"sv,
    "Content-Encoding: identity\r\n"sv,
    "Content-Encoding: deflate\r\n"sv,
    "Connection: close\r\n"sv,
    "Connection: keep-alive\r\n"sv,
    "Connection: Content-Length, Transfer-Encoding\r\n"sv,
    "Content-Range: bytes 0-147/148\r\n"sv,
    "Cache-Control: max-age=0\r\n"sv,
    "Cache-Control: must-revalidate\r\n"sv,
    "Cache-Control: s-maxage=60, stale-if-error=9\r\n"sv,
    "ETag: \"a\"\r\n"sv,
    "ETag: W/\"a\"\r\n"sv,
    "ETag: \"b\"\r\n"sv,
    "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"sv,
    "Last-Modified: x\ry\r\n"sv,
    "Content-Language: en\r\n"sv,
    "Content-Type: text/html\r\n"sv,
    "Expires: 0\r\n"sv,
    "Age: 99999999999\r\n"sv,
    "no colon\r\n"sv,
    " folded: x\r\n"sv,
    ": no name\r\n"sv,
    "\rX: y\r\n"sv,
    "X: y\r\r\n"sv,
    "X\0: y\r\n"sv,
    "HTTP/1.1 200 OK\r\n"sv,
    "HTTP/1.1 200: OK\r\n"sv,
};
constexpr std::string_view kContents[] = {
    R"({"ip":"8.8.8.8","location":"United States","postal_code":"","network_name":"AS15169 GOOGLE","domain":"Google","latitude":37.751,"longitude":-97.822})"sv,
    R"({"ip":"8.8.8.8","location":null,"postal_code":null,"network_name":null,"domain":null,"latitude":1,"longitude":2})"sv,
    R"({"ip":"8.8.4.4","location":null,"postal_code":null,"network_name":null,"domain":null,"latitude":1,"longitude":2})"sv,
    R"({"error":"none"})"sv,
    ""sv,
};
constexpr std::string_view kExtensions[] = {""sv,  ""sv,   ";a=b"sv, " "sv,   "\t; a = \"b;c\""sv,
                                            "x"sv, " 1"sv, "\r"sv,   ";\n"sv, ";a\rb"sv};
constexpr std::string_view kTrailers[] = {""sv,
                                          ""sv,
                                          "Cache-Control: no-store\r\n"sv,
                                          "X: y\r\n folded\r\n"sv,
                                          "\rX: y\r\n"sv,
                                          "no colon\r\n"sv,
                                          "Content-Length: 3\r\n"sv,
                                          "X: \0\r\n"sv};
constexpr std::string_view kDeeds[] = {"\xffn"sv, "\xffw"sv,
                                       "\xff"
                                       "c"sv,
                                       "\xffr"sv};
constexpr std::string_view kOddBytes[] = {"\0"sv, "\r"sv, "\n"sv, "\x0b"sv, "\x7f"sv, "\x85"sv,
                                          " "sv,  "\t"sv, ":"sv,  ","sv,    "\""sv};

class Varied {
 public:
  Varied(std::string text, unsigned seed) : random_(seed) {
    // Into what is said between two waits for a request.
    for (std::size_t at; (at = text.find("\xffn")) != text.npos; text.erase(0, at + 2)) {
      parts_.push_back(text.substr(0, at));
    }
    parts_.push_back(std::move(text));
    vary();
  }

  std::string text() const {
    std::string all;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (i > 0) all += "\xffn";
      all += parts_[i];
    }
    return all;
  }

 private:
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }
  bool seldom() { return below(8) == 0; }
  template <std::size_t N>
  std::string_view one_of(const std::string_view (&all)[N]) {
    return all[below(N)];
  }

  void vary() {
    const std::size_t which = below(parts_.size());
    std::string& part = parts_[which];
    // The first or the last head in it, and what follows.
    std::size_t end = below(2) == 0 ? part.rfind("\r\n\r\n") : part.find("\r\n\r\n");
    if (end == part.npos) end = part.size() < 4 ? part.size() : part.size() - 4;
    std::string head = part.substr(0, std::min(end + 2, part.size()));
    std::string content = part.substr(std::min(end + 4, part.size()));
    switch (below(13)) {
      case 0:
        head.insert(line_of(head), one_of(kLines));
        break;
      case 1: {
        const std::size_t line = line_of(head);
        head.erase(line, head.find('\n', line) - line + 1);
        break;
      }
      case 2:
        head.replace(0, std::min(head.find('\n'), head.size() - 1) + 1, one_of(kStatusLines));
        break;
      case 3:
        head.insert(0, one_of(kInterim));
        break;
      case 4:
        content = one_of(kContents);
        state_length(head, content.size());
        break;
      case 5:
        state_length(head, content.size() + (seldom() ? below(3) : 0));
        break;
      case 6:
        without(head, "Content-Length");
        without(head, "Transfer-Encoding");
        head += "Transfer-Encoding: chunked\r\n";
        content = chunked(content);
        break;
      case 7: {
        const bool gzip = below(2) == 0;
        content = coded(content, gzip ? 15 + 16 : 15);
        if (seldom()) content.resize(below(content.size()));
        if (seldom()) content += "tail";
        head += gzip ? "Content-Encoding: gzip\r\n" : "Content-Encoding: deflate\r\n";
        state_length(head, content.size());
        break;
      }
      case 8:  // ends with its connection
        without(head, "Content-Length");
        content += one_of(kDeeds);
        break;
      case 9:
        content.insert(below(content.size() + 1), one_of(kDeeds));
        break;
      case 10:
        head.insert(below(head.size() + 1), one_of(kOddBytes));
        break;
      case 11: {  // said twice, of which once unasked maybe
        const std::string again = part;
        if (below(2) == 0) {
          content += again;
        } else {
          parts_.insert(parts_.begin() + static_cast<std::ptrdiff_t>(which), again);
          return;
        }
        break;
      }
      case 12: {  // fold
        const std::size_t at = head.find(": ", line_of(head));
        if (at != head.npos)
          head.insert(at + (below(2) == 0 ? 2 : 0), below(2) == 0 ? "\r\n " : " ");
        break;
      }
    }
    parts_[which] = head + "\r\n" + content;
  }

  // The begin of one of the head's lines.
  std::size_t line_of(const std::string& head) {
    const std::size_t at = head.find('\n', below(head.size()));
    return at == head.npos ? head.size() : at + 1;
  }

  static void without(std::string& head, const std::string& name) {
    for (std::size_t at; (at = head.find("\n" + name)) != head.npos;) {
      const std::size_t end = head.find('\n', at + 1);
      head.erase(at + 1, end == head.npos ? head.npos : end - at);
    }
  }

  static void state_length(std::string& head, std::size_t length) {
    without(head, "Content-Length");
    without(head, "Transfer-Encoding");
    head += "Content-Length: " + std::to_string(length) + "\r\n";
  }

  std::string chunked(const std::string& content) {
    std::string all;
    const std::size_t size = 1 + below(content.size() + 1);
    const std::string_view extension = one_of(kExtensions), end = seldom() ? "\n" : "\r\n";
    for (std::size_t at = 0; at < content.size(); at += size) {
      const std::string data = content.substr(at, size);
      char digits[20];
      std::snprintf(digits, sizeof digits, seldom() ? "%08zX" : "%zx", data.size());
      all.append(digits).append(extension).append(end).append(data);
      all.append(seldom() ? "\r\r\n" : end);
    }
    return all.append("0")
        .append(one_of(kExtensions))
        .append(end)
        .append(one_of(kTrailers))
        .append(end);
  }

  static std::string coded(std::string content, int window) {
    z_stream stream{};
    if (deflateInit2(&stream, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) != Z_OK) return {};
    std::string all(content.size() + 100, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(content.data());
    stream.avail_in = static_cast<uInt>(content.size());
    stream.next_out = reinterpret_cast<Bytef*>(all.data());
    stream.avail_out = static_cast<uInt>(all.size());
    (void)deflate(&stream, Z_FINISH);
    all.resize(stream.total_out);
    deflateEnd(&stream);
    return all;
  }

  std::minstd_rand random_;
  std::vector<std::string> parts_;
};

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t limit, unsigned seed) {
  if (seed % 2 == 0) return LLVMFuzzerMutate(data, size, limit);
  std::string text(reinterpret_cast<const char*>(data), size);
  for (unsigned times = 1 + seed / 2 % 3; times > 0; --times) {
    text = Varied(std::move(text), seed / 2 + times).text();
  }
  if (text.size() > limit) return LLVMFuzzerMutate(data, size, limit);
  std::copy(text.begin(), text.end(), data);
  return text.size();
}
