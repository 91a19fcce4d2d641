//# compilers: clang,gcc
//# refused: may still be called through a pointer
// `first` is gone in the new build, but its address was put where no patch reaches. It calls `mix` as the old build does: every caller
// passes the same salt, and clang leaves the argument out. In the new build it takes one.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"

struct work { int (*step)(int); };
struct work *work;

__attribute__((noinline)) static int mix(int salt, int value) {
    static volatile int total;
    for (int round = 0; round < salt; round++)
        total += round & value;
#ifdef V2
    return value + salt + 1;
#else
    return value + salt;
#endif
}

#ifdef V2
__attribute__((noinline)) static int second(int value) { return mix(value, 7) + 200; }
#define STEP second
#else
__attribute__((noinline)) static int first(int value) { return mix(7, value) + 100; }
#define STEP first
#endif

void start(void) {
    work = malloc(sizeof *work);
    work->step = STEP;
}

void answer(char *out, unsigned long room) {
    if (!work) start();
    snprintf(out, room, "%d", work->step(2));
}
