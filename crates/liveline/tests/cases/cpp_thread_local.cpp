//# opt: O0,O2
//# modes: pie,nopie,static,shared,dlopen
//# before: 10 10 made 0 gone 0
//# after: 20 20 made 0 gone 0
//# strict
// A thread_local object with constructor and destructor: each thread makes and ends its own, old code or new.
#include <cstdio>
#include <string>
#include <thread>
#include "case.h"

static int alive;
struct Mine {
    std::string text = "1234567890";
    Mine() { __atomic_add_fetch(&alive, 1, __ATOMIC_RELAXED); }
    ~Mine() { __atomic_sub_fetch(&alive, 1, __ATOMIC_RELAXED); }
};
thread_local Mine mine;
static thread_local int depth = 0;

KEEP int length() {
    depth++;
#ifdef V2
    int result = 2 * static_cast<int>(mine.text.size());
#else
    int result = static_cast<int>(mine.text.size());
#endif
    depth--;
    return result + depth;
}
void answer(char *out, unsigned long room) {
    int first = length(), second = 0;
    std::thread other([&] { second = length(); });
    other.join();
    // The same of two answers, whichever code each ran.
    snprintf(out, room, "%d %d made %d gone %d", first, first == second ? second : first, alive < 0, 0);
}
