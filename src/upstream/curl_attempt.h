// Attempt is one easy handle, what it needs while it runs, and the reply it becomes.
// The handle is never used for another attempt: libcurl 7.88 keeps a pointer to the last
// field it saw across curl_easy_reset(), frees that field, and folds the next answer's
// first line into it. Private to CurlTransport. Loop's own thread only.
#pragma once

#include <curl/curl.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/event_loop.h"
#include "upstream/curl_pool.h"
#include "upstream/curl_transport.h"
#include "upstream/reply_content.h"
#include "upstream/reply_head.h"
#include "upstream/trust_store.h"

namespace holdfast::upstream {

struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// What the TLS connections of one time have in common: whom they trust, and the sessions
// that may be taken up again, which were checked against that. Outlives their handles.
struct TlsState {
  std::shared_ptr<const Trust> trust;
  std::unique_ptr<CURLSH, decltype(&curl_share_cleanup)> sessions{nullptr, &curl_share_cleanup};
};

class Attempt {
 public:
  enum class Kind {
    Request,  // the caller's
    Spare,    // a request of our own, for the connection it leaves
    Knock,    // a connection, and no request
    Stream,   // the caller's, in pieces: a StreamAttempt
  };

  // `settings` and `loop` outlive the attempt. Throws std::bad_alloc.
  Attempt(Transport::AttemptId id, base::EventLoop& loop, const CurlTransport::Settings& settings,
          Kind kind, const Sending& sending, Transport::Callback callback);
  // Ends the transfer, if there is one.
  virtual ~Attempt();
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  // What is asked, and where: the target of `request` is in the URL already, and its credential
  // among its fields. Throws std::bad_alloc.
  void ask(const std::string& url, const Request& request);
  void set_with_token() { reply_.with_token = true; }
  // Sends it. Why it cannot be, in libcurl's words, or null. `tls` may be null where the
  // URL is not https.
  const char* run(std::shared_ptr<Pool> pool, std::shared_ptr<const TlsState> tls);
  // It does not run yet, but counts as being in that phase.
  void wait_in(Phase phase);
  // Its transfer has ended with that: makes the reply.
  virtual void end(CURLcode code);
  // It ends without a transfer.
  void fail(Outcome outcome, std::string detail, bool own_lack = false);

  static Attempt& of(CURL* easy);

  Transport::AttemptId id() const { return id_; }
  Kind kind() const { return kind_; }
  const Sending& sending() const { return sending_; }
  const std::shared_ptr<Pool>& pool() const { return pool_; }
  base::Duration time_left() const;
  bool ended() const { return ended_; }
  Progress progress() const;
  Reply& reply() { return reply_; }
  Transport::Callback& callback() { return callback_; }
  // For its time, while it waits to run.
  base::Timer& timer() { return timer_; }

 protected:
  // The lines of its head, as libcurl takes them.
  virtual std::vector<std::string> lines(const Fields& fields) const;
  // In one form that libcurl reads all of as fields of ours, and with what keeps it from adding
  // any.
  static std::vector<std::string> verbatim_lines(const Fields& fields);
  // Whatever else is to be set, behind all that every attempt has.
  virtual void shape(CURL* /*easy*/) {}
  // It is about to run.
  virtual void began() {}
  // It is about to be sent; false ends it instead.
  virtual bool may_send() { return true; }
  // One that can be passed on.
  virtual void interim_came(int status, const Fields& fields);
  // A 100 has.
  virtual void continue_came() {}
  // Whether its answer may have any: that to HEAD does not, whatever its head says.
  virtual bool may_have_content() const { return true; }
  // The head is whole. False ends it.
  virtual bool head_came(long status);
  // Returns what libcurl is told.
  virtual std::size_t take_body(std::string_view bytes);

  CURL* easy() const { return easy_.get(); }
  base::EventLoop& loop() const { return loop_; }
  const CurlTransport::Settings& settings() const { return settings_; }
  bool running() const { return running_; }
  bool head_is_whole() const { return head_.whole(); }
  const Fields& head_fields_that_came() { return head_.fields(); }
  bool answer_is_chunked() const { return chunks_.has_value(); }
  bool chunks_are_whole() const { return chunks_ && chunks_->whole(); }
  bool take_chunks(std::string_view bytes, std::string& content, std::size_t limit_bytes);
  void stop();

 private:
  void enter(Phase phase);
  void leave_phase();
  void judge_form(CURLcode code);
  void take_head();
  void undo_content_codings();
  void tell_interim(long status);
  bool states_too_much(long status);
  bool negotiated_http2() const;
  void watch_speed();

  static curl_socket_t on_open(void* self, curlsocktype purpose, curl_sockaddr* address);
  static CURLcode on_tls(CURL* easy, void* context, void* self);
  static int on_ready(void* self, char*, char*, int, int);
  static std::size_t on_head_line(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);

  Transport::AttemptId id_;
  base::EventLoop& loop_;
  const CurlTransport::Settings& settings_;
  Kind kind_;
  Sending sending_;
  Transport::Callback callback_;
  base::SteadyTime started_;
  std::shared_ptr<Pool> pool_;  // while it runs and after; null before
  std::shared_ptr<const TlsState> tls_;
  std::unique_ptr<CURL, EasyDeleter> easy_;  // goes before the two above
  std::unique_ptr<curl_slist, ListDeleter> fields_;
  std::unique_ptr<curl_slist, ListDeleter> connect_to_;
  ReplyHead head_;
  std::optional<ChunkedContent> chunks_;  // once the head says so
  Phase phase_ = Phase::Connect;
  base::SteadyTime since_;
  bool running_ = false;  // in the pool
  bool ended_ = false;    // its reply is made
  bool opened_ = false;   // a connection of its own
  int error_number_ = 0;  // errno of what went wrong here, where libcurl does not know it
  std::optional<base::Resource> lack_;
  sockaddr_storage to_{};  // where its connection goes
  socklen_t to_size_ = 0;
  bool verbatim_ = false;
  std::size_t body_limit_bytes_;
  bool content_too_large_ = false;
  std::array<char, CURL_ERROR_SIZE> error_{};
  Reply reply_;
  base::Timer timer_;
};

}  // namespace holdfast::upstream
