//# either
//# before: 12
//# after: 13
// Assembly with two functions in one .text section, one of them changed: patched rightly or refused.
#include <stdio.h>
#include "case.h"

long first(void);
long second(void);

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%ld", first() + second()); }
//# file: hand.S
    .text
    .globl first
    .type first, @function
    .balign 16
first:
    mov $2, %eax
    ret
    .size first, .-first
    .globl second
    .type second, @function
    .balign 16
second:
#ifdef V2
    mov $11, %eax
#else
    mov $10, %eax
#endif
    ret
    .size second, .-second
    .balign 16
    .section .note.GNU-stack, "", @progbits
