/*
 * Where a probe ends and what is answered, by the rules of traceprobe.testing.topology. Chance and time
 * are arguments; devices and waiting are the main program's.
 */
#ifndef FORWARD_H
#define FORWARD_H

#include "packet.h"
#include "record.h"
#include "scenario.h"

/*
 * Random numbers (splitmix64), begun anew for every probe from the seed, its target, its TTL and how many
 * like it there were before: what happens to one does not depend on the order of the others.
 */
struct chance {
    uint64_t state;
};

#define MAX_ANSWERS 8

struct scheduled_answer {
    struct answer answer;
    int64_t delay_ns; /* from the probe's arrival */
};

struct verdict {
    enum outcome outcome;
    int station;
    const struct path *path;
    struct answer truth; /* who would answer, even if nobody does: address and TTLs */
    int64_t rtt_ns;      /* and how long that would take */
    int count;
    struct scheduled_answer answers[MAX_ANSWERS];
};

/* Decide on a probe that came at `now_ns`, on a network that began at `epoch_ns`. */
void forward_probe(struct verdict *verdict, struct scenario *scenario, const struct probe *probe,
                   uint64_t seed, int64_t now_ns, int64_t epoch_ns);

/* Which branch of a balancer a flow takes. */
uint32_t branch_of(const uint8_t *flow_key, size_t length, uint32_t index, uint32_t branches);

#endif
