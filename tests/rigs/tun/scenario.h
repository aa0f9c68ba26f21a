/*
 * The topology that the simulated internet follows, as its compiler (scenario.py) wrote it down.
 *
 * It mirrors the classes of traceprobe.testing.topology, and adds the manners of manner.h to them. Times are nanoseconds, shares are from 0 to 1,
 * and index 0 of a pair is for IPv4, 1 for IPv6. Knows nothing of packets on their way or of devices.
 */
#ifndef SCENARIO_H
#define SCENARIO_H

#include "forgery.h"
#include "manner.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault_kind {
    FAULT_NONE,
    FAULT_LATE,
    FAULT_DUPLICATE,
    FAULT_CORRUPT,
    FAULT_TRUNCATED,
    FAULT_WRONG_IDENTIFIER,
    FAULT_WRONG_SEQUENCE,
    FAULT_WRONG_TOKEN,
    FAULT_REWRITTEN,
    FAULT_KINDS
};

enum udp_answer { UDP_PORT_UNREACHABLE, UDP_DATA, UDP_SILENT, UDP_ANSWERS };

struct fault {
    int kind;
    double share;
    int64_t delay_ns;
};

/* A token bucket for ICMP errors; each of the prober's two addresses is a prober of its own. */
struct bucket {
    double per_second;
    double burst;
    double tokens[2];
    int64_t refilled_ns[2];
};

/* A router or a target: how it behaves. */
struct responder {
    bool is_target;
    bool has_address[2];
    uint8_t address[2][16];
    int64_t rtt_ns; /* negative: that of the station before, and the path's hop_rtt_ns */
    int64_t jitter_ns;
    double loss;
    bool silent;
    int bucket; /* negative: no rate limit */
    int quote;  /* negative: as much as the RFCs allow */
    int reply_ttl;
    double forwarding_loss;
    int refusal_type[2]; /* negative: it forwards */
    int refusal_code[2];
    int mtu; /* 0: no limit */
    bool echo;
    int udp;
    int fault_count;
    struct fault *faults;
    const struct manner *manner[2]; /* NULL: nothing out of the ordinary */
    int burst_left[2]; /* how many more probes are lost before the burst is over */
};

struct branch {
    int count;
    int *responders;
};

enum element_kind { ELEMENT_ROUTER, ELEMENT_PER_FLOW, ELEMENT_PER_PACKET, ELEMENT_LOOP };

/* What stands at one place of a path; a router and a loop have a single branch. */
struct element {
    enum element_kind kind;
    int branch_count;
    struct branch *branches;
};

/* The hops from some time on. */
struct route {
    int64_t from_ns;
    int element_count;
    struct element *elements;
};

struct path {
    int target;
    int64_t hop_rtt_ns;
    int route_count;
    struct route *routes;
    int first_forgery; /* those of a path stand one behind the other */
    int forgery_count;
    uint32_t *seen; /* probes so far, for each IP version and TTL; made for the first one */
};

struct scenario {
    int bucket_count;
    struct bucket *buckets;
    int responder_count;
    struct responder *responders;
    int path_count;
    struct path *paths;
    struct manner *manners;
    int forgery_count;
    struct forgery *forgeries;
    size_t slot_count; /* of a hash table from addresses to paths; a power of two */
    int *slots[2];
};

/* Read a scenario; NULL and a message in `problem` if it is malformed. */
struct scenario *scenario_read(const char *file_name, char *problem, size_t problem_size);
void scenario_free(struct scenario *scenario);

/* Forget all probes: fill the token buckets, begin counting anew. */
void scenario_reset(struct scenario *scenario, int64_t now_ns);

/* The path to an address, or NULL. */
struct path *scenario_path(const struct scenario *scenario, int version, const uint8_t *address);

#endif
