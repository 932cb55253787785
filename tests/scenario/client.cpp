#include "client.h"

#include <curl/curl.h>
#include <strings.h>

#include <map>
#include <memory>
#include <stdexcept>

namespace holdfast::scenario {
namespace {

constexpr long kTimeoutSeconds = 60;

struct Transfer {
  CURL* handle = nullptr;
  curl_slist* fields = nullptr;
  Response* response = nullptr;

  ~Transfer() {
    curl_easy_cleanup(handle);
    curl_slist_free_all(fields);
  }
};

std::size_t append(char* data, std::size_t size, std::size_t count, void* text) {
  static_cast<std::string*>(text)->append(data, size * count);
  return size * count;
}

std::unique_ptr<Transfer> prepare(const Query& query, Response& response) {
  auto transfer = std::make_unique<Transfer>();
  transfer->response = &response;
  transfer->handle = curl_easy_init();
  if (!transfer->handle) throw std::runtime_error("curl_easy_init failed");
  CURL* const handle = transfer->handle;
  curl_easy_setopt(handle, CURLOPT_URL, query.url.c_str());
  curl_easy_setopt(handle, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_PROXY, "");
  curl_easy_setopt(handle, CURLOPT_TIMEOUT, kTimeoutSeconds);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &response.body);
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, append);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, &response.head);
  if (query.method == "HEAD") {
    curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
  } else if (query.method != "GET") {
    curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, query.method.c_str());
  }
  if (!query.body.empty()) {
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE, static_cast<long>(query.body.size()));
    curl_easy_setopt(handle, CURLOPT_COPYPOSTFIELDS, query.body.c_str());
    if (query.method != "POST") {
      curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, query.method.c_str());
    }
  }
  for (const std::string& field : query.fields) {
    transfer->fields = curl_slist_append(transfer->fields, field.c_str());
  }
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, transfer->fields);
  return transfer;
}

void take_result(Transfer& transfer, CURLcode code) {
  Response& response = *transfer.response;
  double seconds = 0;
  curl_easy_getinfo(transfer.handle, CURLINFO_TOTAL_TIME, &seconds);
  response.duration = std::chrono::duration<double>(seconds);
  if (code != CURLE_OK) {
    response.error = curl_easy_strerror(code);
    return;
  }
  long status = 0;
  curl_easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &status);
  response.status = static_cast<int>(status);
}

}  // namespace

std::string Response::field(std::string_view name) const {
  for (std::size_t at = 0; at < head.size();) {
    const std::size_t end = head.find("\r\n", at);
    const std::string_view line = std::string_view(head).substr(at, end - at);
    const std::size_t colon = line.find(':');
    if (colon == name.size() && strncasecmp(line.data(), name.data(), colon) == 0) {
      const std::size_t value = line.find_first_not_of(' ', colon + 1);
      return std::string(value == line.npos ? "" : line.substr(value));
    }
    if (end == std::string::npos) break;
    at = end + 2;
  }
  return "";
}

Response ask(const Query& query) {
  Response response;
  const auto transfer = prepare(query, response);
  take_result(*transfer, curl_easy_perform(transfer->handle));
  return response;
}

std::vector<Response> ask_all(const std::vector<Query>& queries, std::size_t concurrency) {
  std::vector<Response> responses(queries.size());
  std::map<CURL*, std::unique_ptr<Transfer>> running;
  CURLM* const multi = curl_multi_init();
  std::size_t next = 0;
  while (next < queries.size() || !running.empty()) {
    while (next < queries.size() && running.size() < concurrency) {
      auto transfer = prepare(queries[next], responses[next]);
      curl_multi_add_handle(multi, transfer->handle);
      running.emplace(transfer->handle, std::move(transfer));
      ++next;
    }
    int active = 0;
    curl_multi_perform(multi, &active);
    int left = 0;
    bool finished = false;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const auto found = running.find(message->easy_handle);
      take_result(*found->second, message->data.result);
      curl_multi_remove_handle(multi, found->first);
      running.erase(found);
      finished = true;
    }
    if (!finished && !running.empty()) curl_multi_poll(multi, nullptr, 0, 1000, nullptr);
  }
  curl_multi_cleanup(multi);
  return responses;
}

}  // namespace holdfast::scenario
