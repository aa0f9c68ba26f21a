#include "record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_ROOM 16384

static void grow(struct record_log *log)
{
    size_t capacity = log->capacity > 0 ? 2 * log->capacity : 4 * LEAST_ROOM;
    struct record *records = realloc(log->records, capacity * sizeof *records);
    if (records == NULL) {
        fputs("no memory for the log\n", stderr);
        exit(1);
    }
    /* Touch the new pages now rather than when a probe comes. */
    memset(records + log->capacity, 0, (capacity - log->capacity) * sizeof *records);
    log->records = records;
    log->capacity = capacity;
}

struct record *record_add(struct record_log *log)
{
    if (log->count == log->capacity)
        grow(log);
    struct record *record = &log->records[log->count++];
    memset(record, 0, sizeof *record);
    return record;
}

void record_make_room(struct record_log *log)
{
    if (log->capacity - log->count < LEAST_ROOM)
        grow(log);
}

int record_write(const struct record_log *log, const char *file_name)
{
    FILE *file = fopen(file_name, "wb");
    if (file == NULL)
        return errno;
    size_t written = fwrite(log->records, sizeof *log->records, log->count, file);
    int problem = written == log->count ? 0 : errno;
    if (fclose(file) != 0 && problem == 0)
        problem = errno;
    return problem;
}
