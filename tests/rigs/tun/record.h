/*
 * The log of ground truth: one record for each datagram that came and each that left, in memory until it
 * is asked for. Its layout is read by log.py.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum record_kind { RECORD_PROBE = 1, RECORD_REPLY = 2 };

/* What became of a probe. */
enum outcome {
    OUTCOME_ANSWERED,
    OUTCOME_SILENT,       /* whoever had to answer never does */
    OUTCOME_LOST_FORWARD, /* dropped on the way there */
    OUTCOME_LOST_REPLY,   /* dropped on the way back */
    OUTCOME_RATE_LIMITED,
    OUTCOME_NO_PATH,      /* nothing leads to that address */
    OUTCOME_BAD_CHECKSUM, /* the target refused it */
    OUTCOME_IGNORED       /* no echo request, UDP or TCP */
};

struct record {
    uint64_t probe;       /* counted from 0 */
    int64_t monotonic_ns; /* when it came or left */
    int64_t realtime_ns;
    int64_t due_ns; /* when the reply was due; of a probe, the same as monotonic_ns */
    uint8_t kind;
    uint8_t version;
    uint8_t protocol;
    uint8_t ttl; /* as sent by the prober, or as received by it */
    uint8_t traffic_class;
    uint8_t outcome;
    uint8_t station; /* distance of who answers; 0: nobody */
    uint8_t fault;
    int16_t icmp_type; /* of a reply; negative: enum ANSWER_DATA and so on */
    int16_t icmp_code;
    uint16_t identifier;
    uint16_t sequence;
    uint16_t checksum;
    uint16_t checksum_right;
    uint16_t length;
    uint16_t error; /* errno of the write */
    uint32_t label;
    uint8_t source[16]; /* an IPv4 address fills the first four bytes */
    uint8_t destination[16];
    uint32_t number; /* sequence number of TCP */
    uint32_t forgery; /* number of the forgery that a reply is; 0: it is a true one */
    uint32_t unused;
};

_Static_assert(sizeof(struct record) == 104, "log.py relies on this layout");

struct record_log {
    struct record *records;
    size_t count;
    size_t capacity;
};

/* A new record at the end; valid until the next call. Ends the program if there is no memory. */
struct record *record_add(struct record_log *log);

/* Make room ahead of time, while nothing is due. */
void record_make_room(struct record_log *log);

/* Write everything to a file; returns 0 or an errno. */
int record_write(const struct record_log *log, const char *file_name);

#endif
