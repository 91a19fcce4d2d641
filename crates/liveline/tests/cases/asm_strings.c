//# strict
//# before: 12 of rc4
//# after: 13 of rc4
//# opt: O2
// Assembly whose function has its strings behind it, in the code: it stays, and is not told to be another one.
#include <stdio.h>
#include "case.h"

long add_two(long a, long b);
const char *options(void);
int flag;

KEEP long use(long a, long b) {
#ifdef V2
    return add_two(a, b) + 1;
#else
    return add_two(a, b);
#endif
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%ld of %s", use(7, 5), options()); }
//# file: hand.S
    .text
    .globl add_two
    .hidden add_two
    .type add_two, @function
    .balign 16
add_two:
    lea (%rdi,%rsi), %rax
    ret
    nop
    .size add_two, .-add_two

    .globl options
    .hidden options
    .type options, @function
    .balign 16
options:
    lea .Loptions(%rip), %rax
    mov flag@GOTPCREL(%rip), %rdx
    cmpl $0, (%rdx)
    jz .Ldone
    add $4, %rax
.Ldone:
    ret
    .balign 64
.Loptions:
    .asciz "rc4"
    .asciz "rc4(8x,char)"
    .balign 64
    .size options, .-options
    .section .note.GNU-stack, "", @progbits
