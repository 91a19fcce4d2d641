//# opt: O2,O3
//# modes: pie,nopie
//# strict
//# before: 30.00 mask 15
//# after: 60.00 mask 240
// Vector constants and code that the compiler vectorises.
#include <stdio.h>
#include "case.h"

KEEP float weigh(const float *in, int count) {
    float out[64], total = 0;
    for (int i = 0; i < count; i++) {
#ifdef V2
        out[i] = in[i] * 4.0f;
#else
        out[i] = in[i] * 2.0f;
#endif
    }
    for (int i = 0; i < count; i++) total += out[i];
    return total;
}

KEEP int mask(unsigned char *bytes) {
    int total = 0;
    for (int i = 0; i < 16; i++) {
#ifdef V2
        bytes[i] = (unsigned char)(bytes[i] ^ (i * 2));
#else
        bytes[i] = (unsigned char)(bytes[i] & 1);
#endif
    }
    for (int i = 0; i < 16; i++) total += bytes[i];
    return total;
}

KEEP void answer(char *out, unsigned long room) {
    float in[64];
    unsigned char bytes[16];
    for (int i = 0; i < 64; i++) in[i] = i < 15 ? 1.0f : 0.0f;
#ifdef V2
    for (int i = 0; i < 16; i++) bytes[i] = 0;
#else
    for (int i = 0; i < 16; i++) bytes[i] = i != 0;
#endif
    snprintf(out, room, "%.2f mask %d", weigh(in, 64), mask(bytes));
}
