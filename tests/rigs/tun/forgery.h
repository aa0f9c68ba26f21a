/*
 * What somebody who is not the station puts on the wire about a probe: an answer that is built as a true one
 * would be, and then edited byte by byte. See forgery.py, which writes them down. Knows nothing of devices.
 */
#ifndef FORGERY_H
#define FORGERY_H

#include "packet.h"
#include "words.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_EDITS 12
#define MAX_EDIT_BYTES 256

/* Where an edit counts its offset from. */
enum edit_place {
    PLACE_MESSAGE, /* the ICMP, UDP or TCP header of the forgery */
    PLACE_HEADER,  /* the IP header that it quotes */
    PLACE_QUOTED,  /* what it quotes behind that */
    PLACE_AFTER,   /* the same as for MESSAGE, but once the checksum is computed */
    PLACE_OUTER,   /* the forgery's own IP header, whose checksum follows */
    EDIT_PLACES
};

enum edit_kind {
    EDIT_SET,
    EDIT_XOR,
    EDIT_ADD,    /* to a word of 16 bits, in ones' complement, as checksums are; `bytes` is the summand */
    EDIT_INSERT, /* what stands there moves back */
    EDIT_NOISE,  /* random bytes; the first two of `bytes` say how many, to the end at most */
    EDIT_CUT,    /* the forgery ends there */
    EDIT_KINDS
};

struct edit {
    int place;
    int kind;
    size_t offset;
    size_t length;
    uint8_t bytes[MAX_EDIT_BYTES];
};

enum forger { FORGER_STATION, FORGER_TARGET, FORGER_ADDRESS, FORGERS };

struct forgery {
    int number; /* for the log; counted from 1 */
    int path;
    int which; /* 0: IPv4, 1: IPv6 */
    int first_ttl, last_ttl;
    int form; /* type of ICMP, or one of ANSWER_DATA and so on */
    int code;
    uint32_t rest;
    int forger; /* whose address it bears */
    uint8_t address[16];
    double share; /* of the true round trip, and */
    int64_t delay_ns;
    int edit_count;
    struct edit edits[MAX_EDITS];
};

void forgery_read(struct reader *reader, struct forgery *forgery, int path_count);

/*
 * Write a forgery; returns its length, 0 if there can be none.
 *
 * `answer` is who answers in truth: its address, and the TTLs of reply and quote. What the forgery says is
 * put into it, for the log.
 */
size_t forgery_build(uint8_t *out, const struct forgery *forgery, const struct probe *probe, struct answer *answer);

#endif
