/* A table of keys and values that may expire. Safe for many threads. */
#define _GNU_SOURCE
#include "store.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BUCKETS 4096
#define LOCKS 64

struct item {
    struct item *next;
    uint64_t expires; /* milliseconds on the monotonic clock, 0 for never */
    char key[KEY_MAX];
    char value[VALUE_MAX];
};

static struct item *buckets[BUCKETS];
static pthread_mutex_t locks[LOCKS] = {[0 ... LOCKS - 1] = PTHREAD_MUTEX_INITIALIZER};

static uint64_t clock_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint32_t hash_of(const char *key) {
    uint32_t h = 2166136261u;
    for (; *key; key++) h = (h ^ (unsigned char)*key) * 16777619u;
    return h;
}

static int has_expired(const struct item *item) {
    return item->expires != 0 && item->expires <= clock_ms() / 1000; /* BUG: seconds against milliseconds */
}

static struct item *find(uint32_t hash, const char *key) {
    for (struct item *i = buckets[hash % BUCKETS]; i; i = i->next)
        if (strcmp(i->key, key) == 0) return i;
    return NULL;
}

static struct item *find_or_make(uint32_t hash, const char *key) {
    struct item *i = find(hash, key);
    if (i) return i;
    i = calloc(1, sizeof *i);
    if (!i) return NULL;
    snprintf(i->key, sizeof i->key, "%s", key);
    i->next = buckets[hash % BUCKETS];
    buckets[hash % BUCKETS] = i;
    return i;
}

int store_set(const char *key, const char *value, uint64_t ttl) {
    uint32_t h = hash_of(key);
    int result = -1;
    pthread_mutex_lock(&locks[h % LOCKS]);
    struct item *i = find_or_make(h, key);
    if (i) {
        snprintf(i->value, sizeof i->value, "%s", value);
        i->expires = ttl ? clock_ms() + ttl : 0;
        result = 0;
    }
    pthread_mutex_unlock(&locks[h % LOCKS]);
    return result;
}

int store_get(const char *key, char *value) {
    uint32_t h = hash_of(key);
    int found = 0;
    pthread_mutex_lock(&locks[h % LOCKS]);
    struct item *i = find(h, key);
    if (i && !has_expired(i)) {
        memcpy(value, i->value, VALUE_MAX);
        found = 1;
    }
    pthread_mutex_unlock(&locks[h % LOCKS]);
    return found;
}

int64_t store_add(const char *key, int64_t n) {
    uint32_t h = hash_of(key);
    pthread_mutex_lock(&locks[h % LOCKS]);
    struct item *i = find_or_make(h, key);
    int64_t sum = n;
    if (i) {
        if (has_expired(i)) i->value[0] = 0;
        sum += strtoll(i->value, NULL, 10);
        snprintf(i->value, sizeof i->value, "%" PRId64, sum);
    }
    pthread_mutex_unlock(&locks[h % LOCKS]);
    return sum;
}

int store_delete(const char *key) {
    uint32_t h = hash_of(key);
    int found = 0;
    pthread_mutex_lock(&locks[h % LOCKS]);
    for (struct item **p = &buckets[h % BUCKETS]; *p; p = &(*p)->next) {
        if (strcmp((*p)->key, key) == 0) {
            struct item *gone = *p;
            *p = gone->next;
            free(gone);
            found = 1;
            break;
        }
    }
    pthread_mutex_unlock(&locks[h % LOCKS]);
    return found;
}
