// quorate.hpp - the C++17 interface of quorate: header-only, over quorate.h.
//
// Handles are move-only and free themselves; capi() gives the C handle. One that was moved from, or
// closed, answers with an error. Errors are values: a Result<T> is the same class in every standard and
// converts to std::expected. Nothing here throws but value() of a failed Result; what a callback throws
// fails that callback and never crosses a C frame. Objects that a program derives are held by
// shared_ptr: the service keeps its share until it is gone, and the program goes on reading its own
// state. Meaning, threads and errors of each function are those of its namesake in quorate.h.
// Since: 0.1
#pragma once

#include "quorate/entry.hpp"
#include "quorate/hooks.hpp"
#include "quorate/logger.hpp"
#include "quorate/queue.hpp"
#include "quorate/storage.hpp"
#include "quorate/transport.hpp"
#include "quorate/types.hpp"

#include <map>

namespace quorate {

// ---- Configuration ------------------------------------------------------------------------------

// A chain of settings and hooks; the first mistake is what Service::start returns.
class Config {
public:
    Config() : c_(quorate_config_new()) {}
    Config &set(const std::string &key, const std::string &value) & {
        keep(detail::no_nul("key of a setting", key));
        keep(detail::no_nul(key.c_str(), value));
        return keep(detail::call([&](quorate_error **e) {
            return quorate_config_set(c_.get(), key.c_str(), value.c_str(), e);
        }));
    }
    Config &&set(const std::string &key, const std::string &value) && {
        return std::move(set(key, value));
    }
    template <bool Catch = QUORATE_CPP_EXCEPTIONS>
    Config &state_machine(std::shared_ptr<StateMachine> machine) & {
        return hook<Catch>(std::move(machine), "state machine", quorate_config_state_machine);
    }
    template <bool Catch = QUORATE_CPP_EXCEPTIONS>
    Config &&state_machine(std::shared_ptr<StateMachine> machine) && {
        return std::move(state_machine<Catch>(std::move(machine)));
    }
    // A store of the program's own, instead of the setting "storage".
    template <bool Catch = QUORATE_CPP_EXCEPTIONS>
    Config &storage(std::shared_ptr<Storage> storage) & {
        return hook<Catch>(std::move(storage), "storage", quorate_config_storage);
    }
    template <bool Catch = QUORATE_CPP_EXCEPTIONS>
    Config &&storage(std::shared_ptr<Storage> storage) && {
        return std::move(this->storage<Catch>(std::move(storage)));
    }
    // A network of the program's own, instead of the setting "listen".
    template <bool Catch = QUORATE_CPP_EXCEPTIONS>
    Config &transport(std::shared_ptr<Transport> transport) & {
        return hook<Catch>(std::move(transport), "transport", quorate_config_transport);
    }
    template <bool Catch = QUORATE_CPP_EXCEPTIONS>
    Config &&transport(std::shared_ptr<Transport> transport) && {
        return std::move(this->transport<Catch>(std::move(transport)));
    }
    // Where the service's log lines go: those of this level, and of what matters more.
    template <bool Catch = QUORATE_CPP_EXCEPTIONS>
    Config &logger(Logger logger, LogLevel level = LogLevel::Info) & {
        auto shared = logger ? std::make_shared<Logger>(std::move(logger)) : nullptr;
        return hook<Catch>(std::move(shared), "logger",
                           [level](quorate_config *config, quorate_logger *t, quorate_error **e) {
                               t->level = static_cast<int32_t>(level);
                               return quorate_config_logger(config, t, e);
                           });
    }
    template <bool Catch = QUORATE_CPP_EXCEPTIONS>
    Config &&logger(Logger logger, LogLevel level = LogLevel::Info) && {
        return std::move(this->logger<Catch>(std::move(logger), level));
    }
    const Result<void> &mistake() const { return mistake_; }
    quorate_config *capi() const { return c_.get(); }

private:
    template <bool Catch, class Hook, class Give>
    Config &hook(std::shared_ptr<Hook> object, const char *what, Give give) {
        if (!object) return keep(fail(QUORATE_ERR_INVALID, std::string("the ") + what + " is empty"));
        auto t = detail::table<Catch>(std::move(object));
        return keep(detail::call([&](quorate_error **e) { return give(c_.get(), &t, e); }));
    }
    Config &keep(Result<void> r) {
        if (mistake_ && !r) mistake_ = std::move(r);
        return *this;
    }
    detail::Owned<quorate_config> c_;
    Result<void> mistake_;
};

// ---- Service ------------------------------------------------------------------------------------

// The page's plain getters, all of one moment.
struct Info {
    State state = State::Stopped;
    MembershipChangeMode membership_change_mode = MembershipChangeMode::Stable;
    quorate_status failure = 0;  // with State::Failed the fatal code
    uint64_t my_id = 0, cluster_id = 0, leader_id = 0, current_term = 0, commit_index = 0, last_applied = 0;
    uint64_t first_index = 0, last_index = 0, last_term = 0;
    std::string address;  // where the listener really is
};
struct ProtocolStatus {
    std::optional<std::map<uint64_t, uint64_t>> peer_indices;
};

class Service {
public:
    static Result<Service> start(Config config) {
        if (quorate_abi_version() != QUORATE_ABI_VERSION)
            return Failure(Error(QUORATE_ERR_VERSION, std::string("quorate.hpp and libquorate ") +
                                                          quorate_version() +
                                                          " do not fit together: compile the program anew"));
        if (!config.mistake()) return Failure(config.mistake().error());
        quorate_service *s = nullptr;
        auto r = detail::call([&](quorate_error **e) { return quorate_service_start(config.capi(), &s, e); });
        if (!r) return Failure(r.error());
        return Service(s);
    }
    Result<void> close() {
        return detail::call([&](quorate_error **e) { return quorate_service_close(capi(), e); });
    }

    // ---- The cluster
    Result<void> initialize_cluster(const std::string &address, Timeout t = forever) {
        if (auto r = detail::no_nul("address", address); !r) return r;
        return detail::call([&](quorate_error **e) {
            return quorate_service_initialize_cluster(capi(), address.c_str(), detail::ms(t), e);
        });
    }
    Result<void> add_node(const std::string &address, Timeout t = forever) {
        if (auto r = detail::no_nul("address", address); !r) return r;
        return detail::call([&](quorate_error **e) {
            return quorate_service_add_node(capi(), address.c_str(), detail::ms(t), e);
        });
    }
    Result<void> remove_node(uint64_t node_id, Timeout t = forever) {
        return detail::call([&](quorate_error **e) {
            return quorate_service_remove_node(capi(), node_id, detail::ms(t), e);
        });
    }

    // From now on every event of this service is a completion of `q` with this token; see
    // Completion::event.
    Result<void> subscribe(Queue &q, uint64_t token) {
        return detail::call(
            [&](quorate_error **e) { return quorate_service_subscribe(capi(), q.capi(), token, e); });
    }

    // ---- Frames of a Transport; the last three want theirs to be of that kind
    Result<void> deliver(std::string_view frame) { return deliver(quorate_service_deliver, frame); }
    Result<void> append(std::string_view frame) { return deliver(quorate_service_append, frame); }
    Result<void> request_vote(std::string_view frame) { return deliver(quorate_service_request_vote, frame); }
    Result<void> join(std::string_view frame) { return deliver(quorate_service_join, frame); }

    // ---- Writing and reading
    Result<Position> propose(const Entry &entry, Timeout t = forever) {
        quorate_entry raw = entry.capi();
        Position p;
        auto r = detail::call([&](quorate_error **e) {
            return quorate_service_propose(capi(), &raw, detail::ms(t), &p.index, &p.term, e);
        });
        if (!r) return Failure(r.error());
        return p;
    }
    Result<Reply> propose_wait(const Entry &entry, Timeout t = forever) {
        quorate_entry raw = entry.capi();
        quorate_result *out = nullptr;
        auto r = detail::call([&](quorate_error **e) {
            return quorate_service_propose_wait(capi(), &raw, detail::ms(t), &out, e);
        });
        if (!r) return Failure(r.error());
        detail::Owned<quorate_result> result(out);
        return Reply{result->index, result->term, std::string(detail::text(result->data))};
    }
    // How many were taken, from the front; each of these gives one completion in `q`.
    Result<size_t> submit(Queue &q, const std::vector<Request> &requests) {
        std::vector<quorate_request> raw;
        raw.reserve(requests.size());
        for (auto &r : requests) raw.push_back(r.capi());
        return submit(q, raw.data(), raw.size());
    }
    Result<size_t> submit(Queue &q, const Request &request) {
        quorate_request raw = request.capi();
        return submit(q, &raw, 1);
    }
    Result<size_t> submit(Queue &q, const std::vector<quorate_request> &requests) {
        return submit(q, requests.data(), requests.size());
    }
    Result<size_t> submit(Queue &q, const quorate_request *requests, size_t n) {
        quorate_error *e = nullptr;
        auto s = quorate_service_submit(capi(), q.capi(), requests, n, &e);
        if (s < 0) return detail::failure(s, e);
        return static_cast<size_t>(s);
    }
    Result<void> read_barrier(ReadMode mode = ReadMode::Linearizable, Timeout t = forever) {
        return detail::call([&](quorate_error **e) {
            return quorate_service_read_barrier(capi(), static_cast<int32_t>(mode), detail::ms(t), e);
        });
    }
    Result<void> read_barrier(Timeout t) { return read_barrier(ReadMode::Linearizable, t); }

    // ---- Looking; goes on to work after close
    Info info() const {
        quorate_info raw{};
        raw.struct_size = sizeof raw;
        Info i;
        if (quorate_service_info(capi(), &raw) < 0) return i;
        i.state = static_cast<State>(raw.state);
        i.membership_change_mode = static_cast<MembershipChangeMode>(raw.membership_change_mode);
        i.failure = raw.failure;
        i.my_id = raw.my_id, i.cluster_id = raw.cluster_id, i.leader_id = raw.leader_id;
        i.current_term = raw.current_term;
        i.commit_index = raw.commit_index, i.last_applied = raw.last_applied;
        i.first_index = raw.first_index, i.last_index = raw.last_index, i.last_term = raw.last_term;
        if (raw.address) i.address = raw.address;
        return i;
    }
    NodeList node_config() const {
        detail::Owned<quorate_node_list> raw(quorate_service_node_config(capi()));
        NodeList list;
        if (!raw) return list;
        list.current = nodes(raw->current, raw->current_len);
        list.next = nodes(raw->next, raw->next_len);
        list.learners = nodes(raw->learners, raw->learners_len);
        return list;
    }
    ProtocolStatus raft_status() const {
        detail::Owned<quorate_protocol_status> raw(quorate_service_raft_status(capi()));
        ProtocolStatus status;
        if (!raw || !raw->peer_indices) return status;
        status.peer_indices.emplace();
        for (size_t i = 0; i < raw->peer_indices_len; i++)
            (*status.peer_indices)[raw->peer_indices[i].node_id] = raw->peer_indices[i].index;
        return status;
    }
    std::string report(Report kind = Report::Json) const {
        detail::Owned<char> text(quorate_service_report(capi(), static_cast<int32_t>(kind)));
        return text ? text.get() : "";
    }
    ChangeTracker applied_tracker() const { return ChangeTracker(quorate_service_applied_tracker(capi())); }

    quorate_service *capi() const { return s_.get(); }

private:
    explicit Service(quorate_service *s) : s_(s) {}
    template <class Deliver>
    Result<void> deliver(Deliver into, std::string_view frame) {
        return detail::call(
            [&](quorate_error **e) { return into(capi(), frame.data(), frame.size(), e); });
    }
    static std::vector<Node> nodes(const quorate_node *first, size_t n) {
        std::vector<Node> all;
        for (size_t i = 0; i < n; i++) all.push_back({first[i].node_id, first[i].address});
        return all;
    }
    detail::Owned<quorate_service> s_;
};

}  // namespace quorate
