/* Sleeps for ever in 32-bit code. */
.globl _start
_start:
    movl $29, %eax
    int $0x80
    jmp _start
.section .note.GNU-stack,"",@progbits
