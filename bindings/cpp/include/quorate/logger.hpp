// quorate/logger.hpp - the log lines of one service; included by quorate.hpp.
#pragma once

#include "quorate/hooks.hpp"

#include <functional>

namespace quorate {

enum class LogLevel : int32_t {
    Error = QUORATE_LOG_ERROR,  // the service can't go on
    Warn = QUORATE_LOG_WARN,    // something is wrong, and somebody should look at it
    Info = QUORATE_LOG_INFO,    // what an operator wants to know: starts, leaders, members
    Debug = QUORATE_LOG_DEBUG   // what helps to find a fault
};

// A line. It borrows its text: copy what you keep.
struct LogRecord {
    LogLevel level;
    uint64_t node_id;  // 0 before it is known
    std::chrono::nanoseconds timestamp;  // since 1970 UTC
    std::string_view target, message;    // "quorate::raft", a sentence
    std::string_view file;
    uint32_t line;
};

// Takes the lines of one service; from any of the library's threads, several at a time. What it throws is
// dropped with the line.
using Logger = std::function<void(const LogRecord &)>;

namespace detail {
template <bool Catch>
quorate_logger table(std::shared_ptr<Logger> logger) {
    quorate_logger t{};
    t.struct_size = sizeof t;
    t.write = [](void *c, const quorate_log_record *r) noexcept {
        quorate_error *err = nullptr;
        guard<Catch>(&err, [&]() -> Result<void> {
            hook<Logger>(c)({static_cast<LogLevel>(r->level), r->node_id,
                             std::chrono::nanoseconds(r->timestamp_ns), r->target, text(r->message), r->file,
                             r->line});
            return {};
        });
        quorate_free(err);
    };
    t.drop = [](void *c) noexcept { drop<Logger>(c); };
    t.ctx = share(std::move(logger));
    return t;
}
}  // namespace detail

}  // namespace quorate
