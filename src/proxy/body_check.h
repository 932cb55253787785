// BodyCheck judges whether the content of an answer is what a route asks for: one whole JSON
// document with the right values in it, of the right kind, about what was asked.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "proxy/body_rules.h"
#include "proxy/parameters.h"
#include "upstream/fetcher.h"

namespace holdfast::proxy {

// What a path says: of "/lookup/{ip:ip}" {"ip", "192.0.2.7", Ip}. Percent-encoding is undone, and
// the value is one of its type, which decides when a value in a content is the same: an IP
// address in any spelling, an integer by its value, as a number or as a string, UUID and
// hexadecimal digits in either case, anything else as text; a number is compared with a text by
// its value.
struct PathParameter {
  std::string_view name;
  std::string_view value;
  ParameterType type = ParameterType::Segment;
};

// One thread; keeps the parser's memory between calls.
class BodyCheck {
 public:
  explicit BodyCheck(BodyRules rules);
  ~BodyCheck();
  BodyCheck(const BodyCheck&) = delete;
  BodyCheck& operator=(const BodyCheck&) = delete;

  // Judges a complete 2xx or 4xx. Ok, InvalidBody, or WrongContent if all is right but
  // that it speaks of something else; Local if there was no memory to look. Without rules
  // everything but too large a content is Ok.
  //
  // A 4xx has to be the API's own word and not a balancer's page: one JSON object where the
  // rules ask for JSON, whatever its Content-Type. A 2xx other than 200 and 203 has no whole
  // content, and is refused if there are rules. Of values that a rule names none may
  // occur twice, nor what holds them; more members are fine.
  //
  // A reason repeats what the rules say, addresses and integers, and no other value of the
  // content: it is shown to others than who asked.
  upstream::Verdict validate(std::span<const PathParameter> parameters,
                             const upstream::Reply& reply);

  // Judges a 2xx whose content is too long to be held, or goes through in pieces, by its head: what
  // a head cannot tell has to be nothing that is asked for. `length`: of the content, if it is
  // known. Any thread.
  upstream::Verdict validate_head(const upstream::Reply& reply,
                                  std::optional<std::uint64_t> length) const;

 private:
  class Document;
  const BodyRules rules_;
  std::unique_ptr<Document> document_;
};

}  // namespace holdfast::proxy
