/* Reads scenarios: words separated by white space, every list preceded by its length. See scenario.py. */

#include "scenario.h"
#include "words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FORMAT_VERSION 3

static void read_bucket(struct reader *reader, struct bucket *bucket)
{
    expect(reader, "bucket");
    bucket->per_second = next_number(reader, 1e12);
    bucket->burst = next_number(reader, 1e12);
}

static void read_responder(struct reader *reader, const struct scenario *scenario, struct responder *responder)
{
    expect(reader, "responder");
    responder->is_target = next_int(reader, 0, 1);
    responder->has_address[0] = next_address(reader, AF_INET, responder->address[0]);
    responder->has_address[1] = next_address(reader, AF_INET6, responder->address[1]);
    responder->rtt_ns = next_time(reader);
    responder->jitter_ns = next_time(reader);
    responder->loss = next_number(reader, 1);
    responder->silent = next_int(reader, 0, 1);
    responder->bucket = next_int(reader, -1, scenario->bucket_count - 1);
    responder->quote = next_int(reader, -1, 65535);
    responder->reply_ttl = next_int(reader, 1, 255);
    responder->forwarding_loss = next_number(reader, 1);
    for (int which = 0; which < 2; which++) {
        responder->refusal_type[which] = next_int(reader, -1, 255);
        responder->refusal_code[which] = next_int(reader, -1, 255);
    }
    responder->mtu = next_int(reader, 0, 65535);
    responder->echo = next_int(reader, 0, 1);
    responder->udp = next_int(reader, 0, UDP_ANSWERS - 1);
    int fault_count = next_int(reader, 0, 1000);
    responder->faults = allocate(reader, (size_t)fault_count, sizeof *responder->faults);
    responder->fault_count = fault_count;
    for (int i = 0; i < fault_count; i++) {
        responder->faults[i].kind = next_int(reader, FAULT_LATE, FAULT_KINDS - 1);
        responder->faults[i].share = next_number(reader, 1);
        responder->faults[i].delay_ns = next_time(reader);
    }
}

static void read_branch(struct reader *reader, const struct scenario *scenario, struct branch *branch, int count)
{
    branch->responders = allocate(reader, (size_t)count, sizeof *branch->responders);
    branch->count = count;
    for (int i = 0; i < count; i++)
        branch->responders[i] = next_int(reader, 0, scenario->responder_count - 1);
}

static void read_element(struct reader *reader, const struct scenario *scenario, struct element *element)
{
    static const char *const words[] = {"router", "per_flow", "per_packet", "loop"};
    int kind = 0;
    next_word(reader);
    while (kind < 4 && !word_is(reader, words[kind]))
        kind++;
    if (kind == 4)
        fail(reader, "%s is no element of a path", reader->word);
    element->kind = (enum element_kind)kind;
    bool balanced = element->kind == ELEMENT_PER_FLOW || element->kind == ELEMENT_PER_PACKET;
    int branch_count = balanced ? next_int(reader, 1, 65535) : 1;
    element->branches = allocate(reader, (size_t)branch_count, sizeof *element->branches);
    element->branch_count = branch_count;
    for (int i = 0; i < branch_count; i++) {
        int count = element->kind == ELEMENT_ROUTER ? 1 : next_int(reader, balanced ? 0 : 1, 255);
        read_branch(reader, scenario, &element->branches[i], count);
    }
}

static void read_path(struct reader *reader, const struct scenario *scenario, struct path *path)
{
    expect(reader, "path");
    path->target = next_int(reader, 0, scenario->responder_count - 1);
    path->hop_rtt_ns = next_time(reader);
    int route_count = next_int(reader, 1, 65535);
    path->routes = allocate(reader, (size_t)route_count, sizeof *path->routes);
    path->route_count = route_count;
    for (int i = 0; i < route_count; i++) {
        struct route *route = &path->routes[i];
        expect(reader, "route");
        route->from_ns = next_time(reader);
        int element_count = next_int(reader, 0, 65535);
        route->elements = allocate(reader, (size_t)element_count, sizeof *route->elements);
        route->element_count = element_count;
        for (int k = 0; k < element_count; k++)
            read_element(reader, scenario, &route->elements[k]);
    }
}

/* A manner: whose it is, then words of which each says what comes next, then a full stop. */
static void read_manner(struct reader *reader, struct scenario *scenario, struct manner *manner)
{
    expect(reader, "manner");
    struct responder *responder = &scenario->responders[next_int(reader, 0, scenario->responder_count - 1)];
    int which = next_int(reader, 0, 1);
    manner_read(reader, manner, which == 0 ? AF_INET : AF_INET6);
    responder->manner[which] = manner;
}

static void read_forgery(struct reader *reader, struct scenario *scenario, int index)
{
    struct forgery *forgery = &scenario->forgeries[index];
    forgery_read(reader, forgery, scenario->path_count);
    struct path *path = &scenario->paths[forgery->path];
    if (path->forgery_count == 0)
        path->first_forgery = index;
    if (path->first_forgery + path->forgery_count != index)
        fail(reader, "the forgeries of path %d do not follow one another", forgery->path);
    path->forgery_count++;
}

static size_t slot_of(const struct scenario *scenario, int which, const uint8_t *address)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (int i = 0; i < (which == 0 ? 4 : 16); i++)
        hash = (hash ^ address[i]) * 16777619u;
    return (hash ^ hash >> 15) & (scenario->slot_count - 1);
}

static const uint8_t *target_address(const struct scenario *scenario, int which, int path)
{
    return scenario->responders[scenario->paths[path].target].address[which];
}

static void index_paths(struct reader *reader, struct scenario *scenario)
{
    scenario->slot_count = 16;
    while (scenario->slot_count < 4 * (size_t)scenario->path_count)
        scenario->slot_count *= 2;
    for (int which = 0; which < 2; which++) {
        scenario->slots[which] = allocate(reader, scenario->slot_count, sizeof(int));
        for (size_t slot = 0; slot < scenario->slot_count; slot++)
            scenario->slots[which][slot] = -1;
        for (int path = 0; path < scenario->path_count; path++) {
            if (!scenario->responders[scenario->paths[path].target].has_address[which])
                continue;
            size_t slot = slot_of(scenario, which, target_address(scenario, which, path));
            while (scenario->slots[which][slot] >= 0)
                slot = (slot + 1) & (scenario->slot_count - 1);
            scenario->slots[which][slot] = path;
        }
    }
}

struct scenario *scenario_read(const char *file_name, char *problem, size_t problem_size)
{
    struct reader reader = {.problem = problem, .problem_size = problem_size};
    struct scenario *volatile scenario = NULL;
    reader.file = fopen(file_name, "r");
    if (reader.file == NULL) {
        snprintf(problem, problem_size, "%s: %s", file_name, strerror(errno));
        return NULL;
    }
    if (setjmp(reader.failed) != 0) {
        fclose(reader.file);
        if (scenario != NULL)
            scenario_free(scenario);
        return NULL;
    }
    scenario = allocate(&reader, 1, sizeof *scenario);
    expect(&reader, "internet");
    next_int(&reader, FORMAT_VERSION, FORMAT_VERSION);
    int count = next_int(&reader, 0, 10000000);
    scenario->buckets = allocate(&reader, (size_t)count, sizeof *scenario->buckets);
    scenario->bucket_count = count;
    for (int i = 0; i < count; i++)
        read_bucket(&reader, &scenario->buckets[i]);
    count = next_int(&reader, 0, 10000000);
    scenario->responders = allocate(&reader, (size_t)count, sizeof *scenario->responders);
    for (int i = 0; i < count; i++) {
        scenario->responder_count = i + 1; /* what exists so far, should the next word be wrong */
        read_responder(&reader, scenario, &scenario->responders[i]);
    }
    count = next_int(&reader, 0, 10000000);
    scenario->paths = allocate(&reader, (size_t)count, sizeof *scenario->paths);
    for (int i = 0; i < count; i++) {
        scenario->path_count = i + 1;
        read_path(&reader, scenario, &scenario->paths[i]);
    }
    count = next_int(&reader, 0, 2 * scenario->responder_count);
    scenario->manners = allocate(&reader, (size_t)count, sizeof *scenario->manners);
    for (int i = 0; i < count; i++)
        read_manner(&reader, scenario, &scenario->manners[i]);
    count = next_int(&reader, 0, 1000000);
    scenario->forgeries = allocate(&reader, (size_t)count, sizeof *scenario->forgeries);
    for (int i = 0; i < count; i++)
        read_forgery(&reader, scenario, i);
    expect(&reader, "end");
    index_paths(&reader, scenario);
    fclose(reader.file);
    return scenario;
}

void scenario_free(struct scenario *scenario)
{
    for (int i = 0; i < scenario->responder_count; i++)
        free(scenario->responders[i].faults);
    for (int i = 0; i < scenario->path_count; i++) {
        struct path *path = &scenario->paths[i];
        for (int r = 0; r < path->route_count; r++) {
            struct route *route = &path->routes[r];
            for (int e = 0; e < route->element_count; e++) {
                for (int b = 0; b < route->elements[e].branch_count; b++)
                    free(route->elements[e].branches[b].responders);
                free(route->elements[e].branches);
            }
            free(route->elements);
        }
        free(path->routes);
        free(path->seen);
    }
    free(scenario->manners);
    free(scenario->forgeries);
    free(scenario->buckets);
    free(scenario->responders);
    free(scenario->paths);
    free(scenario->slots[0]);
    free(scenario->slots[1]);
    free(scenario);
}

void scenario_reset(struct scenario *scenario, int64_t now_ns)
{
    for (int i = 0; i < scenario->bucket_count; i++) {
        for (int which = 0; which < 2; which++) {
            scenario->buckets[i].tokens[which] = scenario->buckets[i].burst;
            scenario->buckets[i].refilled_ns[which] = now_ns;
        }
    }
    for (int i = 0; i < scenario->responder_count; i++)
        scenario->responders[i].burst_left[0] = scenario->responders[i].burst_left[1] = 0;
    for (int i = 0; i < scenario->path_count; i++) {
        free(scenario->paths[i].seen);
        scenario->paths[i].seen = NULL;
    }
}

struct path *scenario_path(const struct scenario *scenario, int version, const uint8_t *address)
{
    int which = version == 6;
    size_t size = which ? 16 : 4;
    size_t slot = slot_of(scenario, which, address);
    while (scenario->slots[which][slot] >= 0) {
        int path = scenario->slots[which][slot];
        if (memcmp(target_address(scenario, which, path), address, size) == 0)
            return &scenario->paths[path];
        slot = (slot + 1) & (scenario->slot_count - 1);
    }
    return NULL;
}
