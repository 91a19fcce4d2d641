//# modes: pie,nopie,shared
//# strict
//# before: 12 of 5
//# after: 13 of 50
//# verdict: add_two none
// A hand-written assembly file beside changed C: one function of it changes, one does not.
#include <stdio.h>
#include "case.h"

long add_two(long a, long b);
long five(void);

KEEP long use(long a, long b) {
#ifdef V2
    return add_two(a, b) + 1;
#else
    return add_two(a, b);
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%ld of %ld", use(7, 5), five()); }
//# file: hand.S
    .section .text.add_two, "ax", @progbits
    .globl add_two
    .hidden add_two
    .type add_two, @function
add_two:
    lea (%rdi,%rsi), %rax
    ret
    nop
    .size add_two, .-add_two

    .section .text.five, "ax", @progbits
    .globl five
    .hidden five
    .type five, @function
    .balign 16
five:
#ifdef V2
    mov $50, %eax
#else
    mov $5, %eax
#endif
    ret
    .size five, .-five
    .section .note.GNU-stack, "", @progbits
