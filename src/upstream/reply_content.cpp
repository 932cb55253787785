#include "upstream/reply_content.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <new>
#include <vector>

#include "upstream/outgoing.h"

namespace holdfast::upstream {
namespace {

// More than anybody has a reason for; each costs as much as the content is long.
constexpr std::size_t kMaxCodings = 4;
// One more digit does not overflow it.
constexpr std::uint64_t kLargestSize = std::numeric_limits<std::uint64_t>::max() >> 4;
// In zlib's terms: 15 bits of window, 16 for gzip's own head and checksum, and less than 0 for a
// stream without either.
constexpr int kZlibWindow = 15;
constexpr int kGzipWindow = 15 + 16;
constexpr int kBareWindow = -15;
// So many bytes of overhead each chunk with data may bring along: sizes of eight digits, say.
constexpr std::size_t kOverheadOfChunk = 16;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_space(char c) {
  return c == ' ' || c == '\t';
}

std::string trimmed(std::string text) {
  text.erase(0, std::min(text.find_first_not_of(" \t"), text.size()));
  text.erase(text.find_last_not_of(" \t") + 1);  // npos + 1 is 0
  return text;
}

// Elements with nothing in them are none (RFC 9110, 5.6.1).
std::vector<std::string> elements_of(std::string_view list) {
  std::vector<std::string> elements;
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(','), list.size());
    std::string element = trimmed(std::string(list.substr(0, end)));
    if (!element.empty()) elements.push_back(std::move(element));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return elements;
}

bool is_gzip(const Field& coding) {
  return is_field(coding, "gzip") || is_field(coding, "x-gzip");
}

std::vector<std::string> codings_of(const Fields& fields) {
  std::vector<std::string> codings;
  for (const Field& field : fields) {
    if (!is_field(field, "Content-Encoding")) continue;
    for (std::string& coding : elements_of(field.value)) {
      // "none" is no registered name, but means what it says where applications turn a server's
      // compression off.
      const Field name{coding, {}};
      if (!is_field(name, "identity") && !is_field(name, "none")) {
        codings.push_back(std::move(coding));
      }
    }
  }
  return codings;
}

struct Inflater {
  explicit Inflater(int window) {
    const int status = inflateInit2(&stream, window);
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    ready = status == Z_OK;
  }
  ~Inflater() {
    if (ready) (void)inflateEnd(&stream);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  z_stream stream{};
  bool ready = false;
};

// One zlib or bare stream, or all members of gzip (RFC 1952, 2.2): each whole, and nothing behind
// the last. Appends to `content`. Throws std::bad_alloc.
Undoing inflate(int window, const std::string& coded, std::size_t limit_bytes,
                std::string& content) {
  Inflater inflater(window);
  if (!inflater.ready) return Undoing::Impossible;
  z_stream& stream = inflater.stream;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(coded.data()));
  stream.avail_in = static_cast<uInt>(coded.size());
  char part[4096];
  int status = Z_OK;
  while (status == Z_OK && content.size() <= limit_bytes) {
    stream.next_out = reinterpret_cast<Bytef*>(part);
    stream.avail_out = sizeof part;
    // Of input that ends early it says Z_BUF_ERROR.
    status = ::inflate(&stream, Z_NO_FLUSH);
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    content.append(part, sizeof part - stream.avail_out);
    const bool another = window == kGzipWindow && status == Z_STREAM_END && stream.avail_in > 0;
    if (another) status = inflateReset(&stream);
  }
  if (content.size() > limit_bytes) return Undoing::TooLarge;
  return status == Z_STREAM_END && stream.avail_in == 0 ? Undoing::Done : Undoing::Impossible;
}

// "deflate" is a zlib stream, but some send a bare one (RFC 9110, 8.4.1.2).
Undoing inflate_deflate(const std::string& coded, std::size_t limit_bytes, std::string& content) {
  const Undoing undoing = inflate(kZlibWindow, coded, limit_bytes, content);
  if (undoing != Undoing::Impossible) return undoing;
  content.clear();
  return inflate(kBareWindow, coded, limit_bytes, content);
}

}  // namespace

bool ChunkedContent::take(std::string_view bytes, std::string& content, std::size_t limit_bytes) {
  while (!bytes.empty() && !too_large_) {
    if (at_ == At::Behind) {
      something_behind_ = true;
      return true;
    }
    if (at_ == At::Broken) return false;
    if (at_ == At::Data) {
      const auto part =
          bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(size_, bytes.size())));
      content.append(part);
      bytes.remove_prefix(part.size());
      size_ -= part.size();
      if (size_ == 0) at_ = At::DataEnd;
      continue;
    }
    const bool costs = is_overhead();
    at_ = after(bytes.front());
    bytes.remove_prefix(1);
    too_large_ =
        (costs && overhead_left_ == 0) || (at_ == At::Data && size_ > limit_bytes - content.size());
    if (costs && !too_large_) --overhead_left_;
  }
  return at_ != At::Broken && !too_large_;
}

// Whether the next byte is one of those of which there might be any number: the size of a chunk
// and the line ends come with data.
bool ChunkedContent::is_overhead() const {
  switch (at_) {
    case At::Size:
      return digits_ && size_ == 0;  // zeros in front
    case At::SizeSpace:
    case At::Extension:
    case At::Trailer:
    case At::TrailerLine:
      return true;
    default:
      return false;
  }
}

// Outside of the data.
ChunkedContent::At ChunkedContent::after(char c) {
  switch (at_) {
    case At::Size:
      if (const int digit = hex_value(c); digit >= 0) {
        if (size_ > kLargestSize) return At::Broken;
        size_ = size_ * 16 + static_cast<unsigned>(digit);
        digits_ = true;
        return At::Size;
      }
      if (!digits_) return At::Broken;
      [[fallthrough]];
    case At::SizeSpace:
      if (is_space(c)) return At::SizeSpace;
      if (c == ';') return At::Extension;
      [[fallthrough]];
    case At::Extension:
      if (c == '\r') return At::SizeLf;
      if (c == '\n') return end_of_size();
      return at_ == At::Extension && !is_control(c) ? At::Extension : At::Broken;
    case At::SizeLf:
      return c == '\n' ? end_of_size() : At::Broken;
    case At::DataEnd:
      if (c == '\r') return At::DataLf;
      [[fallthrough]];
    case At::DataLf:
      return c == '\n' ? At::Size : At::Broken;
    case At::Trailer:
      if (c == '\r') return At::LastLf;
      if (c == '\n') return At::Behind;
      [[fallthrough]];
    case At::TrailerLine:
      if (c == '\r') return At::TrailerLf;
      if (c == '\n') return At::Trailer;
      return is_control(c) ? At::Broken : At::TrailerLine;
    case At::TrailerLf:
      return c == '\n' ? At::Trailer : At::Broken;
    case At::LastLf:
      return c == '\n' ? At::Behind : At::Broken;
    case At::Data:
    case At::Behind:
    case At::Broken:
      break;  // take() does not ask
  }
  return At::Broken;
}

ChunkedContent::At ChunkedContent::end_of_size() {
  digits_ = false;
  if (size_ == 0) return At::Trailer;
  overhead_left_ = std::min(overhead_limit_, overhead_left_ + kOverheadOfChunk);
  return At::Data;
}

Undoing undo_codings(const Fields& fields, std::string& content, std::size_t limit_bytes) {
  std::vector<std::string> codings = codings_of(fields);
  if (codings.empty()) return Undoing::Done;
  if (content.empty()) {
    // Nothing is no stream of any coding: it was cut off, or there is no content.
    const std::string* length = find_field(fields, "Content-Length");
    return length != nullptr && *length == "0" ? Undoing::Done : Undoing::Impossible;
  }
  if (codings.size() > kMaxCodings) return Undoing::Impossible;
  std::string plain = content;
  for (; !codings.empty(); codings.pop_back()) {  // the last was applied last
    const Field coding{codings.back(), {}};
    const bool gzip = is_gzip(coding);
    if (!gzip && !is_field(coding, "deflate")) return Undoing::Impossible;
    std::string inner;
    const Undoing undoing = gzip ? inflate(kGzipWindow, plain, limit_bytes, inner)
                                 : inflate_deflate(plain, limit_bytes, inner);
    if (undoing != Undoing::Done) return undoing;
    plain = std::move(inner);
  }
  content = std::move(plain);
  return Undoing::Done;
}

std::string cannot_be_undone(const Fields& fields) {
  const std::string* coding = find_field(fields, "Content-Encoding");
  return "the content cannot be decoded, Content-Encoding: " +
         (coding != nullptr && printable(*coding) ? coding->substr(0, 60) : std::string());
}

std::string codings_to_undo(std::string_view accept_encoding) {
  std::string kept;
  for (const std::string& element : elements_of(accept_encoding)) {
    const Field coding{trimmed(element.substr(0, element.find(';'))), {}};
    if (!is_gzip(coding) && !is_field(coding, "deflate") && !is_field(coding, "identity")) continue;
    kept.append(kept.empty() ? "" : ", ").append(element);
  }
  return kept;
}

}  // namespace holdfast::upstream
