// The one form of a request's path that is matched, keyed and sent upstream. Spellings that
// RFC 3986 calls equal become one, spellings that may mean different things stay different,
// and what servers are known to read in two ways is refused.
//
//   in the path                              becomes
//   ---------------------------------------  ------------------------------------------------
//   letters, digits, - . _ ~                 themselves (unreserved: RFC 3986, 2.3)
//   an escape of one of those                the character
//   ! $ & ' ( ) * + , ; = : @                themselves; escaped they are another path (2.2)
//   any other escape                         itself, its hex in upper case; so %2F and %5C stay
//                                            content of their segment, and %25 is never decoded
//   a byte above 0x7F                        its escape; that it is UTF-8 is not asked for
//   space " < > [ ] ^ ` { | }                their escapes
//   //                                       itself: an empty segment is a segment
//
//   and is refused:
//   % without two hex digits                 a lenient server keeps it, another drops it
//   control characters, DEL, raw or escaped  they end strings, lines and log entries
//   a raw backslash                          some take it for a slash
//   ? and #                                  they end a path, so none holds them
//   a dot segment                            servers on the way resolve it, or not, or differently
//   a path that does not start with "/"      so the "*" of OPTIONS and the empty path: whoever
//                                            takes those must do so before
//
// A dot segment is "." or ".." as the most credulous server sees it: after decoding, with %2F
// and %5C for separators, and without path parameters. So "%2e%2e", "a%2F..", "..%5c" and "..;x"
// are refused, "..." and "a;.." are not. Decoding is done once: "%252e" is the text "%2e".
#pragma once

#include <string>
#include <string_view>

namespace holdfast::proxy {

// Null, and `canonical` is the canonical form; or why the path is refused with 400, for people
// (static text), and `canonical` is unchanged. The form is a view of `path` itself if that was
// canonical already, which allocates and copies nothing, or else of `storage`, whose capacity is
// used again. It is its own canonical form. `path` must not be a view of `storage`.
// Any thread, on the serving path.
const char* canonical_path(std::string_view path, std::string& storage,
                           std::string_view& canonical);

}  // namespace holdfast::proxy
