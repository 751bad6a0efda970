/* What the node programs in C and C++ share: the clock, the spread of latencies, the lines.
 *
 * Every node program is started as `PROGRAM DIR HOST:PORT NUMBER`, prints `ready`, and then answers each
 * line by one:
 *   cluster A B C                  node 1 forms the cluster of these addresses: `cluster`, once it leads and
 *                                  all follow
 *   load SECONDS CLIENTS PAYLOAD   keeps CLIENTS changes of PAYLOAD bytes under way: one JSON object
 *   quit                           ends, as the end of input does
 * What fails is answered by `error` and why. */
#ifndef NODE_H
#define NODE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* How many took how long, to within 0.8 %: 128 classes for each power of two. */
enum { CLASSES = 128, POWERS = 58 };
typedef struct {
    uint64_t ops, counts[CLASSES * POWERS];
} latencies;

static inline void latencies_add(latencies *l, uint64_t ns) {
    unsigned shift = ns < 2 * CLASSES ? 0 : 56u - (unsigned)__builtin_clzll(ns);
    l->counts[shift * CLASSES + (ns >> shift)]++;
    l->ops++;
}

/* The time that `share` of all did not exceed, in microseconds. */
static inline double latencies_at(const latencies *l, double share) {
    uint64_t left = (uint64_t)((double)l->ops * share);
    unsigned i = 0;
    while (i + 1 < CLASSES * POWERS && l->counts[i] <= left) left -= l->counts[i++];
    unsigned shift = i < 2 * CLASSES ? 0 : i / CLASSES - 1;
    return ((double)(i - shift * CLASSES) + 0.5) * (double)(1ull << shift) / 1000;
}

static inline void latencies_print(const latencies *l, double seconds) {
    printf("{\"ops\": %llu, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n", (unsigned long long)l->ops,
           seconds, latencies_at(l, 0.5), latencies_at(l, 0.99));
    fflush(stdout);
}

/* The next line without its end, cut after its first word; NULL at the end. *rest is what follows. */
static inline char *next_line(char *line, int size, char **rest) {
    if (!fgets(line, size, stdin)) return NULL;
    line[strcspn(line, "\n")] = '\0';
    *rest = strchr(line, ' ');
    if (*rest) *(*rest)++ = '\0';
    else *rest = line + strlen(line);
    return line;
}

#endif
