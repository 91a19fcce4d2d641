//# refused: its layout changed
//# cc: -std=c++20 -fcoroutines
//# compilers: gcc
//# opt: O0,O2
// The body of a coroutine changes: a suspended one would go on in the old one's frame.
#include <coroutine>
#include <cstdio>
#include "case.h"

struct Numbers {
    struct promise_type {
        int value = 0;
        Numbers get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        std::suspend_always yield_value(int next) {
            value = next;
            return {};
        }
        void return_void() {}
        void unhandled_exception() {}
    };
    std::coroutine_handle<promise_type> handle;
};
Numbers numbers(int from) {
#ifdef V2
    int step = from + 2;
    for (;;) co_yield from += step;
#else
    for (;;) co_yield from++;
#endif
}
void answer(char *out, unsigned long room) {
    static Numbers kept = numbers(1);
    kept.handle.resume();
    snprintf(out, room, "%d", kept.handle.promise().value);
}
