# Call frame information of every kind.
	.text
	.globl	_start
_start:
	.cfi_startproc
	.cfi_undefined rip
	call one
	hlt
	.cfi_endproc
one:
	.cfi_startproc
	push %rbp
	.cfi_def_cfa_offset 16
	.cfi_offset rbp, -16
	mov %rsp, %rbp
	.cfi_def_cfa_register rbp
	push %rbx
	.cfi_offset rbx, -24
	.cfi_remember_state
	call two
	pop %rbx
	.cfi_restore rbx
	pop %rbp
	.cfi_def_cfa rsp, 8
	ret
	.cfi_restore_state
	call two
	.cfi_same_value r12
	.cfi_undefined r13
	.cfi_register r14, r15
	.cfi_val_offset r15, -8
	call two
	.cfi_endproc
two:
	.cfi_startproc
	.cfi_signal_frame
	nop
	# def_cfa_expression: breg7 160, deref
	.cfi_escape 0x0f,4,0x77,0xa0,0x01,0x06
	# expression r3: breg7 8
	.cfi_escape 0x10,3,2,0x77,0x08
	# val_expression r6: breg6 0, lit16, plus, dup, lit7, and, bra +1, nop, deref_size 4
	.cfi_escape 0x16,6,13,0x76,0x00,0x40,0x22,0x12,0x37,0x1a,0x28,0x01,0x00,0x96,0x94,0x04
	nop
	.cfi_adjust_cfa_offset 8
	nop
	# GNU_args_size 16; advance_loc4 1
	.cfi_escape 0x2e,0x10
	.cfi_escape 0x04,1,0,0,0
	ret
	.cfi_endproc
three:
	.cfi_startproc
	# PLT: breg7 8, breg16 0, lit15, and, lit11, ge, lit3, shl, plus
	.cfi_escape 0x0f,11,0x77,8,0x80,0,0x3f,0x1a,0x3b,0x2a,0x33,0x24,0x22
	nop
	ret
	.cfi_endproc
