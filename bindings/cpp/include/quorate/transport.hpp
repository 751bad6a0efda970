// quorate/transport.hpp - a network of the program's own; included by quorate.hpp.
#pragma once

#include "quorate/hooks.hpp"

namespace quorate {

// Carries frames whole and unaltered, or loses them; what arrives is handed to Service::deliver.
class Transport {
public:
    virtual ~Transport() = default;
    // Sends one frame without waiting for the network. node_id is 0 while only the address is known. A
    // Failure, or what it throws: not sent, and the node counts as unreachable for now. Runs on the thread
    // quorate-loop.
    virtual Result<void> send(uint64_t node_id, const std::string &address, std::string_view frame) = 0;
};

// What a frame is about; Service::deliver takes all kinds.
enum class FrameKind : int32_t {
    Other = QUORATE_FRAME_OTHER,
    Append = QUORATE_FRAME_APPEND,
    RequestVote = QUORATE_FRAME_REQUEST_VOTE,
    Join = QUORATE_FRAME_JOIN
};
inline Result<FrameKind> frame_kind(std::string_view frame) {
    auto s = quorate_frame_kind(frame.data(), frame.size());
    if (s < 0) return detail::failure(s, nullptr);
    return static_cast<FrameKind>(s);
}

namespace detail {
template <bool Catch>
quorate_transport table(std::shared_ptr<Transport> transport) {
    quorate_transport t{};
    t.struct_size = sizeof t;
    t.send = [](void *c, uint64_t node_id, const char *address, const void *frame, size_t len,
                quorate_error **err) noexcept {
        return guard<Catch>(err,
                            [&] { return hook<Transport>(c).send(node_id, address, text({frame, len})); });
    };
    t.drop = [](void *c) noexcept { drop<Transport>(c); };
    t.ctx = share(std::move(transport));
    return t;
}
}  // namespace detail

}  // namespace quorate
