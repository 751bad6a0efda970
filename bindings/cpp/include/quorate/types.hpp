// quorate/types.hpp - constants, nodes, errors and results; included by quorate.hpp.
#pragma once

#include "quorate.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

// Whether this translation unit can throw. It is a template argument wherever the answer changes code,
// so that objects compiled with and without -fno-exceptions can be linked into one program.
#if defined(__cpp_exceptions)
#define QUORATE_CPP_EXCEPTIONS true
#else
#define QUORATE_CPP_EXCEPTIONS false
#endif

namespace quorate {

// ---- Constants and enumerations -----------------------------------------------------------------

using Timeout = std::chrono::milliseconds;
// Without end. A timeout that was computed and came out negative is over, not endless.
inline constexpr Timeout forever = Timeout::max();

// The page's values, which profile "classic" sets.
inline constexpr Timeout heartbeat_timeout{QUORATE_HEARTBEAT_TIMEOUT_MS};
inline constexpr Timeout election_timeout{QUORATE_ELECTION_TIMEOUT_MS};
inline constexpr Timeout node_proposal_timeout{QUORATE_NODE_PROPOSAL_TIMEOUT_MS};
inline constexpr int32_t membership_change = QUORATE_ENTRY_MEMBERSHIP_CHANGE;
inline constexpr int32_t web_hook_change = QUORATE_ENTRY_WEB_HOOK_CHANGE;
inline constexpr const char *current_term_key = QUORATE_KEY_CURRENT_TERM;
inline constexpr const char *voted_for_key = QUORATE_KEY_VOTED_FOR;
inline constexpr const char *local_id_key = QUORATE_KEY_LOCAL_ID;
inline constexpr const char *cluster_id_key = QUORATE_KEY_CLUSTER_ID;
inline constexpr const char *last_applied_key = QUORATE_KEY_LAST_APPLIED;
inline constexpr const char *node_config_key = QUORATE_KEY_NODE_CONFIG;
inline constexpr const char *web_hooks_key = QUORATE_KEY_WEB_HOOKS;

enum class Outcome : int32_t { Done, NotDone, Unknown, Fatal };
enum class State : int32_t { Follower, Candidate, Leader, Standalone, Stopping, Stopped, Failed };
enum class MembershipChangeMode : int32_t { Stable, ProposedJointConsensus, ProposedFinalConsensus };
enum class LoopCommand : int32_t { UpdateConfiguration, JoinAsFollower, JoinAsCandidate };
enum class ReadMode : int32_t { Linearizable };
enum class Report : int32_t { Json, Prometheus };

namespace detail {
inline int64_t ms(Timeout t) {
    return t == forever ? QUORATE_FOREVER : std::max<int64_t>(t.count(), 0);
}
inline std::string word(std::string text, int32_t number) {  // "State(?)" -> "State(9)"
    if (auto at = text.find('?'); at != text.npos) text.replace(at, 1, std::to_string(number));
    return text;
}
inline std::string_view text(quorate_bytes b) { return {static_cast<const char *>(b.data), b.len}; }
inline quorate_bytes bytes(std::string_view s) { return {s.data(), s.size()}; }

// A service may not be waited for in a callback, where the destructor of an object that holds it may run:
// then another thread frees it.
inline void free_service(quorate_service *s) noexcept {
    auto run = [](void *p) -> void * {
        quorate_service_free(static_cast<quorate_service *>(p));
        return nullptr;
    };
    pthread_t thread;
    if (quorate_service_close(s, nullptr) != QUORATE_ERR_IN_CALLBACK)
        run(s);
    else if (pthread_create(&thread, nullptr, run, s) == 0)
        pthread_detach(thread);
}

struct Free {
    void operator()(void *p) const noexcept { quorate_free(p); }
    void operator()(quorate_config *p) const noexcept { quorate_config_free(p); }
    void operator()(quorate_queue *p) const noexcept { quorate_queue_free(p); }
    void operator()(quorate_service *p) const noexcept { free_service(p); }
    void operator()(quorate_tracker *p) const noexcept { quorate_tracker_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;
}  // namespace detail

inline std::string to_string(State s) {
    auto number = static_cast<int32_t>(s);
    return detail::word(quorate_state_string(number), number);
}
inline std::string to_string(MembershipChangeMode m) {
    auto number = static_cast<int32_t>(m);
    return detail::word(quorate_membership_change_mode_string(number), number);
}
inline std::string to_string(LoopCommand c) {
    auto number = static_cast<int32_t>(c);
    return detail::word(quorate_loop_command_string(number), number);
}

// ---- Nodes --------------------------------------------------------------------------------------

inline std::string format_node_id(uint64_t id) {
    char out[QUORATE_NODE_ID_SIZE] = "";
    quorate_node_id_format(id, out);
    return out;
}
inline uint64_t parse_node_id(const std::string &text) {  // 0 for anything that is not an id
    return quorate_node_id_parse(text.c_str());
}

struct Node {
    uint64_t node_id = 0;
    std::string address;

    friend bool operator==(const Node &a, const Node &b) {
        return a.node_id == b.node_id && a.address == b.address;
    }
    friend bool operator!=(const Node &a, const Node &b) { return !(a == b); }
};
inline std::string to_string(const Node &n) {
    return "Node{" + format_node_id(n.node_id) + ": " + n.address + "}";
}

// A configuration; `next` is empty except during joint consensus. Learners are sent the log and do not
// vote, such as a node that catches up.
struct NodeList {
    std::vector<Node> current, next, learners;

    const Node *get_node(uint64_t id) const {
        for (auto *side : {&current, &next, &learners})
            for (auto &n : *side)
                if (n.node_id == id) return &n;
        return nullptr;
    }
    std::vector<Node> get_unique_nodes() const {
        std::vector<Node> all = current;
        for (auto &n : next)
            if (get_node(n.node_id) == &n) all.push_back(n);
        return all;
    }
};
inline std::string to_string(const NodeList &list) {
    std::string s = "NodeList{Current:";
    for (auto &n : list.current) s += (&n == list.current.data() ? "" : ", ") + n.address;
    for (auto &n : list.next) s += (&n == list.next.data() ? ", Next:" : ", ") + n.address;
    return s + "}";
}

// ---- Errors -------------------------------------------------------------------------------------

class Error {
public:
    Error(quorate_status status, std::string message, std::optional<Node> leader = {})
        : status_(status), message_(std::move(message)), leader_(std::move(leader)) {}
    quorate_status status() const noexcept { return status_; }                    // QUORATE_ERR_*
    const char *name() const noexcept { return quorate_status_string(status_); }  // "not leader"
    Outcome outcome() const noexcept { return static_cast<Outcome>(quorate_status_outcome(status_)); }
    const std::string &message() const noexcept { return message_; }
    const std::optional<Node> &leader() const noexcept { return leader_; }  // with NOT_LEADER

private:
    quorate_status status_;
    std::string message_;
    std::optional<Node> leader_;
};

// What value() of a failed Result throws.
class Exception : public std::runtime_error {
public:
    explicit Exception(Error e) : std::runtime_error(e.message()), error_(std::move(e)) {}
    const Error &error() const noexcept { return error_; }

private:
    Error error_;
};

struct Failure {
    explicit Failure(Error e) : error(std::move(e)) {}
    Error error;
};

// What a callback returns when it fails. The status only counts from Storage::open.
inline Failure fail(std::string message) {
    return Failure(Error(QUORATE_ERR_STATE_MACHINE_FAILED, std::move(message)));
}
inline Failure fail(quorate_status status, std::string message) {
    return Failure(Error(status, std::move(message)));
}

namespace detail {
template <bool Throw>
[[noreturn]] void no_value([[maybe_unused]] const Error &e) {
#if defined(__cpp_exceptions)
    if constexpr (Throw) throw Exception(e);
#endif
    std::terminate();
}

// std::expected<T, Error>, or another class of its shape. Asked by shape and not by name, so that
// Result is the same class in every standard.
template <class E, class T, class = void>
struct IsExpected : std::false_type {};
template <class E, class T>
struct IsExpected<E, T, std::void_t<typename E::value_type, typename E::unexpected_type>>
    : std::bool_constant<std::is_same_v<typename E::value_type, T> &&
                         std::is_same_v<typename E::error_type, Error>> {};
}  // namespace detail

// ---- Result -------------------------------------------------------------------------------------

// A T, or an Error. The members are those of std::expected that are used most, and it converts to it.
// `*` and `->` want a value to be there; value() without one throws Exception (std::terminate where
// exceptions are off).
template <class T>
class [[nodiscard]] Result {
public:
    using value_type = T;
    using error_type = Error;

    template <class U = T,
              class = std::enable_if_t<std::conjunction_v<
                  std::negation<std::is_same<std::decay_t<U>, Result>>, std::is_convertible<U &&, T>>>>
    Result(U &&value) : v_(std::in_place_index<0>, std::forward<U>(value)) {}
    Result(Failure f) : v_(std::in_place_index<1>, std::move(f.error)) {}

    bool has_value() const noexcept { return v_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    T &operator*() & { return *there(&v_); }
    const T &operator*() const & { return *there(&v_); }
    T &&operator*() && { return std::move(*there(&v_)); }
    T *operator->() { return there(&v_); }
    const T *operator->() const { return there(&v_); }

    template <bool Throw = QUORATE_CPP_EXCEPTIONS>
    T &value() & {
        if (!has_value()) detail::no_value<Throw>(error());
        return **this;
    }
    template <bool Throw = QUORATE_CPP_EXCEPTIONS>
    const T &value() const & {
        if (!has_value()) detail::no_value<Throw>(error());
        return **this;
    }
    template <bool Throw = QUORATE_CPP_EXCEPTIONS>
    T &&value() && {
        if (!has_value()) detail::no_value<Throw>(error());
        return *std::move(*this);
    }
    template <class U>
    T value_or(U &&other) const & {
        return has_value() ? **this : static_cast<T>(std::forward<U>(other));
    }
    template <class U>
    T value_or(U &&other) && {
        return has_value() ? *std::move(*this) : static_cast<T>(std::forward<U>(other));
    }
    const Error &error() const {
        assert(!has_value());
        return *std::get_if<1>(&v_);
    }

    template <class E, class = std::enable_if_t<detail::IsExpected<E, T>::value>>
    operator E() const & {
        if (has_value()) return E(**this);
        return E(typename E::unexpected_type(error()));
    }
    template <class E, class = std::enable_if_t<detail::IsExpected<E, T>::value>>
    operator E() && {
        if (has_value()) return E(*std::move(*this));
        return E(typename E::unexpected_type(error()));
    }

private:
    template <class V>
    static auto *there(V *v) {
        auto *value = std::get_if<0>(v);
        assert(value && "a failed Result has no value");
        return value;
    }
    std::variant<T, Error> v_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    using value_type = void;
    using error_type = Error;

    Result() = default;
    Result(Failure f) : e_(std::move(f.error)) {}

    bool has_value() const noexcept { return !e_; }
    explicit operator bool() const noexcept { return has_value(); }
    template <bool Throw = QUORATE_CPP_EXCEPTIONS>
    void value() const {
        if (!has_value()) detail::no_value<Throw>(error());
    }
    const Error &error() const {
        assert(!has_value());
        return *e_;
    }

    template <class E, class = std::enable_if_t<detail::IsExpected<E, void>::value>>
    operator E() const {
        if (has_value()) return E();
        return E(typename E::unexpected_type(error()));
    }

private:
    std::optional<Error> e_;
};

namespace detail {
inline Failure failure(quorate_status status, quorate_error *raw) {
    Owned<quorate_error> e(raw);
    if (!e) return Failure(Error(status, quorate_status_string(status)));
    std::optional<Node> leader;
    if (e->leader) leader = Node{e->leader->node_id, e->leader->address};
    return Failure(Error(status, e->message, std::move(leader)));
}
template <class F>
Result<void> call(F &&f) {  // a C function whose last argument is the error
    quorate_error *e = nullptr;
    if (quorate_status s = f(&e); s < 0) return failure(s, e);
    return {};
}
// C text ends at its first NUL: one inside would cut the text without a word.
inline Result<void> no_nul(const char *what, std::string_view text) {
    if (text.find('\0') == text.npos) return {};
    return Failure(Error(QUORATE_ERR_INVALID, std::string("the ") + what + " contains a NUL; leave it out"));
}
}  // namespace detail

}  // namespace quorate
