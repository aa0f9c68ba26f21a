/*
 * How the ICMP errors of one station differ from plain ones: what they append to the quote (RFC 4884), and
 * what they show that the path did to the probe before it came there. Also which TCP and UDP ports do what.
 * See manners.py, which writes them down. Knows nothing of topologies or time.
 */
#ifndef MANNER_H
#define MANNER_H

#include "words.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_OBJECTS 1024
#define MAX_PATCHES 4
#define MAX_PORTS 16

/* RFC 4884: with the length of the quote, or as before it (section 5), without and behind 128 bytes. */
enum form { FORM_COMPLIANT, FORM_LEGACY, FORMS };

/* What is wrong with the extension structure; an absent checksum is right. */
enum spoil { SPOIL_NONE, SPOIL_CHECKSUM, SPOIL_VERSION, SPOIL_OBJECT, SPOIL_NO_CHECKSUM, SPOILS };

/* What of the source that a translator gave the probe is still to be seen in what is quoted. */
enum translation {
    TRANSLATION_NONE,
    TRANSLATION_WHOLE,    /* all of it: what is quoted was not translated back */
    TRANSLATION_CHECKSUM, /* only the checksum */
    TRANSLATIONS
};

enum port_policy { PORT_CLOSED, PORT_OPEN, PORT_SILENT, PORT_PROHIBITED, PORT_POLICIES };

struct ports {
    int count;
    uint16_t ports[MAX_PORTS];
    int policies[MAX_PORTS];
};

/* Bytes that replace those of the probe's transport header and payload. */
struct patch {
    size_t offset;
    size_t length;
    uint8_t bytes[64];
};

struct manner {
    size_t objects_length;
    uint8_t objects[MAX_OBJECTS]; /* of the extension structure, their headers included */
    int form;
    int spoil;
    int refusal_type; /* negative: what the responder says otherwise */
    int refusal_code;
    uint32_t refusal_rest;
    /* Of the IP header that is quoted; negative: as sent. */
    int traffic_class;
    int64_t label; /* flow label, or identification */
    int dont_fragment;
    int total_length;
    bool ip_checksum_wrong;
    int translation;
    uint8_t translated_source[16];
    int translated_port; /* identifier of an echo request */
    bool checksum_stale; /* patches leave the transport checksum as it was */
    int patch_count;
    struct patch patches[MAX_PATCHES];
    bool forwards_zero; /* sends on what came with a TTL of 1 */
    double burst_share; /* of the probes that come: a burst of losses begins with them */
    int burst_length;
    bool speaks_tcp;
    struct ports tcp; /* others are closed */
    struct ports udp; /* others do what the target does */
};

void manner_read(struct reader *reader, struct manner *manner, int family);

/* The policy of a port, or `otherwise`. */
int ports_policy(const struct ports *ports, uint16_t port, int otherwise);

/* Do to a probe what the path did; the checksum of its IPv4 header is left to be done. */
void manner_rewrite(const struct manner *manner, uint8_t *datagram, size_t length, int version, int protocol,
                    size_t transport_at);

/*
 * Append the extension structure to an ICMP message that quotes `quoted` bytes; returns what its length
 * is then behind the header, at most `room`.
 */
size_t manner_extend(const struct manner *manner, int version, uint8_t *icmp, size_t quoted, size_t room);

#endif
