/* A table of keys and values that may expire. Safe for many threads. */
#ifndef STORE_H
#define STORE_H
#include <stddef.h>
#include <stdint.h>

#define KEY_MAX 64
#define VALUE_MAX 256

/* Sets KEY to VALUE; it expires after TTL milliseconds, never if TTL is 0. 0, or -1 if memory ran out. */
int store_set(const char *key, const char *value, uint64_t ttl);
/* Copies the value of KEY into VALUE (VALUE_MAX bytes). 1 if there is one, 0 if not. */
int store_get(const char *key, char *value);
/* Adds N to the number at KEY, which starts at 0, and gives the sum. */
int64_t store_add(const char *key, int64_t n);
/* Forgets KEY. 1 if it was there, 0 if not. */
int store_delete(const char *key);
#endif
