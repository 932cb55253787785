// Base64 (RFC 4648, section 4) for bytes that JSON cannot carry. Any thread.
#pragma once

#include <string>
#include <string_view>

namespace holdfast::cache {

void append_base64(std::string& out, std::string_view bytes);
// False if `text` is not base64 with its padding.
bool decode_base64(std::string_view text, std::string& bytes);

}  // namespace holdfast::cache
