// The best of each capability and style, without equal ids, in a keyed order: over columns in memory, by threads.
//
// Of the rows of each capability and style the `each` first by (score, largest first; (high ^ keys[c]) >> 3; row) are taken;
// of the taken rows with one id the first stays; they are put in the order of (low ^ turn, row). A histogram of scores says
// from which score on rows are taken, so that hashes are looked at only among those of that score; and of these only among
// the ones below a hash that almost surely as many lie below as are wanted.

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS = 8, MOST = 32, BLOCK = 4096, BUCKETS = 256, FAR = 16 };

typedef struct { uint64_t key; uint32_t row; } Item;
typedef struct { Item *items; size_t num, room; } List;

typedef struct {
    const uint64_t *high, *low, *keys;
    const uint8_t *style, *const *scores;
    uint64_t turn;
    uint32_t rows, capabilities, styles, each, threads;
    // By capability and style: the rows of each score; the score at which there are enough, how many of it are wanted, and
    // the hash that their candidates do not exceed.
    uint32_t counts[MOST][MOST][LEVELS], wanted[MOST][MOST];
    uint8_t least[MOST][MOST];
    uint64_t bound[MOST][MOST];
    List (*ties)[MOST][MOST];
    List (*turns)[BUCKETS];
    uint8_t *chosen;
    uint32_t next, missed, starts[BUCKETS + 1];
    uint32_t *kept[BUCKETS], *found;
    pthread_mutex_t lock;
} Job;

typedef struct { Job *job; uint32_t number; void (*work)(Job *, uint32_t); } Task;

static void *start(void *given) {
    Task *task = given;
    task->work(task->job, task->number);
    return NULL;
}

// Lets all threads do a part of a work.
static void all(Job *job, void (*work)(Job *, uint32_t)) {
    pthread_t threads[64];
    Task tasks[64];
    job->next = 0;
    for (uint32_t number = 0; number < job->threads; number++) {
        tasks[number] = (Task){job, number, work};
        pthread_create(&threads[number], NULL, start, &tasks[number]);
    }
    for (uint32_t number = 0; number < job->threads; number++) pthread_join(threads[number], NULL);
}

static void push(List *list, Item item) {
    if (list->num == list->room) {
        list->room = list->room ? 2 * list->room : 256;
        list->items = realloc(list->items, list->room * sizeof(Item));
    }
    list->items[list->num++] = item;
}

static int before(Item a, Item b) { return a.key != b.key ? a.key < b.key : a.row < b.row; }

static void swap(Item *a, Item *b) {
    Item item = *a;
    *a = *b;
    *b = item;
}

// Brings the `wanted` first of some items to the front.
static void select_first(Item *items, size_t num, size_t wanted) {
    while (num > FAR && wanted < num) {
        Item *middle = &items[num / 2], *last = &items[num - 1];
        if (before(*middle, items[0])) swap(middle, items);
        if (before(*last, items[0])) swap(last, items);
        if (before(*last, *middle)) swap(last, middle);
        Item pivot = *middle;
        size_t low = 0, high = num - 1;
        while (1) {
            while (before(items[low], pivot)) low++;
            while (before(pivot, items[high])) high--;
            if (low >= high) break;
            swap(&items[low++], &items[high--]);
        }
        if (wanted < low) num = low;
        else items += low, num -= low, wanted -= low;
    }
    if (wanted >= num) return;
    for (size_t at = 1; at < num; at++)
        for (size_t to = at; to > 0 && before(items[to], items[to - 1]); to--) swap(&items[to], &items[to - 1]);
}

static void span(const Job *job, uint32_t number, uint32_t *from, uint32_t *to) {
    *from = (uint64_t)job->rows * number / job->threads;
    *to = (uint64_t)job->rows * (number + 1) / job->threads;
}

static void count(Job *job, uint32_t number) {
    uint32_t from, to;
    span(job, number, &from, &to);
    // Two capabilities are counted together, and rows next to each other apart: adding to what was just written would wait.
    uint32_t (*counts)[2][MOST * LEVELS * LEVELS] = calloc(MOST / 2, sizeof *counts);
    for (uint32_t block = from; block < to; block += BLOCK) {
        uint32_t num = block + BLOCK < to ? BLOCK : to - block;
        uint16_t place[BLOCK];
        const uint8_t *style = job->style + block;
        for (uint32_t c = 0; c < job->capabilities; c += 2) {
            const uint8_t *one = job->scores[c] + block, *two = job->scores[c + 1 < job->capabilities ? c + 1 : c] + block;
            for (uint32_t at = 0; at < num; at++) place[at] = (style[at] * LEVELS + one[at]) * LEVELS + two[at];
            uint32_t *even = counts[c / 2][0], *odd = counts[c / 2][1];
            for (uint32_t at = 0; at + 1 < num; at += 2) even[place[at]]++, odd[place[at + 1]]++;
            if (num & 1) even[place[num - 1]]++;
        }
    }
    pthread_mutex_lock(&job->lock);
    for (uint32_t c = 0; c < job->capabilities; c++)
        for (uint32_t at = 0; at < job->styles * LEVELS * LEVELS; at++) {
            uint32_t level = c & 1 ? at % LEVELS : at / LEVELS % LEVELS;
            job->counts[c][at / LEVELS / LEVELS][level] += counts[c / 2][0][at] + counts[c / 2][1][at];
        }
    pthread_mutex_unlock(&job->lock);
    free(counts);
}

static void threshold(Job *job) {
    for (uint32_t c = 0; c < job->capabilities; c++)
        for (uint32_t style = 0; style < job->styles; style++) {
            uint32_t above = 0, level = LEVELS - 1, *counts = job->counts[c][style];
            while (level > 0 && above + counts[level] < job->each) above += counts[level--];
            uint32_t wanted = job->each - above < counts[level] ? job->each - above : counts[level];
            double part = (wanted + 64 + wanted / 16.0) / (counts[level] + 1.0);
            job->least[c][style] = level;
            job->wanted[c][style] = wanted;
            job->bound[c][style] = job->missed || part >= 1 ? UINT64_MAX >> 3 : (uint64_t)(part * 0x1p61);
        }
}

static void find(Job *job, uint32_t number) {
    uint32_t from, to;
    span(job, number, &from, &to);
    for (uint32_t block = from; block < to; block += BLOCK) {
        uint32_t end = block + BLOCK < to ? block + BLOCK : to;
        for (uint32_t c = 0; c < job->capabilities; c++) {
            const uint8_t *scores = job->scores[c], *least = job->least[c];
            // Without branches: which rows are near is chance. Most are below the score.
            uint32_t near[BLOCK + 1], num = 0, some = 0;
            for (uint32_t row = block; row < end; row++) {
                near[num] = row;
                num += scores[row] >= least[job->style[row]];
            }
            for (uint32_t at = 0; at < num; at++) {
                uint32_t row = near[at], style = job->style[row];
                uint64_t key = (job->high[row] ^ job->keys[c]) >> 3;
                near[some] = row;
                some += (scores[row] > least[style]) | (key <= job->bound[c][style]);
            }
            for (uint32_t at = 0; at < some; at++) {
                uint32_t row = near[at], style = job->style[row];
                if (scores[row] > least[style]) job->chosen[row] = 1;
                else push(&job->ties[number][c][style], (Item){(job->high[row] ^ job->keys[c]) >> 3, row});
            }
        }
    }
}

static void settle(Job *job, uint32_t number) {
    (void)number;
    uint32_t at, pairs = job->capabilities * job->styles;
    while ((at = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) < pairs) {
        uint32_t c = at / job->styles, style = at % job->styles, wanted = job->wanted[c][style];
        size_t num = 0;
        for (uint32_t thread = 0; thread < job->threads; thread++) num += job->ties[thread][c][style].num;
        Item *items = malloc((num + 1) * sizeof(Item));
        num = 0;
        for (uint32_t thread = 0; thread < job->threads; thread++) {
            List *list = &job->ties[thread][c][style];
            if (list->num) memcpy(items + num, list->items, list->num * sizeof(Item));
            num += list->num;
            free(list->items);
            *list = (List){0};
        }
        if (num < wanted) __atomic_store_n(&job->missed, 1, __ATOMIC_RELAXED);
        select_first(items, num, wanted);
        for (size_t item = 0; item < wanted && item < num; item++)
            __atomic_store_n(&job->chosen[items[item].row], 1, __ATOMIC_RELAXED);
        free(items);
    }
}

static void part(Job *job, uint32_t number) {
    uint32_t from, to;
    span(job, number, &from, &to);
    for (uint32_t block = from; block < to; block += BLOCK) {
        uint32_t end = block + BLOCK < to ? block + BLOCK : to, near[BLOCK + 1], num = 0;
        for (uint32_t row = block; row < end; row++) {
            near[num] = row;
            num += job->chosen[row];
        }
        for (uint32_t at = 0; at < num; at++) {
            uint64_t key = job->low[near[at]] ^ job->turn;
            push(&job->turns[number][key >> 56], (Item){key, near[at]});
        }
    }
}

static int compare(const void *a, const void *b) {
    return before(*(const Item *)a, *(const Item *)b) ? -1 : before(*(const Item *)b, *(const Item *)a);
}

// Sorts items by the next byte of their keys, and then each of these few by comparing.
static void sort(Item *items, Item *room, size_t num) {
    size_t ends[257] = {0};
    for (size_t at = 0; at < num; at++) ends[(items[at].key >> 48 & 255) + 1]++;
    for (uint32_t byte = 0; byte < 256; byte++) ends[byte + 1] += ends[byte];
    for (size_t at = 0; at < num; at++) room[ends[items[at].key >> 48 & 255]++] = items[at];
    for (size_t start = 0, byte = 0; byte < 256; start = ends[byte++]) {
        Item *few = room + start;
        size_t many = ends[byte] - start;
        if (many > 64) qsort(few, many, sizeof(Item), compare);
        else for (size_t at = 1; at < many; at++)
            for (size_t to = at; to > 0 && before(few[to], few[to - 1]); to--) swap(&few[to], &few[to - 1]);
    }
}

static void order(Job *job, uint32_t number) {
    (void)number;
    uint32_t bucket;
    while ((bucket = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) < BUCKETS) {
        size_t num = 0;
        for (uint32_t thread = 0; thread < job->threads; thread++) num += job->turns[thread][bucket].num;
        Item *items = malloc((2 * num + 1) * sizeof(Item)), *sorted = items + num;
        num = 0;
        for (uint32_t thread = 0; thread < job->threads; thread++) {
            List *list = &job->turns[thread][bucket];
            if (list->num) memcpy(items + num, list->items, list->num * sizeof(Item));
            num += list->num;
            free(list->items);
        }
        sort(items, sorted, num);
        uint32_t *kept = job->kept[bucket] = malloc((num + 1) * sizeof(uint32_t)), some = 0;
        for (size_t first = 0, at = 0; at < num; at++) {
            // Equal ids have equal keys, and stand by row.
            if (sorted[at].key != sorted[first].key) first = at;
            int same = 0;
            for (size_t other = first; other < at; other++)
                same |= job->high[sorted[other].row] == job->high[sorted[at].row];
            if (!same) kept[some++] = sorted[at].row;
        }
        job->starts[bucket + 1] = some;
        free(items);
    }
}

static void gather(Job *job, uint32_t number) {
    (void)number;
    uint32_t bucket;
    while ((bucket = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) < BUCKETS) {
        uint32_t num = job->starts[bucket + 1] - job->starts[bucket];
        memcpy(job->found + job->starts[bucket], job->kept[bucket], num * sizeof(uint32_t));
        free(job->kept[bucket]);
    }
}

// Writes the rows to `found`, which has room for all that can be taken, and gives how many; -1 where it cannot be done.
// `chosen` has a byte for each row. Scores are below 8, capabilities and styles at most 32, threads at most 64.
int64_t choose(const uint64_t *high, const uint64_t *low, const uint8_t *style, const uint8_t *const *scores,
               const uint64_t *keys, uint64_t turn, const uint32_t *sizes, uint8_t *chosen, uint32_t *found) {
    Job *job = calloc(1, sizeof(Job));
    job->high = high, job->low = low, job->style = style, job->scores = scores, job->keys = keys, job->turn = turn;
    job->rows = sizes[0], job->capabilities = sizes[1], job->styles = sizes[2], job->each = sizes[3];
    job->threads = sizes[4], job->chosen = chosen, job->found = found;
    if (job->capabilities > MOST || job->styles > MOST || job->threads > 64) return -1;
    job->ties = calloc(job->threads, sizeof *job->ties);
    job->turns = calloc(job->threads, sizeof *job->turns);
    pthread_mutex_init(&job->lock, NULL);
    memset(chosen, 0, job->rows);
    all(job, count);
    threshold(job);
    all(job, find);
    all(job, settle);
    if (job->missed) {
        // Less likely than a fault of the machine, unless hashes are none: once more, with all ties.
        threshold(job);
        memset(chosen, 0, job->rows);
        all(job, find);
        all(job, settle);
    }
    all(job, part);
    all(job, order);
    for (uint32_t bucket = 0; bucket < BUCKETS; bucket++) job->starts[bucket + 1] += job->starts[bucket];
    all(job, gather);
    int64_t num = job->starts[BUCKETS];
    free(job->ties), free(job->turns), free(job);
    return num;
}
