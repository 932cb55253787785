// QueryRules make the one form of a request's query that goes into the cache key and to the
// upstream: what the key leaves out, the upstream never sees. Data, once parsed; any thread.
//
//   in the query                             becomes
//   ---------------------------------------  ------------------------------------------------
//   letters, digits, - . _ ~                 themselves (unreserved: RFC 3986, 2.3)
//   an escape of one of those                the character
//   ! $ ' ( ) * , : @ / ?                    themselves; escaped they are something else (2.2)
//   & and the first = of a parameter         what separates parameters, and a name from its value
//   +                                        itself: it is a space to forms, and to nobody else
//   ;                                        itself under `all`; see below
//   any other escape                         itself, its hex in upper case; also that of a control
//                                            character, as of a line's end in the text of a form
//   a byte above 0x7F                        its escape; that it is UTF-8 is not asked for
//   space " < > [ ] ^ ` { | }                their escapes
//
//   and is refused:
//   % without two hex digits                 a lenient server keeps it, another drops it
//   control characters, DEL, and %00         they end strings, lines and log entries
//   a raw backslash                          some take it for a slash
//   #                                        it ends a query, so none holds it
//
// Parameters stand between "&", empty ones too: "a", "a=", "a&" and "&a" are four queries, and "?"
// alone is not the same as no query. Of what is left out only the name is looked at.
//
// Names are compared after decoding, letter by letter. Some servers take ";" for a separator: to
// those, "utm_x=1;q=2" is two parameters, of which the second has another name. So where a
// rule goes by names, a raw ";" becomes "%3B", in which nobody sees one.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace holdfast::proxy {

// As it is written in the settings.
struct QuerySettings {
  enum class Which { All, None, Keep, Ignore };
  Which which = Which::All;
  // Of Keep and Ignore: decoded; "utm_*" is all that begin with "utm_".
  std::vector<std::string> names;
  // By name, as bytes; values of equal names keep their order. A query with a raw ";" under `all`
  // is left as it is: who knows where its parameters begin.
  bool sort = false;
  bool operator==(const QuerySettings&) const = default;
};

class QueryRules {
 public:
  // All as it comes, in its canonical form.
  QueryRules() = default;
  static base::Result<QueryRules> parse(const QuerySettings& settings);

  // Null, and the canonical form is appended: with its "?", or nothing where no query or no
  // parameter is left. Or why the query is refused with 400, for people (static text), and `out` is
  // unchanged. `query` is without its "?", null if there was none; no view of `out`. On the serving
  // path: allocates nothing but what `out` needs to grow, for a while twice the query's form.
  const char* append(std::optional<std::string_view> query, std::string& out) const;

 private:
  struct Name {
    std::string text;
    bool prefix = false;
  };

  bool keeps(std::string_view canonical_name) const;
  const char* append_kept(std::string_view query, std::string& out) const;

  QuerySettings::Which which_ = QuerySettings::Which::All;
  bool sort_ = false;
  std::vector<Name> names_;
};

}  // namespace holdfast::proxy
