//# opt: O0,O2
//# modes: pie,shared
//# before: a 5 b 7
//# after: a 50 b 70
//# strict
// A lambda in an inline function of a header, in two files; one of them passes it to a template.
#include <algorithm>
#include <cstdio>
#include <functional>
#include "case.h"
#include "shared.h"
int b(int x);
void answer(char *out, unsigned long room) { snprintf(out, room, "a %d b %d", scale(5)(1), b(7)); }
//# file: b.cpp
#include <functional>
#include "shared.h"
template <typename F> __attribute__((noinline)) int apply(F function, int times) {
    int sum = 0;
    for (int i = 0; i < times; i++) sum += function(i == 0);
    return sum;
}
int b(int x) { return apply(scale(x), x); }
//# text-file: shared.h
#pragma once
__attribute__((noinline)) inline auto scale(int by) {
    return [by](int x) {
        int factor = x > 1000 ? -by : by;
#ifdef V2
        return 10 * x * factor;
#else
        return x * factor;
#endif
    };
}
