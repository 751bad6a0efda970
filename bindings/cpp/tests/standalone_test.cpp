// One service alone: what goes in comes out, once, in order, whole, and again after a restart.
#include "machine.hpp"

TEST(a_new_service_is_standalone_and_leads_itself) {
    Member m;
    auto &s = m.start();
    auto info = s.info();
    CHECK(info.state == State::Standalone);
    CHECK(info.membership_change_mode == MembershipChangeMode::Stable);
    CHECK(info.my_id != 0);
    CHECK_EQ(info.cluster_id, 0u);
    CHECK_EQ(info.failure, QUORATE_OK);
    CHECK_HAS(info.address, "127.0.0.1:");
    CHECK(info.address != "127.0.0.1:0");
    CHECK(s.node_config().current.empty() && s.node_config().next.empty());
    CHECK_HAS(s.report(), "{");
    CHECK_HAS(s.report(Report::Prometheus), "quorate_");
    CHECK(s.report(static_cast<Report>(99)).empty());
}

TEST(a_proposal_is_answered_by_the_state_machine) {
    Member m;
    auto &s = m.start();
    auto reply = OK(s.propose_wait("one", 10s));
    CHECK_EQ(reply.data, "one applied");
    CHECK(reply.index > 0 && reply.term > 0);
    auto rows = m.ledger->rows();
    CHECK_EQ(rows.size(), 1u);
    CHECK_EQ(rows[0].index, reply.index);
    CHECK_EQ(rows[0].term, reply.term);
    CHECK(s.info().last_applied >= reply.index);
    OK(s.read_barrier(10s));
    OK(s.read_barrier());
}

TEST(propose_returns_where_the_change_stands) {
    Member m;
    auto &s = m.start();
    auto first = OK(s.propose("a", 10s)), second = OK(s.propose("b", 10s));
    CHECK_EQ(second.index, first.index + 1);
    CHECK(m.applied(second.index));
    CHECK((m.ledger->texts() == std::vector<std::string>{"a", "b"}));
}

TEST(type_tags_time_and_bytes_arrive_as_they_were_given) {
    Member m;
    auto &s = m.start();
    std::string bytes;
    for (int i = 0; i < 256; i++) bytes.push_back(static_cast<char>(i));
    OK(s.propose_wait(Entry(bytes).type(7).timestamp(-5ns).tags({"a", "", "\xc3\xa4"}), 10s));
    auto reply = OK(s.propose_wait(Entry(""), 10s));
    auto rows = m.ledger->rows();
    CHECK_EQ(rows.size(), 2u);
    CHECK(rows[0].data == bytes);
    CHECK_EQ(rows[0].type, 7);
    CHECK_EQ(rows[0].timestamp_ns, -5);
    CHECK((rows[0].tags == std::vector<std::string>{"a", "", "\xc3\xa4"}));
    CHECK(rows[1].data.empty() && rows[1].tags.empty());
    CHECK_EQ(reply.data, " applied");
}

TEST(what_does_not_fit_is_refused_with_the_reason) {
    Member m;
    m.settings = {{"max_entry_bytes", "64KiB"}};
    auto &s = m.start();
    OK(s.propose_wait(std::string(65536, 'x'), 10s));
    auto large = ERR(s.propose_wait(std::string(65537, 'x'), 10s));
    CHECK_EQ(large.status(), QUORATE_ERR_TOO_LARGE);
    CHECK(large.outcome() == Outcome::NotDone);
    CHECK_HAS(large.message(), "max_entry_bytes");
    CHECK_EQ(STATUS(s.propose(std::string(65537, 'x'), 10s)), QUORATE_ERR_TOO_LARGE);
    auto reserved = ERR(s.propose_wait(Entry("x").type(-1), 10s));
    CHECK_EQ(reserved.status(), QUORATE_ERR_INVALID);
    CHECK_HAS(reserved.message(), "reserved");
    CHECK_EQ(STATUS(s.propose(Entry("x").tags({"\xff"}), 10s)), QUORATE_ERR_INVALID);
    CHECK_EQ(STATUS(s.propose(Entry("x").tags({std::string(65536, 't')}), 10s)), QUORATE_ERR_TOO_LARGE);
    OK(s.propose_wait("still there", 10s));
    CHECK_EQ(m.ledger->rows().size(), 2u);
}

TEST(a_restart_applies_the_log_again) {
    Member m;
    auto &s = m.start();
    auto id = s.info().my_id;
    for (auto text : {"a", "b", "c"}) OK(s.propose_wait(text, 10s));
    auto before = m.ledger->rows();
    m.restart();
    CHECK_EQ(m->info().my_id, id);
    CHECK(m.applied(before.back().index));
    auto after = m.ledger->rows();
    CHECK_EQ(after.size(), 3u);
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQ(after[i].index, before[i].index);
        CHECK_EQ(after[i].data, before[i].data);
    }
}

TEST(a_machine_that_keeps_its_state_gets_only_what_it_lacks) {
    Member m;
    m.start();
    std::vector<Reply> replies;
    for (auto text : {"a", "b", "c"}) replies.push_back(OK(m->propose_wait(text, 10s)));
    m.stop();
    m.ledger = std::make_shared<Ledger>();
    m.ledger->on_open = [&]() -> Result<Applied> { return Applied{replies[1].index, replies[1].term, 0}; };
    m.start();
    CHECK(m.applied(replies[2].index));
    CHECK((m.ledger->texts() == std::vector<std::string>{"c"}));
}

TEST(a_machine_that_is_ahead_of_the_log_is_refused) {
    Member m;
    m.ledger->on_open = []() -> Result<Applied> { return Applied{1000, 0, 0}; };
    auto e = ERR(Service::start(m.config()));
    CHECK_EQ(e.status(), QUORATE_ERR_STATE_MACHINE);
    CHECK(e.outcome() == Outcome::NotDone);
    CHECK_HAS(e.message(), "1000");
}

TEST(memory_storage_needs_no_directory) {
    auto ledger = std::make_shared<Ledger>();
    auto s = OK(Service::start(Config().set("storage", "memory").state_machine(ledger)));
    CHECK_EQ(OK(s.propose_wait("x", 10s)).data, "x applied");
    CHECK(s.info().address.empty());
}

TEST(many_threads_propose_at_once) {
    Member m;
    auto &s = m.start();
    std::vector<std::thread> threads;
    std::vector<std::string> failures(4);
    for (size_t t = 0; t < 4; t++)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 50; i++) {
                auto text = std::to_string(t) + ":" + std::to_string(i);
                auto reply = s.propose_wait(text, 30s);
                if (!reply || reply->data != text + " applied") failures[t] = text;
            }
        });
    for (auto &thread : threads) thread.join();
    for (auto &failure : failures) CHECK_EQ(failure, "");
    auto rows = m.ledger->rows();
    CHECK_EQ(rows.size(), 200u);
    for (size_t i = 1; i < rows.size(); i++) CHECK(rows[i].index > rows[i - 1].index);
}
