#include "forward.h"
#include "bytes.h"
#include "manner.h"

#include <stdlib.h>
#include <string.h>

enum { ICMP_TIME_EXCEEDED = 11, ICMP_UNREACHABLE = 3, ICMP_FRAGMENTATION_NEEDED_CODE = 4, ICMP_PORT_CODE = 3 };
enum { ICMPV6_UNREACHABLE = 1, ICMPV6_TOO_BIG = 2, ICMPV6_TIME_EXCEEDED = 3, ICMPV6_PARAMETER = 4 };
enum { ICMP_PROTOCOL_CODE = 2, ICMPV6_NEXT_HEADER_CODE = 1 };
enum { ICMP_PROHIBITED_CODE = 13, ICMPV6_PROHIBITED_CODE = 1 };
enum { ICMPV6_PORT_CODE = 4, IPV6_NEXT_HEADER_OFFSET = 6 };
enum { NANOSECONDS = 1000000000 };

/* Why a probe went no farther. */
enum halt { HALT_EXPIRED, HALT_ARRIVED, HALT_REFUSED, HALT_TOO_BIG, HALT_LOST };

struct visit {
    struct responder *responder;
    const struct manner *manner;
    int64_t rtt_ns;
    int station; /* counted from 1 */
    enum halt halt;
};

static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

static uint32_t chance_bits(struct chance *chance)
{
    return (uint32_t)(mix(chance->state += 0x9e3779b97f4a7c15u) >> 32);
}

/* From 0 up to, but not including 1. */
static double chance_share(struct chance *chance)
{
    return chance_bits(chance) / 4294967296.0;
}

static bool happens(struct chance *chance, double share)
{
    return share > 0 && chance_share(chance) < share;
}

uint32_t branch_of(const uint8_t *flow_key, size_t length, uint32_t index, uint32_t branches)
{
    uint32_t value = 0xffffffff; /* CRC-32 of ISO 3309, bit by bit: keys are short and balancers few */
    for (size_t i = 0; i < length; i++) {
        value ^= flow_key[i];
        for (int bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0);
    }
    value = ~value ^ index * 0x9e3779b9u;
    value = (value ^ value >> 16) * 0x85ebca6bu;
    value = (value ^ value >> 13) * 0xc2b2ae35u;
    return (value ^ value >> 16) % branches;
}

static struct chance chance_for(const struct scenario *scenario, struct path *path, const struct probe *probe,
                                uint64_t seed)
{
    if (path->seen == NULL)
        path->seen = calloc(2 * 256, sizeof *path->seen);
    size_t kind = (size_t)(probe->version == 6) * 256 + (size_t)probe->ttl;
    uint64_t before = path->seen == NULL ? 0 : path->seen[kind]++;
    uint64_t which = (uint64_t)(path - scenario->paths) << 9 | kind;
    return (struct chance){mix(mix(seed + 0x9e3779b97f4a7c15u) ^ mix(which + 1) ^ before << 1)};
}

/* What a router or target does with the probe's port: closed, where it has no opinion of its own. */
static int port_policy(const struct manner *manner, const struct probe *probe)
{
    if (manner == NULL)
        return PORT_CLOSED;
    if (probe->protocol == PROTOCOL_TCP)
        return ports_policy(&manner->tcp, probe->sequence, PORT_CLOSED);
    return probe->protocol == PROTOCOL_UDP ? ports_policy(&manner->udp, probe->sequence, PORT_CLOSED) : PORT_CLOSED;
}

/* Whether a burst of losses takes a probe, such as radio has them: whatever comes while it lasts. */
static bool lost_in_burst(struct responder *responder, const struct manner *manner, int which, struct chance *chance)
{
    int *left = &responder->burst_left[which];
    if (manner == NULL)
        return false;
    if (*left == 0 && happens(chance, manner->burst_share))
        *left = manner->burst_length;
    if (*left == 0)
        return false;
    *left -= 1;
    return true;
}

/* Let a router have the probe; true if it goes no farther. */
static bool enter(struct visit *visit, struct responder *responder, int64_t rtt_ns, const struct probe *probe,
                  struct chance *chance)
{
    int which = probe->version == 6;
    visit->responder = responder;
    visit->manner = responder->manner[which];
    visit->rtt_ns = rtt_ns;
    visit->station++;
    int policy = port_policy(visit->manner, probe);
    if (lost_in_burst(responder, visit->manner, which, chance)) {
        visit->halt = HALT_LOST;
        return true;
    }
    if (visit->station == probe->ttl && visit->manner != NULL && visit->manner->forwards_zero)
        return false;
    if (visit->station >= probe->ttl)
        visit->halt = HALT_EXPIRED;
    else if (policy == PORT_SILENT)
        visit->halt = HALT_LOST;
    else if (policy == PORT_PROHIBITED || (visit->manner != NULL && visit->manner->refusal_type >= 0))
        visit->halt = HALT_REFUSED;
    else if (happens(chance, responder->forwarding_loss))
        visit->halt = HALT_LOST;
    else if (responder->refusal_type[which] >= 0)
        visit->halt = HALT_REFUSED;
    else if (responder->mtu > 0 && probe->length > (size_t)responder->mtu && probe->dont_fragment)
        visit->halt = HALT_TOO_BIG;
    else
        return false;
    return true;
}

static const struct branch *choose_branch(const struct element *element, int index, const struct probe *probe,
                                          struct chance *chance)
{
    uint32_t count = (uint32_t)element->branch_count;
    if (element->kind == ELEMENT_PER_FLOW) {
        uint8_t key[48];
        size_t length = probe_flow_key(probe, key);
        return &element->branches[branch_of(key, length, (uint32_t)index, count)];
    }
    if (element->kind == ELEMENT_PER_PACKET)
        return &element->branches[chance_bits(chance) % count];
    return &element->branches[0];
}

static void walk(struct visit *visit, struct scenario *scenario, const struct path *path,
                 const struct probe *probe, struct chance *chance, int64_t elapsed_ns)
{
    const struct route *route = &path->routes[0];
    for (int i = 1; i < path->route_count && path->routes[i].from_ns <= elapsed_ns; i++)
        route = &path->routes[i];
    int64_t rtt_ns = 0;
    memset(visit, 0, sizeof *visit);
    for (int index = 0; index < route->element_count; index++) {
        const struct element *element = &route->elements[index];
        const struct branch *branch = choose_branch(element, index, probe, chance);
        int64_t before_ns = rtt_ns;
        int64_t turn_ns = 0; /* how long the turns of a loop have taken that are over */
        do {
            rtt_ns = before_ns;
            for (int i = 0; i < branch->count; i++) {
                struct responder *responder = &scenario->responders[branch->responders[i]];
                rtt_ns = responder->rtt_ns >= 0 ? responder->rtt_ns : rtt_ns + path->hop_rtt_ns;
                if (enter(visit, responder, rtt_ns + turn_ns, probe, chance))
                    return;
            }
            turn_ns += rtt_ns > before_ns ? rtt_ns - before_ns : path->hop_rtt_ns * branch->count;
        } while (element->kind == ELEMENT_LOOP);
    }
    struct responder *target = &scenario->responders[path->target];
    visit->responder = target;
    visit->manner = target->manner[probe->version == 6];
    visit->rtt_ns = target->rtt_ns >= 0 ? target->rtt_ns : rtt_ns + path->hop_rtt_ns;
    visit->station++;
    visit->halt = HALT_ARRIVED;
}

/* Whether a token could be taken for an ICMP error. */
static bool take_token(struct scenario *scenario, const struct responder *responder, int which, int64_t now_ns)
{
    if (responder->bucket < 0)
        return true;
    struct bucket *bucket = &scenario->buckets[responder->bucket];
    double elapsed = (double)(now_ns - bucket->refilled_ns[which]) / NANOSECONDS;
    double tokens = bucket->tokens[which] + elapsed * bucket->per_second;
    bucket->tokens[which] = tokens < bucket->burst ? tokens : bucket->burst;
    bucket->refilled_ns[which] = now_ns;
    if (bucket->tokens[which] < 1)
        return false;
    bucket->tokens[which] -= 1;
    return true;
}

/* Administratively prohibited: RFC 1812 section 5.2.7.1, RFC 4443 section 3.1. */
static bool prohibit(struct answer *answer, bool v4)
{
    answer->type = v4 ? ICMP_UNREACHABLE : ICMPV6_UNREACHABLE;
    answer->code = v4 ? ICMP_PROHIBITED_CODE : ICMPV6_PROHIBITED_CODE;
    return true;
}

/* What the station says, fault aside; false if it says nothing. */
static bool word_answer(struct answer *answer, const struct visit *visit, const struct probe *probe)
{
    bool v4 = probe->version == 4;
    const struct responder *responder = visit->responder;
    answer->rest = 0;
    switch (visit->halt) {
    case HALT_EXPIRED:
        answer->type = v4 ? ICMP_TIME_EXCEEDED : ICMPV6_TIME_EXCEEDED;
        answer->code = 0;
        return true;
    case HALT_REFUSED:
        if (port_policy(visit->manner, probe) == PORT_PROHIBITED)
            return prohibit(answer, v4);
        if (visit->manner != NULL && visit->manner->refusal_type >= 0) {
            answer->type = visit->manner->refusal_type;
            answer->code = visit->manner->refusal_code;
            answer->rest = visit->manner->refusal_rest;
            return true;
        }
        answer->type = responder->refusal_type[!v4];
        answer->code = responder->refusal_code[!v4];
        answer->rest = !v4 && answer->type == ICMPV6_PARAMETER ? IPV6_NEXT_HEADER_OFFSET : 0;
        return true;
    case HALT_TOO_BIG:
        answer->type = v4 ? ICMP_UNREACHABLE : ICMPV6_TOO_BIG;
        answer->code = v4 ? ICMP_FRAGMENTATION_NEEDED_CODE : 0;
        answer->rest = (uint32_t)responder->mtu;
        return true;
    case HALT_ARRIVED:
        answer->code = 0;
        if (probe->is_echo_request) {
            answer->type = v4 ? 0 : 129;
            return responder->echo;
        }
        int policy = port_policy(visit->manner, probe);
        if (policy == PORT_PROHIBITED)
            return prohibit(answer, v4);
        if (visit->manner != NULL && visit->manner->speaks_tcp && probe->protocol == PROTOCOL_TCP) {
            answer->type = answer->code = policy == PORT_OPEN ? ANSWER_SYN_ACK : ANSWER_RST;
            return policy != PORT_SILENT;
        }
        if (probe->protocol != PROTOCOL_UDP) {
            answer->type = v4 ? ICMP_UNREACHABLE : ICMPV6_PARAMETER;
            answer->code = v4 ? ICMP_PROTOCOL_CODE : ICMPV6_NEXT_HEADER_CODE;
            answer->rest = v4 ? 0 : IPV6_NEXT_HEADER_OFFSET;
            return true;
        }
        answer->type = v4 ? ICMP_UNREACHABLE : ICMPV6_UNREACHABLE;
        answer->code = v4 ? ICMP_PORT_CODE : ICMPV6_PORT_CODE;
        if (responder->udp == UDP_DATA || policy == PORT_OPEN) {
            answer->type = ANSWER_DATA;
            answer->code = ANSWER_DATA;
        }
        return responder->udp != UDP_SILENT && policy != PORT_SILENT;
    case HALT_LOST:
        break;
    }
    return false;
}

static void add_answer(struct verdict *verdict, const struct answer *answer, int64_t delay_ns)
{
    if (verdict->count == MAX_ANSWERS)
        return;
    verdict->answers[verdict->count].answer = *answer;
    verdict->answers[verdict->count].delay_ns = delay_ns;
    verdict->count++;
}

static void schedule(struct verdict *verdict, const struct visit *visit, struct answer *answer,
                     struct chance *chance)
{
    const struct responder *responder = visit->responder;
    int64_t delay_ns = visit->rtt_ns;
    if (responder->jitter_ns > 0)
        delay_ns += (int64_t)(chance_share(chance) * (double)responder->jitter_ns);
    int64_t copies[MAX_ANSWERS];
    int copy_count = 0;
    answer->fault = FAULT_NONE;
    answer->chance = chance_bits(chance);
    for (int i = 0; i < responder->fault_count; i++) {
        const struct fault *fault = &responder->faults[i];
        if (!happens(chance, fault->share))
            continue;
        if (fault->kind == FAULT_DUPLICATE) {
            if (copy_count < MAX_ANSWERS)
                copies[copy_count++] = fault->delay_ns;
        } else {
            delay_ns += fault->delay_ns;
            if (fault->kind != FAULT_LATE && answer->fault == FAULT_NONE)
                answer->fault = fault->kind;
        }
    }
    add_answer(verdict, answer, delay_ns);
    for (int i = 0; i < copy_count; i++)
        add_answer(verdict, answer, delay_ns + copies[i]);
}

void forward_probe(struct verdict *verdict, struct scenario *scenario, const struct probe *probe,
                   uint64_t seed, int64_t now_ns, int64_t epoch_ns)
{
    verdict->count = 0;
    verdict->station = 0;
    verdict->outcome = OUTCOME_NO_PATH;
    verdict->path = NULL;
    struct path *path = scenario_path(scenario, probe->version, probe->destination);
    if (path == NULL)
        return;
    struct chance chance = chance_for(scenario, path, probe, seed);
    struct visit visit;
    walk(&visit, scenario, path, probe, &chance, now_ns - epoch_ns);
    int which = probe->version == 6;
    struct responder *responder = visit.responder;
    verdict->path = path;
    verdict->rtt_ns = visit.rtt_ns;
    struct chance aside = chance; /* what forgers throw changes nothing of what is true */
    verdict->truth = (struct answer){
        .address = responder->has_address[which] ? responder->address[which] : NULL,
        .ttl = responder->reply_ttl > visit.station - 1 ? responder->reply_ttl - (visit.station - 1) : 0,
        .quoted_ttl = probe->ttl > visit.station - 1 ? probe->ttl - (visit.station - 1) : 1,
        .chance = chance_bits(&aside),
    };
    verdict->station = visit.station < 255 ? visit.station : 255;
    if (visit.halt == HALT_LOST) {
        verdict->outcome = OUTCOME_LOST_FORWARD;
        return;
    }
    struct answer answer = {
        .address = responder->address[which],
        .ttl = responder->reply_ttl > visit.station - 1 ? responder->reply_ttl - (visit.station - 1) : 0,
        .quoted_ttl = probe->ttl - (visit.station - 1),
        .quote = responder->quote,
        .manner = visit.manner,
    };
    bool is_error = visit.halt != HALT_ARRIVED;
    if (visit.halt == HALT_ARRIVED && !probe->checksum_right) {
        verdict->outcome = OUTCOME_BAD_CHECKSUM;
    } else if (responder->silent || !responder->has_address[which] || !word_answer(&answer, &visit, probe)) {
        verdict->outcome = OUTCOME_SILENT;
    } else {
        is_error = is_error || (!probe->is_echo_request && answer.type >= 0);
        if (is_error && !take_token(scenario, responder, which, now_ns)) {
            verdict->outcome = OUTCOME_RATE_LIMITED;
        } else if (answer.ttl == 0 || happens(&chance, responder->loss)) {
            verdict->outcome = OUTCOME_LOST_REPLY;
        } else {
            verdict->outcome = OUTCOME_ANSWERED;
            schedule(verdict, &visit, &answer, &chance);
        }
    }
}
