// A test is a sentence and a body; a CHECK that does not hold ends it. One program runs them all, or
// those whose file is named on its command line.
#pragma once

#include <chrono>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace check {

struct Case {
    std::string file, name;
    void (*body)();
};
inline std::vector<Case> &cases() {
    static std::vector<Case> all;
    return all;
}
inline bool add(std::string_view path, const char *name, void (*body)()) {
    cases().push_back({std::string(path.substr(path.rfind('/') + 1)), name, body});
    return true;
}

template <class T>
auto show(std::ostream &out, const T &value) -> decltype(out << value, void()) {
    out << value;
}
inline void show(std::ostream &, ...) {}

[[noreturn]] inline void fail(const char *file, int line, const std::string &what) {
    throw std::runtime_error(std::string(file) + ":" + std::to_string(line) + ": " + what);
}
template <class A, class B>
void equal(const char *file, int line, const char *text, const A &a, const B &b) {
    if (a == b) return;
    std::ostringstream out;
    out << text << "\n    left:  ";
    show(out, a);
    out << "\n    right: ";
    show(out, b);
    fail(file, line, out.str());
}
inline void has(const char *file, int line, const char *what, const std::string &text,
                const std::string &part) {
    if (text.find(part) == text.npos) fail(file, line, what + ("\n    it is: " + text));
}
// The value of a Result, or the end of the test with what went wrong.
template <class R>
decltype(auto) value(const char *file, int line, const char *text, R &&result) {
    if (!result)
        fail(file, line,
             std::string(text) + "\n    failed: " + result.error().name() + ": " + result.error().message());
    if constexpr (!std::is_void_v<typename std::decay_t<R>::value_type>) {
        typename std::decay_t<R>::value_type got = *std::forward<R>(result);
        return got;
    }
}
// Its error, or the end of the test because there is none.
template <class R>
auto error(const char *file, int line, const char *text, const R &result) {
    if (result) fail(file, line, std::string(text) + "\n    did not fail");
    return result.error();
}

// Only for what has no event to wait for.
template <class F>
bool eventually(F &&holds, std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    auto end = std::chrono::steady_clock::now() + limit;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
}

}  // namespace check

#define TEST(name)                                                      \
    static void name();                                                 \
    static const bool added_##name = check::add(__FILE__, #name, name); \
    static void name()
#define CHECK(holds)                                            \
    do {                                                        \
        if (!(holds)) check::fail(__FILE__, __LINE__, #holds);  \
    } while (false)
#define CHECK_EQ(a, b) check::equal(__FILE__, __LINE__, #a " == " #b, a, b)
#define CHECK_HAS(text, part) check::has(__FILE__, __LINE__, #text " has " #part, text, part)
#define OK(call) check::value(__FILE__, __LINE__, #call, call)
#define ERR(call) check::error(__FILE__, __LINE__, #call, call)
#define STATUS(call) check::error(__FILE__, __LINE__, #call, call).status()
