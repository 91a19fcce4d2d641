//# stateful
//# reverted: 5 5 text 1
//# opt: O0,O2
//# modes: pie,shared
//# before: 5 5 text 1
//# after: 6 6 text 2
// The program holds the copies of the first file; only the second is compiled anew with the fixed header.
#include <cstdio>
#include "case.h"
#undef V2
#include "shared.h"
int second(int x);
void answer(char *out, unsigned long room) {
    snprintf(out, room, "%d %d text %d", clamp(9), second(9), Box<int>().counted());
}
//# file: b.cpp
#include "case.h"
#include "shared.h"
int second(int x) { return clamp(x) + 0 * Box<int>().counted(); }
//# text-file: shared.h
#pragma once
#include "case.h"
__attribute__((noinline)) inline int clamp(int x) {
#ifdef V2
    return x > 6 ? 6 : x;
#else
    return x > 5 ? 5 : x;
#endif
}
__attribute__((noinline)) inline int step(int x) {
    asm volatile("" : "+r"(x));
    return x;
}
template <typename T> struct Box {
    T value = 1;
    KEEP T counted() {
#ifdef V2
        return step(value) + 1;
#else
        return step(value);
#endif
    }
};
