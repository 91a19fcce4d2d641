//# compilers: clang,gcc
//# before: 109
//# after: 210
//# diff: --assume; mix
//# verdict: first assumed
// `first` is gone in the new build, and its address was put where no patch reaches; but a person says that nobody calls it, and so
// calls `mix` as the old build does, any more.
#include <stdio.h>
#include <stdlib.h>
#include "case.h"

struct work { int (*step)(int); };
struct work *work;

#ifdef V2
__attribute__((noinline)) static int mix(int value, int salt) {
    static volatile int total;
    for (int round = 0; round < salt; round++)
        total += round & value;
    return value + salt + 1;
}
#define STEP NULL
#else
__attribute__((noinline)) static int mix(int salt, int value) {
    static volatile int total;
    for (int round = 0; round < salt; round++)
        total += round & value;
    return value + salt;
}
__attribute__((noinline)) static int first(int value) { return mix(7, value) + 50; }
#define STEP first
#endif

void start(void) {
    work = malloc(sizeof *work);
    work->step = STEP;
}

KEEP int ask(int value) {
#ifdef V2
    return mix(value, 7) + 200;
#else
    return mix(7, value) + 100;
#endif
}

void answer(char *out, unsigned long room) {
    if (!work) start();
    snprintf(out, room, "%d", ask(2));
}
