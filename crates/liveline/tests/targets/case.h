/* What a case file and the program around it agree on. */
#pragma once
#define NOINLINE __attribute__((noinline))
#define KEEP __attribute__((noinline, noclone, used))

/* Writes the case's present behaviour as one line of text, at most `room` bytes with the end. */
#ifdef __cplusplus
extern "C"
#endif
__attribute__((visibility("default"))) void answer(char *out, unsigned long room);
