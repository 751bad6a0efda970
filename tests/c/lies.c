/* Stores of the host's own that lie: about what they hold, and with what they give back. */
#include "store.h"

static quorate_status nothing(disk *d, uint64_t first, uint64_t last, quorate_output *out) {
    (void)d, (void)first, (void)last, (void)out;
    return QUORATE_OK;
}

static void bounds_that_can_not_be_are_refused(void) {
    disk *d = written_disk();
    uint64_t last = d->first + d->n - 1;
    const uint64_t bounds[][2] = {{5, 3},        {0, last},       {last, 0},       {1, UINT64_MAX}, {UINT64_MAX, 1},
                                  {4, last},     {0, UINT64_MAX}, {last + 1, last + 9}};
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        d->lies_first = bounds[i][0], d->lies_last = bounds[i][1];
        start_fails(d, QUORATE_ERR_CORRUPT, "conformance kit");
    }
    d->reads = nothing; /* it has nothing of all that it says it holds */
    d->lies_first = d->first;
    for (uint64_t far = UINT64_MAX; far > 1u << 20; far >>= 20) {
        d->lies_last = far;
        start_fails(d, QUORATE_ERR_CORRUPT, "conformance kit");
    }
    d->reads = NULL;
    d->lies_first = d->lies_last = 0;
    counter c = {0};
    quorate_service *service = start_on(&c, d); /* no harm was done */
    propose_wait(service, "x");
    CHECK_EQ(c.entries, 9);
    quorate_service_free(service);
    free_disk(d);
}

static quorate_status out_of_order(disk *d, uint64_t first, uint64_t last, quorate_output *out) {
    for (uint64_t index = first; index <= last; index++)
        quorate_output_set(out, (size_t)(index - first), &d->records[last - index], 1);
    return QUORATE_OK;
}
static quorate_status damaged(disk *d, uint64_t first, uint64_t last, quorate_output *out) {
    (void)last;
    quorate_bytes record = kept(d->records[first - d->first]);
    ((char *)record.data)[record.len - 1] ^= 1;
    quorate_output_set(out, 0, &record, 1);
    free((void *)record.data);
    return QUORATE_OK;
}
static quorate_status empty(disk *d, uint64_t first, uint64_t last, quorate_output *out) {
    (void)d, (void)first, (void)last;
    return quorate_output_set(out, 0, &(quorate_bytes){"", 0}, 1);
}
static quorate_status with_a_hole(disk *d, uint64_t first, uint64_t last, quorate_output *out) {
    for (uint64_t index = first; index <= last; index++)
        if (index != first + 1) quorate_output_set(out, (size_t)(index - first), &d->records[index - d->first], 1);
    return QUORATE_OK;
}
/* Slots that are not there are refused, and what stands in the others counts. */
static quorate_status beyond_the_end(disk *d, uint64_t first, uint64_t last, quorate_output *out) {
    CHECK_EQ(quorate_output_set(out, (size_t)(last - first + 1), d->records, 1), QUORATE_ERR_INVALID);
    CHECK_EQ(quorate_output_set(out, SIZE_MAX, d->records, 1), QUORATE_ERR_INVALID);
    CHECK_EQ(quorate_output_set(out, 0, d->records, SIZE_MAX), QUORATE_ERR_TOO_LARGE);
    CHECK_EQ(quorate_output_set(out, 0, NULL, 1), QUORATE_ERR_INVALID);
    for (uint64_t index = first; index <= last; index++)
        CHECK_EQ(quorate_output_set(out, (size_t)(index - first), &d->records[index - d->first], 1), QUORATE_OK);
    return QUORATE_OK;
}

/* known bug: H7 | stores of hosts that lose writes and say that all is well, complete twice or late, call
 * back, throw | records name their index and have checksums, slots end with their callback, a call back
 * that waits is refused */
static void records_that_are_not_what_was_given_are_noticed(void) {
    static const struct { quorate_status (*reads)(disk *, uint64_t, uint64_t, quorate_output *); const char *says; } bad[] = {
        {out_of_order, "record of entry"}, {damaged, "damaged"}, {empty, "0 bytes"},
        {nothing, "gave 0 records"},       {with_a_hole, "unset"},
    };
    disk *d = written_disk();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        d->reads = bad[i].reads;
        start_fails(d, QUORATE_ERR_CORRUPT, bad[i].says);
    }
    d->reads = beyond_the_end;
    counter c = {0};
    quorate_service *service = start_on(&c, d);
    propose_wait(service, "x");
    CHECK_EQ(c.entries, 9);
    quorate_service_free(service);
    free_disk(d);
}

static void a_state_that_was_cut_is_noticed(void) {
    disk *d = written_disk();
    int cut = 0;
    for (named *at = d->names; at < d->names + KEYS && at->data; at++, cut++) {
        at->len--;
        start_fails(d, strcmp(at->key, "quorate.state") ? QUORATE_ERR_CORRUPT : QUORATE_ERR_VERSION, "");
        at->len++;
    }
    CHECK(cut >= 2); /* the state, and where the log begins */
    free_disk(d);
}

/* The slots of a callback are not those of one that comes later either. */
static void slots_of_before(disk *d, int hook) {
    quorate_bytes item = {"x", 1};
    (void)hook;
    if (d->seen) CHECK_EQ(quorate_output_set(d->seen, 0, &item, 1), QUORATE_ERR_CLOSED);
}

/* known bug: H7 */
static void slots_are_refused_when_the_callback_is_over(void) {
    counter c = {0};
    disk *d = written_disk();
    d->before = slots_of_before;
    quorate_service *service = start_on(&c, d);
    propose_wait(service, "x");
    CHECK_EQ(c.entries, 9);
    CHECK(calls(d, READ) + calls(d, GET) > 1);
    quorate_bytes item = {"x", 1};
    CHECK_EQ(quorate_output_set(d->seen, 0, &item, 1), QUORATE_ERR_CLOSED);
    quorate_service_free(service);
    CHECK_EQ(quorate_output_set(d->seen, 0, &item, 1), QUORATE_ERR_CLOSED);
    free_disk(d);
}

int main(void) {
    RUN(bounds_that_can_not_be_are_refused);
    RUN(records_that_are_not_what_was_given_are_noticed);
    RUN(a_state_that_was_cut_is_noticed);
    RUN(slots_are_refused_when_the_callback_is_over);
    return check_end("lies");
}
