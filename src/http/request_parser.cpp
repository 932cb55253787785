// Three passes over bytes that are in the cache anyway:
//
//   check_lines    every line ends in CRLF, holds no control byte and, after the
//                  first, starts with a name and a colon. It decides alone where
//                  the head ends, and runs on incomplete heads too.
//   request line   method, target and version, with single spaces; as soon as
//                  that line is complete.
//   llhttp         reads the same bytes on its own and hands over the fields. It
//                  is lenient where it was built without its strict mode, so it
//                  may only ever refuse more than the first pass, never less.
//
// Framing (RFC 9112, 6.3) is decided here from the fields, not by llhttp.
#include "http/request_parser.h"

#include <llhttp.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <string>
#include <vector>

#include "base/byte_words.h"
#include "http/field_syntax.h"

namespace holdfast::http {
namespace {

constexpr std::size_t kIncomplete = static_cast<std::size_t>(-1);
constexpr std::size_t kBad = static_cast<std::size_t>(-2);
// The longest method there is a use for, a version and two spaces.
constexpr std::size_t kRequestLineExtra = 64;

// Whether a byte of `text` is `bad`. Eight bytes at a time, as every byte of every head passes
// here: in a word that is not `suspect` there is none.
template <typename Suspect, typename Bad>
bool has_any(std::string_view text, Suspect suspect, Bad bad) {
  constexpr std::size_t kBytes = base::kWordBytes;
  if (text.size() < kBytes) return std::any_of(text.begin(), text.end(), bad);
  // Of the last word some were looked at before.
  const char* const last = text.data() + text.size() - kBytes;
  for (const char* at = text.data();; at = std::min(at + kBytes, last)) {
    if (suspect(base::read_word(at)) && std::any_of(at, at + kBytes, bad)) return true;
    if (at == last) return false;
  }
}

// Whether the text of a line holds a control byte other than HTAB.
bool has_control(std::string_view text) {
  const auto suspect = [](std::uint64_t word) {
    return (~word & (base::bytes_within(word, 0, 0x1f) | base::bytes_equal(word, 0x7f))) != 0;
  };
  return has_any(text, suspect, is_forbidden_control);
}

// Whether there is a byte that no request target may hold.
bool has_foreign(std::string_view target) {
  const auto suspect = [](std::uint64_t word) {
    return (base::bytes_within(word, 0x21, 0x7e) & ~base::bytes_equal(word, '#') & ~word) !=
           base::kTopBits;
  };
  const auto foreign = [](char c) { return c <= 0x20 || c >= 0x7f || c == '#'; };
  return has_any(target, suspect, foreign);
}

// The token chars that `line` starts with.
std::size_t name_length(std::string_view line) {
  std::size_t i = 0;
  while (i < line.size() && is_token_char(line[i])) ++i;
  return i;
}

Method method_of(std::string_view name) {
  if (name == "GET") return Method::Get;
  if (name == "HEAD") return Method::Head;
  if (name == "POST") return Method::Post;
  if (name == "OPTIONS") return Method::Options;
  return Method::Other;
}

}  // namespace

struct RequestParser::State {
  explicit State(Limits limits_of_ours);

  std::size_t check_lines(std::string_view input, std::size_t& checked);
  bool read_request_line(std::string_view line);
  bool read_target(std::string_view target);
  bool read_version(std::string_view version);
  bool run_llhttp(std::string_view bytes);
  bool take_field();
  bool take_length(std::string_view value);
  bool take_coding(std::string_view value);
  bool take_host(std::string_view value);
  void take_connection(std::string_view value);
  void join(Known name, std::string_view value);
  bool finish();

  bool refuse(int status, RejectReason reason, std::string_view detail) {
    refusal = {status, reason, detail};
    return false;
  }

  Limits limits;
  Refusal refusal;
  RequestHead* head = nullptr;

  // Of the head being read.
  std::string_view name, value;
  std::string_view authority;  // of an absolute-form target
  unsigned fields = 0;
  std::vector<FieldLine> lines;  // as many as there may be: the first `fields` are the head's
  unsigned hosts = 0;
  bool has_length = false;
  bool has_coding = false;
  bool asks_close = false;
  bool asks_keep_alive = false;
  bool refused = false;  // by a callback

  llhttp_t llhttp{};
  llhttp_settings_t callbacks{};
  // Fields that came on several lines. Empty on the usual path.
  std::array<std::string, static_cast<std::size_t>(Known::kCount)> joined;
};

RequestParser::State::State(Limits limits_of_ours)
    : limits(limits_of_ours), lines(limits_of_ours.fields) {
  llhttp_settings_init(&callbacks);
  // The bytes are contiguous and complete, so each span comes in one piece.
  callbacks.on_header_field = [](llhttp_t* parser, const char* at, std::size_t size) {
    auto& self = *static_cast<State*>(parser->data);
    self.name = {at, size};
    self.value = {};
    return 0;
  };
  callbacks.on_header_value = [](llhttp_t* parser, const char* at, std::size_t size) {
    static_cast<State*>(parser->data)->value = {at, size};
    return 0;
  };
  callbacks.on_header_value_complete = [](llhttp_t* parser) -> int {
    auto& self = *static_cast<State*>(parser->data);
    if (self.take_field()) return 0;
    self.refused = true;
    return -1;
  };
  // The content is not llhttp's business.
  callbacks.on_headers_complete = [](llhttp_t*) -> int { return HPE_PAUSED; };
  llhttp_init(&llhttp, HTTP_REQUEST, &callbacks);
  llhttp.data = this;
}

// Returns the size of the head, kIncomplete, or kBad after refuse().
std::size_t RequestParser::State::check_lines(std::string_view input, std::size_t& checked) {
  const auto bad = [this](std::string_view detail) {
    refuse(400, RejectReason::Malformed, detail);
    return kBad;
  };
  const auto bad_byte = [&bad](std::string_view text) {
    return bad(text.find('\r') != std::string_view::npos ? "a bare CR in the request head"
                                                         : "a control byte in the request head");
  };
  const std::size_t usable = std::min(input.size(), limits.head_bytes);
  std::size_t line = checked;
  while (line < usable) {
    const void* found = std::memchr(input.data() + line, '\n', usable - line);
    if (found == nullptr) break;
    const auto end = static_cast<std::size_t>(static_cast<const char*>(found) - input.data());
    if (end == line || input[end - 1] != '\r') return bad("a line that ends in a bare LF");
    const auto text = input.substr(line, end - 1 - line);
    if (has_control(text)) return bad_byte(text);
    if (line == 0) {
      if (text.size() > limits.target_bytes + kRequestLineExtra) break;  // judged below
      if (!read_request_line(text)) return kBad;
    } else if (text.empty()) {
      return end + 1;
    } else {
      if (text[0] == ' ' || text[0] == '\t') return bad("a folded field line");
      const auto name_size = name_length(text);
      if (name_size == 0 || name_size == text.size() || text[name_size] != ':') {
        return bad("a field line without a proper name and colon");
      }
    }
    line = end + 1;
    checked = line;
  }
  if (line == 0 && usable > limits.target_bytes + kRequestLineExtra) {
    // Which of its parts is too long? A method that long is none we know.
    if (input.substr(0, kRequestLineExtra).find(' ') == std::string_view::npos) {
      refuse(501, RejectReason::Method, "unknown method");
    } else {
      refuse(414, RejectReason::TargetTooLong, "the request target is too long");
    }
    return kBad;
  }
  // What there is of the next line. A CR at its very end may still become CRLF.
  auto rest = input.substr(line, usable - line);
  if (!rest.empty() && rest.back() == '\r') rest.remove_suffix(1);
  if (has_control(rest)) return bad_byte(rest);
  if (input.size() >= limits.head_bytes) {
    if (line == 0) {
      refuse(414, RejectReason::TargetTooLong, "the request target is too long");
    } else {
      refuse(431, RejectReason::HeadTooLarge, "the request head is too large");
    }
    return kBad;
  }
  return kIncomplete;
}

bool RequestParser::State::read_request_line(std::string_view line) {
  const auto first = line.find(' ');
  const auto method = line.substr(0, first);
  if (!is_token(method)) return refuse(400, RejectReason::Malformed, "malformed request line");
  head->request.method_name = method;
  head->request.method = method_of(method);
  const auto last = line.rfind(' ');
  if (first == std::string_view::npos || last == first) {
    return refuse(400, RejectReason::Malformed, "malformed request line");
  }
  // The version first: a target is only ours to judge if the message is HTTP/1.
  return read_version(line.substr(last + 1)) &&
         read_target(line.substr(first + 1, last - first - 1));
}

bool RequestParser::State::read_version(std::string_view version) {
  if (version == "HTTP/1.1") {
    head->http10 = false;
    return true;
  }
  if (version == "HTTP/1.0") {
    head->http10 = true;
    return true;
  }
  const bool well_formed = version.size() == 8 && version.substr(0, 5) == "HTTP/" &&
                           is_digit(version[5]) && version[6] == '.' && is_digit(version[7]);
  if (!well_formed) return refuse(400, RejectReason::Malformed, "malformed HTTP version");
  return refuse(505, RejectReason::Version, "only HTTP/1.0 and HTTP/1.1 are spoken here");
}

bool RequestParser::State::read_target(std::string_view target) {
  Request& request = head->request;
  if (target.size() > limits.target_bytes) {
    return refuse(414, RejectReason::TargetTooLong, "the request target is too long");
  }
  if (has_foreign(target)) {
    return refuse(400, RejectReason::Malformed, "a byte that no request target may hold");
  }
  authority = {};
  if (request.method_name == "CONNECT") {
    return refuse(501, RejectReason::Method, "this is no tunnel");
  }
  if (target == "*" && request.method == Method::Options) {
    request.path = target;
    request.query = {};
    return true;
  }
  if (!target.empty() && target[0] != '/') {
    const auto colon = target.find("://");
    const auto scheme = target.substr(0, colon);
    if (colon == std::string_view::npos ||
        (!equals_ignoring_case(scheme, "http") && !equals_ignoring_case(scheme, "https"))) {
      return refuse(400, RejectReason::Malformed, "malformed request target");
    }
    const auto rest = target.substr(colon + 3);
    authority = rest.substr(0, rest.find_first_of("/?"));
    if (!is_valid_host(authority)) {
      return refuse(400, RejectReason::BadHost, "an invalid host in the request target");
    }
    target = rest.substr(authority.size());
  }
  const auto question = target.find('?');
  request.path = target.substr(0, question);
  request.query =
      question == std::string_view::npos ? std::string_view{} : target.substr(question + 1);
  if (request.path.empty()) {
    // Only an absolute form gets here. Without a path, OPTIONS means the whole
    // server (RFC 9112, 3.2.4) and all others the root.
    const bool whole_server =
        request.method == Method::Options && question == std::string_view::npos;
    request.path = whole_server ? "*" : "/";
  }
  return true;
}

bool RequestParser::State::run_llhttp(std::string_view bytes) {
  llhttp_reset(&llhttp);
  refused = false;
  const llhttp_errno_t error = llhttp_execute(&llhttp, bytes.data(), bytes.size());
  if (refused) return false;  // what a callback returns comes back under several names
  if (error == HPE_PAUSED) return true;
  if (error == HPE_INVALID_METHOD) {
    return refuse(501, RejectReason::Method, "unknown method");
  }
  return refuse(400, RejectReason::Malformed, "malformed request head");
}

void RequestParser::State::join(Known which, std::string_view text) {
  auto& slot = head->request.known[static_cast<std::size_t>(which)];
  if (slot.data() == nullptr) {
    slot = text;
    return;
  }
  std::string& whole = joined[static_cast<std::size_t>(which)];
  if (slot.data() != whole.data()) whole.assign(slot);
  whole += ", ";
  whole += text;
  slot = whole;
}

bool RequestParser::State::take_field() {
  if (++fields > limits.fields) {
    return refuse(431, RejectReason::TooManyFields, "too many field lines");
  }
  const auto text = trim(value);
  lines[fields - 1] = {name, text};
  auto& known = head->request.known;
  const auto first_of = [&](Known which) {
    auto& slot = known[static_cast<std::size_t>(which)];
    if (slot.data() == nullptr) slot = text;
  };
  // Nearly all names are told apart by their length.
  switch (name.size()) {
    case 4:
      if (equals_ignoring_case(name, "host")) return take_host(text);
      break;
    case 6:
      if (equals_ignoring_case(name, "expect") && !head->http10) {
        if (!equals_ignoring_case(text, "100-continue")) {
          return refuse(417, RejectReason::Expectation, "unknown expectation");
        }
        head->expects_continue = true;
      }
      break;
    case 10:
      if (equals_ignoring_case(name, "connection")) take_connection(text);
      if (equals_ignoring_case(name, "tracestate")) join(Known::Tracestate, text);
      break;
    case 11:
      if (equals_ignoring_case(name, "traceparent")) join(Known::Traceparent, text);
      break;
    case 12:
      if (equals_ignoring_case(name, "content-type")) first_of(Known::ContentType);
      if (equals_ignoring_case(name, "x-request-id")) first_of(Known::XRequestId);
      break;
    case 13:
      if (equals_ignoring_case(name, "if-none-match")) join(Known::IfNoneMatch, text);
      if (equals_ignoring_case(name, "cache-control")) join(Known::CacheControl, text);
      break;
    case 14:
      if (equals_ignoring_case(name, "content-length")) return take_length(text);
      break;
    case 15:
      if (equals_ignoring_case(name, "accept-encoding")) join(Known::AcceptEncoding, text);
      break;
    case 16:
      if (equals_ignoring_case(name, "content-encoding")) join(Known::ContentEncoding, text);
      break;
    case 17:
      if (equals_ignoring_case(name, "if-modified-since")) join(Known::IfModifiedSince, text);
      if (equals_ignoring_case(name, "transfer-encoding")) return take_coding(text);
      break;
    default:
      break;
  }
  return true;
}

bool RequestParser::State::take_host(std::string_view text) {
  if (++hosts > 1) return refuse(400, RejectReason::BadHost, "more than one Host field");
  // Empty where the client has no name for us, as balancers' checks (RFC 9110, 7.2).
  if (!text.empty() && !is_valid_host(text))
    return refuse(400, RejectReason::BadHost, "an invalid Host field");
  head->request.known[static_cast<std::size_t>(Known::Host)] = text;
  return true;
}

void RequestParser::State::take_connection(std::string_view text) {
  for_each_token(text, [this](std::string_view option) {
    asks_close = asks_close || equals_ignoring_case(option, "close");
    asks_keep_alive = asks_keep_alive || equals_ignoring_case(option, "keep-alive");
  });
}

bool RequestParser::State::take_length(std::string_view text) {
  // A repeated length is refused even where all agree, as is a list of them.
  if (has_length) {
    return refuse(400, RejectReason::Malformed, "more than one Content-Length");
  }
  has_length = true;
  // 18 digits fit into 64 bits, and no content is that long.
  if (text.empty() || text.size() > 18) {
    return refuse(400, RejectReason::Malformed, "malformed Content-Length");
  }
  std::uint64_t length = 0;
  for (const char c : text) {
    if (!is_digit(c)) return refuse(400, RejectReason::Malformed, "malformed Content-Length");
    length = length * 10 + static_cast<std::uint64_t>(c - '0');
  }
  head->content_length = length;
  return true;
}

bool RequestParser::State::take_coding(std::string_view text) {
  if (has_coding) {
    return refuse(400, RejectReason::Malformed, "more than one Transfer-Encoding");
  }
  has_coding = true;
  if (equals_ignoring_case(text, "chunked")) return true;
  unsigned codings = 0;
  bool only_chunked = true;
  for_each_token(text, [&](std::string_view coding) {
    ++codings;
    only_chunked = only_chunked && equals_ignoring_case(coding, "chunked");
  });
  if (only_chunked || codings == 0) {
    return refuse(400, RejectReason::Malformed, "malformed Transfer-Encoding");
  }
  return refuse(501, RejectReason::TransferCoding, "only the chunked transfer coding is known");
}

// What can be said only once all fields are there.
bool RequestParser::State::finish() {
  if (has_coding && has_length) {
    return refuse(400, RejectReason::Malformed, "both Content-Length and Transfer-Encoding");
  }
  // RFC 9112, 6.1: the framing of such a message is to be taken for faulty.
  if (has_coding && head->http10) {
    return refuse(400, RejectReason::Malformed, "Transfer-Encoding in an HTTP/1.0 request");
  }
  if (hosts == 0 && !head->http10) {
    return refuse(400, RejectReason::BadHost, "no Host field");
  }
  // RFC 9112, 3.2.2: the target's own authority replaces the field.
  if (!authority.empty()) {
    head->request.known[static_cast<std::size_t>(Known::Host)] = authority;
  }
  head->request.fields = std::span(lines).first(fields);
  head->keep_alive = !asks_close && (!head->http10 || asks_keep_alive);
  if (has_coding) {
    head->framing = Framing::Chunked;
  } else if (head->content_length > 0) {
    head->framing = Framing::Length;
  }
  head->expects_continue = head->expects_continue && head->framing != Framing::None;
  return true;
}

RequestParser::RequestParser(Limits limits) : state_(std::make_unique<State>(limits)) {}

RequestParser::~RequestParser() = default;

const Refusal& RequestParser::refusal() const {
  return state_->refusal;
}

RequestParser::Outcome RequestParser::parse(std::string_view input, std::size_t& checked,
                                            RequestHead& head) {
  State& state = *state_;
  assert(head.bytes == 0);  // what is left of another head would stay
  state.head = &head;
  const bool at_start = checked == 0;  // else the request line was read by an earlier call
  const std::size_t size = state.check_lines(input, checked);
  if (size == kIncomplete) return Outcome::Incomplete;
  if (size == kBad) {
    // For an answer to HEAD without content, even now.
    if (input.substr(0, 5) == "HEAD ") head.request.method = Method::Head;
    return Outcome::Refused;
  }
  checked = 0;
  head.bytes = size;
  const auto bytes = input.substr(0, size);

  state.fields = state.hosts = 0;
  state.has_length = state.has_coding = false;
  state.asks_close = state.asks_keep_alive = false;
  const bool good = (at_start || state.read_request_line(bytes.substr(0, bytes.find("\r\n")))) &&
                    state.run_llhttp(bytes) && state.finish();
  return good ? Outcome::Complete : Outcome::Refused;
}

}  // namespace holdfast::http
