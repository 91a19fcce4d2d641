//# modes: shared,dlopen
//# compilers: gcc
//# ld: -Wl,--version-script=versions.map
//# strict
//# before: old 1 new 2
//# after: old 10 new 20
// A library with two versions of one name; both change.
#include <stdio.h>
#include "case.h"

KEEP int value_old(void) {
#ifdef V2
    return 10;
#else
    return 1;
#endif
}
KEEP int value_new(void) {
#ifdef V2
    return 20;
#else
    return 2;
#endif
}
__asm__(".symver value_old, value@CASE_1");
__asm__(".symver value_new, value@@CASE_2");

KEEP void answer(char *out, unsigned long room) {
    int (*volatile one)(void) = value_old, (*volatile two)(void) = value_new;
    snprintf(out, room, "old %d new %d", one(), two());
}
//# text-file: versions.map
CASE_1 { global: answer; value; local: *; };
CASE_2 { global: value; } CASE_1;
