// nlohmann's parser, because it says at which byte a text stops being JSON. As
// events: nothing is built, so that an array of arrays of arrays is refused at its
// second bracket.
#include "proxy/batch_request.h"

#include <strings.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

namespace holdfast::proxy {
namespace {

class Reader {
 public:
  using Json = nlohmann::json;

  Reader(std::size_t most, BatchElements elements) : most_(most), elements_(elements) {}
  BatchRequest take() { return std::move(out_); }

  // What nlohmann::json_sax asks for; false ends the parsing.
  bool start_array(std::size_t) {
    if (in_array_) return not_a_string();
    return in_array_ = true;
  }
  bool end_array() { return true; }
  bool string(std::string& text) {
    if (!in_array_) return not_an_array();
    return take_element(std::move(text));
  }
  bool null() { return other(); }
  bool boolean(bool) { return other(); }
  bool number_integer(std::int64_t number) { return integer(std::to_string(number)); }
  bool number_unsigned(std::uint64_t number) { return integer(std::to_string(number)); }
  // A longer integer comes as this too; its text says what it is.
  bool number_float(double, const std::string& text) {
    return text.find_first_of(".eE") == text.npos ? integer(text) : other();
  }
  bool binary(Json::binary_t&) { return other(); }
  bool start_object(std::size_t) { return other(); }
  bool key(std::string&) { return other(); }
  bool end_object() { return other(); }
  bool parse_error(std::size_t position, const std::string&, const Json::exception&) {
    return refuse(400, "not JSON: error at byte " + std::to_string(position));
  }

 private:
  bool refuse(int status, std::string detail) {
    out_.elements.clear();
    out_.status = status;
    out_.detail = std::move(detail);
    return false;
  }
  bool take_element(std::string text) {
    if (out_.elements.size() == most_) {
      return refuse(413, "more than " + std::to_string(most_) + " " + elements_.in_words);
    }
    out_.elements.push_back(std::move(text));
    return true;
  }
  bool integer(std::string text) {
    return in_array_ && elements_.integers ? take_element(std::move(text)) : other();
  }
  bool not_an_array() {
    return refuse(400, std::string("not a JSON array of ") + elements_.in_words);
  }
  bool not_a_string() {
    return refuse(400, "element " + std::to_string(out_.elements.size()) +
                           (elements_.integers ? " is no integer" : " is not a string"));
  }
  bool other() { return in_array_ ? not_a_string() : not_an_array(); }

  const std::size_t most_;
  const BatchElements elements_;
  bool in_array_ = false;
  BatchRequest out_;
};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool equals(std::string_view text, std::string_view other) {
  return text.size() == other.size() && strncasecmp(text.data(), other.data(), text.size()) == 0;
}

}  // namespace

BatchRequest parse_batch(std::string_view content, std::size_t most, BatchElements elements) {
  Reader reader(most, elements);
  Reader::Json::sax_parse(content.begin(), content.end(), &reader);
  BatchRequest batch = reader.take();
  // nlohmann takes a NUL for the end of the text, and so never sees what follows.
  if (const std::size_t nul = content.find('\0'); batch.status == 0 && nul != content.npos) {
    batch.elements.clear();
    batch.status = 400;
    batch.detail = "not JSON: error at byte " + std::to_string(nul + 1);
  }
  return batch;
}

bool is_json_content_type(std::string_view content_type) {
  return equals(trimmed(content_type.substr(0, content_type.find(';'))), "application/json");
}

bool is_uncoded(std::string_view content_encoding) {
  while (!content_encoding.empty()) {
    const std::size_t end = std::min(content_encoding.find(','), content_encoding.size());
    const std::string_view coding = trimmed(content_encoding.substr(0, end));
    if (!coding.empty() && !equals(coding, "identity")) return false;
    content_encoding.remove_prefix(std::min(end + 1, content_encoding.size()));
  }
  return true;
}

}  // namespace holdfast::proxy
