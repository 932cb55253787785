// StreamAttempt is an Attempt whose content and answer go through in pieces. Private to
// CurlTransport. Loop's own thread only.
//
// It is sent once. libcurl by itself sends a request again that met a dead kept connection: whether
// the server has read it nobody knows. So it always goes on a new connection, which libcurl never
// tries again; it is HTTP/1.1, where no server can refuse a stream to have it sent anew; and what
// libcurl asks before each sending is denied the second time, whatever the reason for it.
//
// libcurl does not know of an Expect: to a 417 it would send the request again without, and throw
// away that answer's content. So of two lines for Expect the first, an empty one, tells it that
// none is wanted, and the second is sent as it stands; what it means is done here, by a content
// that is not there yet.
#pragma once

#include <functional>
#include <string>

#include "upstream/curl_attempt.h"
#include "upstream/streaming.h"

namespace holdfast::upstream {

class StreamAttempt final : public Attempt {
 public:
  struct Told {
    // Takes out of the head what nobody may see.
    std::function<void(Fields&)> hide;
    // Nothing has moved for too long: stall() it. From the loop.
    std::function<void()> stalled;
    // There is something to go on with: go_on(). From the loop.
    std::function<void()> ready;
    // Nothing more comes, its answer is whole or there is none, and libcurl would not end while
    // content is missing: end() it. From the loop.
    std::function<void(bool answered)> over;
  };

  StreamAttempt(Transport::AttemptId id, base::EventLoop& loop,
                const CurlTransport::Settings& settings, const Sending& sending,
                const StreamRequest& request, StreamPeer& peer, Transport::Callback callback,
                Told told);
  ~StreamAttempt() override;

  void end(CURLcode code) override;
  // There is content again, or room. Not OK: it has ended with that.
  CURLcode go_on();
  void stall();

 private:
  std::vector<std::string> lines(const Fields& fields) const override;
  void shape(CURL* easy) override;
  void began() override;
  bool may_send() override;
  void interim_came(int status, const Fields& fields) override;
  void continue_came() override;
  bool may_have_content() const override { return request_.method != "HEAD"; }
  bool head_came(long status) override;
  std::size_t take_body(std::string_view bytes) override;

  static std::size_t on_read(char* at, std::size_t size, std::size_t count, void* self);
  base::SteadyTime due() const;
  bool answer_is_whole() const;
  void look_whether_answered();
  void hand_over();
  // Soon, as it may be the middle of the transfer.
  void ask_for_content_at(base::SteadyTime when);
  // Of an answer up to the connection's end, before which no content was asked for, and of a
  // connection that ends before either.
  void look_for_end();
  void moved();
  void watch();

  StreamRequest request_;
  StreamPeer& peer_;
  Told told_;
  std::uint64_t left_ = 0;                    // of a content with a length
  std::optional<std::uint64_t> answer_left_;  // of an answer whose length is known
  bool sent_ = false;
  bool took_content_ = false;
  bool waits_for_content_ = false;
  bool waits_for_room_ = false;
  // Of a content that is not sent unasked: whether the head has gone, what the server said to it.
  enum class Asked { NotYet, Waits, Yes, Never };
  Asked asked_;
  base::SteadyTime moved_{};
  std::string refusal_;   // why the answer's head is none for a client
  std::string gathered_;  // of the answer's content, in this turn of libcurl's
  base::Timer watch_timer_;
  base::Timer answered_timer_;
  base::Timer continue_timer_;
  base::Timer end_timer_;
};

}  // namespace holdfast::upstream
