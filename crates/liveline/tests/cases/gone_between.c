//# compilers: clang,gcc
//# strict
//# before: 9
//# after: 210
//# verdict: first removed
// `answer` ends with a jump to `first`, which is gone in the new build: a thread that waits in `first` is in no function that is
// replaced. It goes on with `mix`, to which clang gives another argument in the new build.
#include <stdio.h>
#include <unistd.h>
#include "case.h"

__attribute__((noinline)) static int mix(const char *salt, int value) {
    static volatile int total;
    for (; *salt; salt++)
        total += value;
#ifdef V2
    return value + 8;
#else
    return value + 7;
#endif
}

#ifdef V2
__attribute__((noinline)) static void second(const char *salt, char *out, unsigned long room) {
    snprintf(out, room, "%d", mix(salt, 2) + 200);
}
void answer(char *out, unsigned long room) { second(room > 4 ? "seven" : "", out, room); }
#else
__attribute__((noinline)) static void first(char *out, unsigned long room) {
    usleep(30);
    snprintf(out, room, "%d", mix("seven", 2));
}
void answer(char *out, unsigned long room) {
    static volatile int calls;
    calls++;
    first(out, room);
}
#endif
