/* The limit of reading: threads that pread ranges of files and do nothing else. Each has memory for `kept` ranges and uses
   it in turn, for what is read must stay for a while where somebody is to have it. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    const int32_t *handles;
    const int64_t *offsets, *lengths;
    int64_t count;
    int64_t *next;
    int64_t missing;
    char *memory;
    int64_t longest, kept;
} Work;

enum { AT_ONCE = 16 };

static void *run(void *given) {
    Work *work = given;
    int64_t turn = 0;
    for (;;) {
        int64_t start = __atomic_fetch_add(work->next, AT_ONCE, __ATOMIC_RELAXED);
        if (start >= work->count) return NULL;
        int64_t stop = start + AT_ONCE < work->count ? start + AT_ONCE : work->count;
        for (int64_t row = start; row < stop; row++) {
            char *memory = work->memory + work->longest * (turn++ % work->kept);
            ssize_t got = pread(work->handles[row], memory, (size_t)work->lengths[row], work->offsets[row]);
            work->missing += work->lengths[row] - got;
        }
    }
}

/* Reads all ranges in their order; gives the bytes that were not read. */
int64_t read_all(const int32_t *handles, const int64_t *offsets, const int64_t *lengths, int64_t count, int64_t longest,
                 int64_t kept, int32_t threads) {
    pthread_t ids[64];
    Work works[64];
    int64_t next = 0, missing = 0;
    for (int32_t n = 0; n < threads; n++) {
        works[n] = (Work){handles, offsets, lengths, count, &next, 0, malloc((size_t)(longest * kept)), longest, kept};
        pthread_create(&ids[n], NULL, run, &works[n]);
    }
    for (int32_t n = 0; n < threads; n++) {
        pthread_join(ids[n], NULL);
        missing += works[n].missing;
        free(works[n].memory);
    }
    return missing;
}
