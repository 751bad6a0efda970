// A node of the demo, in C++. usage: node-cpp DIR HOST:PORT
//
// Lines in: init ADDRESS | add ADDRESS | remove ID | status | load FILE PART OF | hash | dump FILE. Each is
// answered by a line that begins with the same word; `load` goes on beside the others and prints
// `progress N` and at its end `loaded N SECONDS LONGEST-PAUSE`.
#include "quorate.hpp"

#include <fstream>
#include <iomanip>
#include <iostream>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

static std::mutex output;
static void say(const std::string &line) {
    std::lock_guard lock(output);
    std::cout << line << std::endl;
}

static uint64_t fnv1a(std::string_view text) {
    uint64_t h = 0xcbf29ce484222325u;
    for (unsigned char c : text) h = (h ^ c) * 0x100000001b3u;
    return h;
}

// The state machine: the command is KEY, a tab, VALUE.
class Kv final : public quorate::StateMachine {
public:
    quorate::Result<void> commit(quorate::Entries entries, quorate::Output) override {
        std::lock_guard lock(mutex_);
        for (auto entry : entries) {
            std::string_view record = entry.data();
            auto tab = std::min(record.find('\t'), record.size());
            rows_[std::string(record.substr(0, tab))] = record.substr(std::min(tab + 1, record.size()));
        }
        return {};
    }
    std::string hash() {  // the sum of the hashes of the rows: the same in every order
        uint64_t sum = 0;
        std::lock_guard lock(mutex_);
        for (auto &[key, value] : rows_) sum += fnv1a(key + "\t" + value + "\n");
        std::ostringstream text;
        text << std::hex << std::setw(16) << std::setfill('0') << sum << std::dec << " " << rows_.size();
        return text.str();
    }
    void dump(const std::string &path) {
        std::ofstream file(path);
        std::lock_guard lock(mutex_);
        for (auto &[key, value] : rows_) file << key << "\t" << value << "\n";
    }

private:
    std::mutex mutex_;
    std::unordered_map<std::string, std::string> rows_;
};

// Proposes every of-th record from part on, a window at a time; what was acknowledged before a crash is
// known from the file `acked` and not proposed again.
class Loader {
public:
    Loader(quorate::Service &service, const std::string &folder, const std::string &file, size_t part, size_t of)
        : service_(service) {
        std::string line, path = folder + "/acked";
        std::set<size_t> known;
        for (std::ifstream acked(path); std::getline(acked, line);) known.insert(std::stoul(line));
        for (std::ifstream in(file); std::getline(in, line);) records_.push_back(line);
        for (size_t n = part; n < records_.size(); n += of)
            if (!known.count(n)) todo_.push_back(n);
        before_ = known.size();
        acked_.open(path, std::ios::app);
    }
    void run() {
        auto queue = quorate::Queue::create();
        if (!queue) return say("error load: " + queue.error().message());
        size_t total = todo_.size(), done = 0;
        auto started = Clock::now(), last = started;
        Clock::duration longest{};
        while (done < total) {
            submit(*queue);
            auto completions = queue->poll(100ms);
            if (!completions || completions->size() == 0) continue;
            for (const quorate_completion &c : *completions) done += settle(c, done);
            acked_.flush();
            longest = std::max(longest, Clock::now() - last);
            last = Clock::now();
        }
        auto seconds = [](Clock::duration d) { return std::to_string(std::chrono::duration<double>(d).count()); };
        say("progress " + std::to_string(before_ + done));
        say("loaded " + std::to_string(total) + " " + seconds(Clock::now() - started) + " " + seconds(longest));
    }

private:
    void submit(quorate::Queue &queue) {
        std::vector<quorate_request> requests;
        for (size_t n = 0; n < todo_.size() && n + under_way_ < 256; n++) {
            quorate_request request = QUORATE_REQUEST_INIT;
            request.token = todo_[todo_.size() - 1 - n];
            request.timeout_ms = 10000;
            request.entry.data = {records_[request.token].data(), records_[request.token].size()};
            requests.push_back(request);
        }
        if (requests.empty()) return;
        if (auto taken = service_.submit(queue, requests)) {
            todo_.resize(todo_.size() - *taken);
            under_way_ += *taken;
        }
    }
    size_t settle(const quorate_completion &c, size_t done) {
        under_way_--;
        if (c.status < 0) {  // twice does no harm, so whatever became of it: once more
            todo_.push_back(c.token);
            return 0;
        }
        acked_ << c.token << "\n";
        if ((done + 1) % 500 == 0) say("progress " + std::to_string(before_ + done + 1));
        return 1;
    }

    quorate::Service &service_;
    std::vector<std::string> records_;
    std::vector<size_t> todo_;
    size_t before_ = 0, under_way_ = 0;
    std::ofstream acked_;
};

static std::string run(quorate::Service &service, Kv &kv, const std::string &verb, const std::string &rest) {
    quorate::Result<void> done;
    if (verb == "init") done = service.initialize_cluster(rest, 30s);
    if (verb == "add") done = service.add_node(rest, 30s);
    if (verb == "remove") done = service.remove_node(quorate::parse_node_id(rest), 30s);
    if (verb == "dump") kv.dump(rest);
    if (verb == "hash") return "hash " + kv.hash();
    if (verb == "status") {
        auto info = service.info();
        return "status state=" + to_string(info.state) + " id=" + quorate::format_node_id(info.my_id) +
               " applied=" + std::to_string(info.last_applied);
    }
    return done ? verb : "error " + verb + ": " + done.error().message();
}

int main(int argc, char **argv) {
    if (argc < 3) return std::cerr << "usage: node-cpp DIR HOST:PORT\n", 2;
    auto kv = std::make_shared<Kv>();
    quorate::Config config;
    config.set("data_dir", argv[1]).set("listen", argv[2]).state_machine(kv);
    auto service = quorate::Service::start(std::move(config));
    if (!service) return std::cerr << "node-cpp: " << service.error().message() << "\n", 1;
    say("ready");
    for (std::string line; std::getline(std::cin, line);) {
        auto space = std::min(line.find(' '), line.size());
        std::string verb = line.substr(0, space), rest = line.substr(std::min(space + 1, line.size()));
        if (verb != "load") {
            say(run(*service, *kv, verb, rest));
            continue;
        }
        std::istringstream words(rest);
        std::string file;
        size_t part = 0, of = 1;
        words >> file >> part >> of;
        auto loader = std::make_shared<Loader>(*service, argv[1], file, part, of);
        std::thread([loader] { loader->run(); }).detach();
    }
}
