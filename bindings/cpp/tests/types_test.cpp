// Names, numbers, nodes and results: what needs no service.
#include "machine.hpp"

#include <algorithm>
#include <sstream>
#if __cplusplus > 202002L
#include <expected>
#endif

TEST(every_status_has_a_name_and_a_class) {
    struct Known {
        quorate_status status;
        const char *name;
        Outcome outcome;
    } all[] = {
        {QUORATE_ERR_INVALID, "invalid argument", Outcome::NotDone},
        {QUORATE_ERR_TOO_LARGE, "too large", Outcome::NotDone},
        {QUORATE_ERR_IN_CALLBACK, "called from a callback", Outcome::NotDone},
        {QUORATE_ERR_FORKED, "called after fork", Outcome::NotDone},
        {QUORATE_ERR_CLOSED, "closed", Outcome::NotDone},
        {QUORATE_ERR_UNSUPPORTED, "unsupported", Outcome::NotDone},
        {QUORATE_ERR_NOT_FOUND, "not found", Outcome::NotDone},
        {QUORATE_ERR_NOT_LEADER, "not leader", Outcome::NotDone},
        {QUORATE_ERR_BUSY, "busy", Outcome::NotDone},
        {QUORATE_ERR_DISK_FULL, "disk full", Outcome::NotDone},
        {QUORATE_ERR_LOST, "lost", Outcome::NotDone},
        {QUORATE_ERR_NO_CLUSTER, "no cluster", Outcome::NotDone},
        {QUORATE_ERR_ALREADY_MEMBER, "already a member", Outcome::NotDone},
        {QUORATE_ERR_OTHER_CLUSTER, "of another cluster", Outcome::NotDone},
        {QUORATE_ERR_HAS_DATA, "has data of its own", Outcome::NotDone},
        {QUORATE_ERR_CHANGE_IN_PROGRESS, "change in progress", Outcome::NotDone},
        {QUORATE_ERR_UNREACHABLE, "unreachable", Outcome::NotDone},
        {QUORATE_ERR_ADDRESS_IN_USE, "address in use", Outcome::NotDone},
        {QUORATE_ERR_IO, "input or output error", Outcome::NotDone},
        {QUORATE_ERR_LOCKED, "locked", Outcome::NotDone},
        {QUORATE_ERR_CORRUPT, "corrupt", Outcome::NotDone},
        {QUORATE_ERR_IDENTITY, "wrong identity", Outcome::NotDone},
        {QUORATE_ERR_VERSION, "unknown version", Outcome::NotDone},
        {QUORATE_ERR_STATE_MACHINE, "state machine does not fit", Outcome::NotDone},
        {QUORATE_ERR_TIMEOUT, "timed out", Outcome::Unknown},
        {QUORATE_ERR_LEADERSHIP_LOST, "leadership lost", Outcome::Unknown},
        {QUORATE_ERR_INTERRUPTED, "interrupted", Outcome::Unknown},
        {QUORATE_ERR_SKIPPED, "skipped", Outcome::Unknown},
        {QUORATE_ERR_LEFT_CLUSTER, "left the cluster", Outcome::Unknown},
        {QUORATE_ERR_STORAGE_FAILED, "storage failed", Outcome::Fatal},
        {QUORATE_ERR_STATE_MACHINE_FAILED, "state machine failed", Outcome::Fatal},
        {QUORATE_ERR_INTERNAL, "internal error", Outcome::Fatal},
        {QUORATE_ERR_IDENTITY_TAKEN, "identity taken", Outcome::Fatal},
    };
    for (auto &known : all) {
        Error e(known.status, "");
        CHECK_EQ(std::string(e.name()), known.name);
        CHECK(e.outcome() == known.outcome);
    }
}

TEST(a_status_newer_than_the_program_falls_in_the_right_class) {
    CHECK(Error(-999, "").outcome() == Outcome::NotDone);
    CHECK(Error(-1999, "").outcome() == Outcome::Unknown);
    CHECK(Error(-2999, "").outcome() == Outcome::Fatal);
    CHECK(Error(7, "").outcome() == Outcome::Done);
    CHECK_EQ(std::string(Error(-999, "").name()), "unknown status");
}

TEST(words_are_those_of_the_page) {
    CHECK_EQ(to_string(State::Follower), "Follower");
    CHECK_EQ(to_string(State::Candidate), "Candidate");
    CHECK_EQ(to_string(State::Leader), "Leader");
    CHECK_EQ(to_string(State::Standalone), "Standalone");
    CHECK_EQ(to_string(State::Stopping), "Stopping");
    CHECK_EQ(to_string(State::Stopped), "Stopped");
    CHECK_EQ(to_string(State::Failed), "Failed");
    CHECK_EQ(to_string(static_cast<State>(9)), "State(9)");
    CHECK_EQ(to_string(MembershipChangeMode::Stable), "Stable");
    CHECK_EQ(to_string(MembershipChangeMode::ProposedJointConsensus), "ProposedJointConsensus");
    CHECK_EQ(to_string(MembershipChangeMode::ProposedFinalConsensus), "ProposedFinalConsensus");
    CHECK_EQ(to_string(static_cast<MembershipChangeMode>(-1)), "MembershipChangeMode(-1)");
    CHECK_EQ(to_string(LoopCommand::UpdateConfiguration), "UpdateConfiguration");
    CHECK_EQ(to_string(LoopCommand::JoinAsFollower), "JoinAsFollower");
    CHECK_EQ(to_string(LoopCommand::JoinAsCandidate), "JoinAsCandidate");
    CHECK_EQ(to_string(static_cast<LoopCommand>(3)), "LoopCommand(3)");
}

TEST(node_ids_are_base_36) {
    for (uint64_t id : {uint64_t(1), uint64_t(35), uint64_t(36), uint64_t(1) << 62, ~uint64_t(0) >> 1})
        CHECK_EQ(parse_node_id(format_node_id(id)), id);
    CHECK_EQ(format_node_id(35), "z");
    CHECK_EQ(format_node_id(36), "10");
    CHECK_EQ(parse_node_id("no id!"), 0u);
    CHECK_EQ(parse_node_id(""), 0u);
}

TEST(nodes_look_as_they_do_in_c) {
    quorate_node raw[] = {{7, "a:1", {0, 0}}, {36, "b:2", {0, 0}}};
    detail::Owned<char> one(quorate_node_string(&raw[1]));
    CHECK_EQ(to_string(Node{36, "b:2"}), one.get());

    quorate_node_list list{};
    list.current = raw, list.current_len = 2;
    detail::Owned<char> stable(quorate_node_list_string(&list));
    CHECK_EQ(to_string(NodeList{{{7, "a:1"}, {36, "b:2"}}, {}, {}}), stable.get());
    list.next = raw + 1, list.next_len = 1;
    detail::Owned<char> joint(quorate_node_list_string(&list));
    CHECK_EQ(to_string(NodeList{{{7, "a:1"}, {36, "b:2"}}, {{36, "b:2"}}, {}}), joint.get());
}

TEST(a_node_list_finds_its_nodes_once) {
    NodeList list{{{1, "a"}, {2, "b"}}, {{2, "b"}, {3, "c"}}, {{5, "e"}}};
    CHECK_EQ(list.get_node(3)->address, "c");
    CHECK_EQ(list.get_node(2), &list.current[1]);
    CHECK_EQ(list.get_node(5)->address, "e");
    CHECK(!list.get_node(4));
    CHECK((list.get_unique_nodes() == std::vector<Node>{{1, "a"}, {2, "b"}, {3, "c"}}));
}

TEST(a_computed_timeout_below_zero_is_over) {
    CHECK_EQ(detail::ms(forever), QUORATE_FOREVER);
    CHECK_EQ(detail::ms(-1ms), 0);
    CHECK_EQ(detail::ms(-5s), 0);
    CHECK_EQ(detail::ms(5s), 5000);
}

static Result<std::string> text(bool good) {
    if (good) return "text";
    return Failure(Error(QUORATE_ERR_BUSY, "the queue is full", Node{5, "e:5"}));
}

TEST(a_result_has_a_value_or_an_error) {
    auto good = text(true), bad = text(false);
    CHECK(good && good.has_value() && !bad && !bad.has_value());
    CHECK_EQ(*good, "text");
    CHECK_EQ(good->size(), 4u);
    CHECK_EQ(good.value(), "text");
    CHECK_EQ(bad.value_or("other"), "other");
    CHECK_EQ(text(true).value_or("other"), "text");
    CHECK_EQ(bad.error().status(), QUORATE_ERR_BUSY);
    CHECK_EQ(bad.error().leader()->address, "e:5");
    std::string moved = *std::move(good);
    CHECK_EQ(moved, "text");
    CHECK_EQ(text(true).value(), "text");

    Result<void> done, failed = Failure(bad.error());
    done.value();
    CHECK(done && !failed);
}

template <class F>
static std::string thrown(F &&f) {
    try {
        f();
    } catch (const quorate::Exception &e) {
        return std::string(e.error().name()) + ": " + e.what();
    }
    return "nothing";
}

TEST(the_value_of_a_failed_result_throws_its_error) {
    CHECK_EQ(thrown([] { (void)text(false).value(); }), "busy: the queue is full");
    CHECK_EQ(thrown([] { Result<void>(fail("no")).value(); }), "state machine failed: no");
    CHECK_EQ(thrown([] { (void)text(true).value(); }), "nothing");
    auto bad = text(false);
    CHECK_EQ(thrown([&] { bad.value() = "x"; }), "busy: the queue is full");
    const auto &same = bad;
    CHECK_EQ(thrown([&] { (void)same.value(); }), "busy: the queue is full");
}

TEST(results_are_copied_assigned_and_moved) {
    Result<std::string> a = text(true), b = text(false);
    a = b;
    CHECK_EQ(a.error().message(), "the queue is full");
    b = "again";
    CHECK_EQ(*b, "again");
    auto pointer = Result<std::unique_ptr<int>>(std::make_unique<int>(3));
    auto other = std::move(pointer);
    CHECK_EQ(**other, 3);
    Result<size_t> number = 5;  // converts as its T does
    CHECK_EQ(*number, 5u);
}

// std::expected of a later standard, for those that do not have it.
template <class T, class E>
struct Like {
    using value_type = T;
    using error_type = E;
    struct unexpected_type {
        explicit unexpected_type(E e) : error(std::move(e)) {}
        E error;
    };
    Like(T v) : value(std::move(v)) {}
    Like(unexpected_type u) : error(std::move(u.error)) {}
    std::optional<T> value;
    std::optional<E> error;
};

TEST(a_result_converts_to_what_has_the_shape_of_expected) {
    Like<std::string, Error> good = text(true), bad = text(false);
    CHECK_EQ(*good.value, "text");
    CHECK_EQ(bad.error->status(), QUORATE_ERR_BUSY);
    static_assert(!std::is_convertible_v<Result<std::string>, Like<int, Error>>);
    static_assert(!std::is_convertible_v<Result<std::string>, Like<std::string, int>>);
    static_assert(!std::is_convertible_v<Result<std::string>, std::string>);
    static_assert(!std::is_convertible_v<Result<uint64_t>, uint64_t>);
}

#if defined(__cpp_lib_expected)
TEST(a_result_converts_to_expected) {
    std::expected<std::string, Error> good = text(true), bad(text(false));
    CHECK_EQ(*good, "text");
    CHECK_EQ(bad.error().status(), QUORATE_ERR_BUSY);
    std::expected<void, Error> done = Result<void>(), failed = Result<void>(fail("no"));
    CHECK(done.has_value() && failed.error().message() == "no");
    std::expected<std::unique_ptr<int>, Error> moved = Result<std::unique_ptr<int>>(std::make_unique<int>(3));
    CHECK_EQ(**moved, 3);
    auto back = [](bool ok) -> std::expected<std::string, Error> { return text(ok); };
    CHECK(back(true) && !back(false));
}
#endif

TEST(views_are_ranges) {
    quorate_entry raw[3] = {QUORATE_ENTRY_INIT, QUORATE_ENTRY_INIT, QUORATE_ENTRY_INIT};
    for (uint64_t i = 0; i < 3; i++) raw[i].index = i + 1;
    Entries entries(raw, 3);
    auto found = std::find_if(entries.begin(), entries.end(), [](EntryView e) { return e.index() == 2; });
    CHECK(found != entries.end() && (*found).index() == 2);
    CHECK_EQ(std::distance(entries.begin(), entries.end()), 3);
    CHECK_EQ(entries[2].index(), 3u);
    CHECK(!entries.empty() && Entries(nullptr, 0).empty());
    CHECK(entries[0].data().empty() && entries[0].tags().empty());
#if __cplusplus >= 202002L
    static_assert(std::input_iterator<Entries::iterator>);
    static_assert(std::sentinel_for<Entries::iterator, Entries::iterator>);
#endif
}

TEST(an_entry_borrows_text_of_every_kind) {
    std::string owned = "owned";
    CHECK_EQ(detail::text(Entry(owned).capi().data), "owned");
    CHECK_EQ(detail::text(Entry("array").capi().data), "array");
    CHECK_EQ(detail::text(Entry(std::string_view("a\0b", 3)).capi().data), std::string_view("a\0b", 3));
    Entry entry(owned);
    entry.type(7).timestamp(5ns).tags({"x", "y"});
    auto raw = entry.capi();
    CHECK_EQ(raw.type, 7);
    CHECK_EQ(raw.timestamp_ns, 5);
    CHECK_EQ(raw.tags_len, 2u);
    CHECK_EQ(detail::text(raw.tags[1]), "y");
    std::vector<std::string> tags = {"one"};
    entry.tags(tags);
    CHECK_EQ(entry.capi().tags_len, 1u);
}
