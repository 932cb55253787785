// The command line of `holdfast explain` and `holdfast check`, beside the settings' flags: which
// request is meant. One thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace holdfast::config {

struct ExplainCommand {
  std::string method = "GET";
  std::string host;                                         // empty: none is said
  std::string target;                                       // path and query
  std::vector<std::pair<std::string, std::string>> fields;  // without Host
  bool json = false;
};

// Which of the two the first argument is; None: neither.
enum class RequestCommand { None, Explain, Check };
RequestCommand request_command(int argc, const char* const* argv);

// "/v1/x?y" or "http://host/v1/x?y", and fields as "Name: value", of which a Host wins over that of
// the URL. Errors: InvalidInput, for people.
base::Result<ExplainCommand> make_explain_command(const std::string& url_or_path,
                                                  const std::string& method,
                                                  const std::vector<std::string>& fields);

}  // namespace holdfast::config
