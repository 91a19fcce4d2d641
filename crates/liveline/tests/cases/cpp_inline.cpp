//# matrix
//# before: 11 21 clamp 5 5
//# after: 111 121 clamp 6 6
//# strict
// A template and an inline function of two translation units: the program holds one copy of each.
#include <cstdio>
#include "case.h"
#include "shared.h"
int second(int x);
int second_clamp(int x);
void answer(char *out, unsigned long room) {
    Number<int> number{10};
    snprintf(out, room, "%d %d clamp %d %d", number.plus(1), second(20), clamp(9), second_clamp(9));
}
//# file: b.cpp
#include "case.h"
#include "shared.h"
int second_clamp(int x) { return clamp(x); }
int second(int x) {
    Number<int> number{x};
    return number.plus(1);
}
//# text-file: shared.h
#pragma once
template <typename T> struct Number {
    T value;
    __attribute__((noinline)) T plus(T other) {
#ifdef V2
        return value + other + 100;
#else
        return value + other;
#endif
    }
};
__attribute__((noinline)) inline int clamp(int x) {
#ifdef V2
    return x > 6 ? 6 : x;
#else
    return x > 5 ? 5 : x;
#endif
}
