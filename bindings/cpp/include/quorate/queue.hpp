// quorate/queue.hpp - completions, events, requests and trackers; included by quorate.hpp.
#pragma once

#include "quorate/entry.hpp"

namespace quorate {

// Where a change stands in the log.
struct Position {
    uint64_t index = 0, term = 0;
};
// Likewise, with the state machine's reply.
struct Reply {
    uint64_t index = 0, term = 0;
    std::string data;
};

// Something that happened to a service; which fields count depends on its kind.
enum class EventKind : int32_t {
    Leader = QUORATE_EVENT_LEADER,          // node_id leads in `term`; 0: no leader is known
    Membership = QUORATE_EVENT_MEMBERSHIP,  // `configuration` is in force, or committed: text says which
    Failed = QUORATE_EVENT_FAILED,          // the service failed: status and text say why
    State = QUORATE_EVENT_STATE,            // the service has this state
    DiskFull = QUORATE_EVENT_DISK_FULL,     // no room for new entries (on), or room again
    Peer = QUORATE_EVENT_PEER,              // something is wrong with the way to node_id: text
    Abstaining = QUORATE_EVENT_ABSTAINING,  // no votes until this node is repaired (on), or votes again
    Closed = QUORATE_EVENT_CLOSED           // the last one
};
struct Event {
    EventKind kind = EventKind::Closed;  // skip what you do not know
    uint64_t number = 0;                 // from 1 on for each service; a gap: events were lost
    uint64_t term = 0, node_id = 0, configuration = 0;
    State state = State::Stopped;
    bool on = false;
    quorate_status status = 0;
    std::string text;
};

// One finished piece of work, or an event. Lives until the next poll of its queue.
class Completion {
public:
    explicit Completion(const quorate_completion &c) : c_(&c) {}
    uint64_t token() const { return c_->token; }
    int32_t op() const { return c_->op; }  // QUORATE_OP_*, _EVENT_*; skip what you do not know
    quorate_status status() const { return c_->status; }
    Outcome outcome() const { return static_cast<Outcome>(quorate_status_outcome(c_->status)); }
    uint64_t index() const { return c_->index; }
    uint64_t term() const { return c_->term; }
    uint64_t node_id() const { return c_->node_id; }                  // with NOT_LEADER the leader
    uint64_t number() const { return c_->number; }                    // of an event, else 0
    std::string_view data() const { return detail::text(c_->data); }  // reply or error message
    Result<Reply> result() const {                                    // a copy
        if (c_->status >= 0) return Reply{c_->index, c_->term, std::string(data())};
        std::optional<Node> leader;
        if (c_->node_id != 0) leader = Node{c_->node_id, ""};
        return Failure(Error(c_->status, std::string(data()), std::move(leader)));
    }
    std::optional<Event> event() const {  // a copy; none when it is no event
        if (c_->op < QUORATE_EVENT_LEADER) return {};
        Event e;
        e.kind = static_cast<EventKind>(c_->op);
        e.number = c_->number, e.term = c_->term, e.node_id = c_->node_id, e.status = c_->status;
        e.text = data();
        if (e.kind == EventKind::Membership) e.configuration = c_->index;
        if (e.kind == EventKind::State) e.state = static_cast<State>(c_->index);
        if (e.kind == EventKind::DiskFull || e.kind == EventKind::Abstaining) e.on = c_->index != 0;
        return e;
    }

    operator const quorate_completion &() const { return *c_; }

private:
    const quorate_completion *c_;
};
using Completions = View<quorate_completion, Completion>;

class Queue {
public:
    static Result<Queue> create() {
        if (auto *q = quorate_queue_new()) return Queue(q);
        return Failure(Error(QUORATE_ERR_IO, "no file descriptor is left, or the process was forked"));
    }
    int fd() const { return quorate_queue_fd(q_.get()); }
    Result<Completions> poll(Timeout t = forever) {  // valid until the next poll
        auto s = quorate_queue_poll(q_.get(), buffer_.data(), buffer_.size(), detail::ms(t));
        if (s < 0) return detail::failure(s, nullptr);
        return Completions(buffer_.data(), static_cast<size_t>(s));
    }
    void wake() { quorate_queue_wake(q_.get()); }
    quorate_queue *capi() const { return q_.get(); }

private:
    explicit Queue(quorate_queue *q) : q_(q), buffer_(256) {}
    detail::Owned<quorate_queue> q_;
    std::vector<quorate_completion> buffer_;
};

// One piece of asynchronous work. It borrows what its entry borrows.
class Request {
public:
    static Request propose(uint64_t token, Entry entry, Timeout t = forever) {
        return Request(QUORATE_OP_PROPOSE, token, std::move(entry), t);
    }
    static Request propose_wait(uint64_t token, Entry entry, Timeout t = forever) {
        return Request(QUORATE_OP_PROPOSE_WAIT, token, std::move(entry), t);
    }
    static Request read_barrier(uint64_t token, Timeout t = forever) {
        return Request(QUORATE_OP_READ_BARRIER, token, Entry(""), t);
    }
    static Request initialize_cluster(uint64_t token, std::string_view address, Timeout t = forever) {
        return Request(QUORATE_OP_INITIALIZE_CLUSTER, token, Entry(address), t);
    }
    static Request add_node(uint64_t token, std::string_view address, Timeout t = forever) {
        return Request(QUORATE_OP_ADD_NODE, token, Entry(address), t);
    }
    static Request remove_node(uint64_t token, uint64_t node_id, Timeout t = forever) {
        Request r(QUORATE_OP_REMOVE_NODE, token, Entry(""), t);
        r.r_.entry.index = node_id;
        return r;
    }
    Request &token(uint64_t token) {
        r_.token = token;
        return *this;
    }
    quorate_request capi() const {  // valid while this request is
        quorate_request r = r_;
        r.entry = entry_.capi();
        r.entry.index = r_.entry.index;
        return r;
    }

private:
    Request(int32_t op, uint64_t token, Entry entry, Timeout t) : entry_(std::move(entry)) {
        r_.token = token;
        r_.op = op;
        r_.timeout_ms = detail::ms(t);
    }
    quorate_request r_ = QUORATE_REQUEST_INIT;
    Entry entry_;
};

// A counter to wait on. All objects of one name are one tracker.
class ChangeTracker {
public:
    ChangeTracker() : ChangeTracker(quorate_tracker_new()) {}
    explicit ChangeTracker(quorate_tracker *owned) : t_(owned) {}
    static ChangeTracker named(const std::string &name) {
        return ChangeTracker(quorate_tracker_named(name.c_str()));
    }
    Result<void> update(uint64_t change) {
        if (auto s = quorate_tracker_update(t_.get(), change); s < 0) return detail::failure(s, nullptr);
        return {};
    }
    uint64_t wait(uint64_t change) { return quorate_tracker_wait(t_.get(), change); }
    uint64_t timed_wait(uint64_t change, Timeout t) {
        return t == forever ? wait(change) : quorate_tracker_timed_wait(t_.get(), change, t.count());
    }
    Result<void> notify(uint64_t change, Timeout t, Queue &q, uint64_t token) {
        return detail::call([&](quorate_error **e) {
            return quorate_tracker_notify(t_.get(), change, detail::ms(t), q.capi(), token, e);
        });
    }
    void close() { quorate_tracker_close(t_.get()); }
    quorate_tracker *capi() const { return t_.get(); }

private:
    detail::Owned<quorate_tracker> t_;
};

}  // namespace quorate
