#include "daemon/admin_client.h"

#include <curl/curl.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "upstream/outgoing.h"

namespace holdfast::daemon {
namespace {

constexpr long kPatienceSeconds = 30;

std::size_t append(char* bytes, std::size_t, std::size_t count, void* body) {
  static_cast<std::string*>(body)->append(bytes, count);
  return count;
}

}  // namespace

base::Result<AdminAnswer> ask_admin(const std::string& path, const AdminCall& call) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(),
                                                                 &curl_easy_cleanup);
  const std::string url = "http://holdfast" + call.target;
  AdminAnswer answer;
  const auto set = [&curl](CURLoption option, auto value) {
    return curl_easy_setopt(curl.get(), option, value) == CURLE_OK;
  };
  const bool ready = curl && set(CURLOPT_UNIX_SOCKET_PATH, path.c_str()) &&
                     set(CURLOPT_URL, url.c_str()) && set(CURLOPT_NOPROXY, "*") &&
                     set(CURLOPT_TIMEOUT, kPatienceSeconds) &&
                     set(CURLOPT_WRITEFUNCTION, &append) && set(CURLOPT_WRITEDATA, &answer.body) &&
                     (!call.is_post || set(CURLOPT_POSTFIELDS, ""));
  const CURLcode result = ready ? curl_easy_perform(curl.get()) : CURLE_FAILED_INIT;
  if (result != CURLE_OK) {
    long system_error = 0;
    if (curl) curl_easy_getinfo(curl.get(), CURLINFO_OS_ERRNO, &system_error);
    const char* const why = system_error != 0 ? std::strerror(static_cast<int>(system_error))
                                              : curl_easy_strerror(result);
    const bool absent = system_error == ENOENT;
    const bool nobody = absent || system_error == ECONNREFUSED;
    return base::internal_error(nobody ? base::ErrorKind::Unavailable : base::ErrorKind::Io,
                                path + ": " + why +
                                    (absent ? "; is the daemon running? The setting ADMIN_SOCKET "
                                              "(admin_socket in its file) makes "
                                              "its socket"
                                            : ""));
  }
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  answer.status = static_cast<int>(status);
  return answer;
}

std::string escaped_argument(std::string_view value) {
  return upstream::escaped_for_query(value);
}

}  // namespace holdfast::daemon
