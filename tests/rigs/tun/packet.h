/*
 * The bytes of probes and of the answers to them. Sizes and offsets are those of RFC 791 and 792 (IPv4),
 * RFC 8200 and 4443 (IPv6), RFC 768 (UDP) and RFC 9293 (TCP). Knows nothing of topologies, time or devices.
 */
#ifndef PACKET_H
#define PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_DATAGRAM 65535

struct manner;

/* A datagram that came from the prober. The pointers lead into the datagram itself. */
struct probe {
    const uint8_t *datagram;
    size_t length;
    int version;
    int ttl;
    int traffic_class;
    int protocol;
    bool dont_fragment;
    uint32_t label; /* flow label (IPv6) or identification (IPv4) */
    const uint8_t *source;
    const uint8_t *destination;
    size_t address_size;
    const uint8_t *transport;
    size_t transport_length;
    bool is_echo_request;
    uint16_t checksum;
    uint16_t identifier; /* source port of UDP and TCP */
    uint16_t sequence;   /* destination port of UDP and TCP */
    uint32_t number;     /* sequence number of TCP */
    bool checksum_right;
};

/* What an answer says; see answer_build. */
struct answer {
    int type; /* of ICMP; ANSWER_DATA for a UDP datagram, the two below it for TCP segments */
    int code;
    uint32_t rest; /* the last four bytes of the header of an ICMP error: MTU or pointer */
    const uint8_t *address;
    int ttl;        /* that it arrives with */
    int quoted_ttl; /* that the probe arrived with */
    int quote;      /* bytes quoted behind the IP header; negative: as much as fits */
    int fault;      /* one of enum fault_kind */
    uint32_t chance;
    const struct manner *manner; /* NULL: nothing out of the ordinary */
};

enum { ANSWER_DATA = -1, ANSWER_SYN_ACK = -2, ANSWER_RST = -3 };

/* Take a datagram apart; false if it is no probe: no echo request, UDP or TCP SYN, or a fragment. */
bool probe_parse(struct probe *probe, const uint8_t *datagram, size_t length);

/* What routers that balance per flow look at; see branch_of in traceprobe.testing.topology. */
size_t probe_flow_key(const struct probe *probe, uint8_t key[48]);

/* Write the IP header in front of an answer of `length` bytes, the header included; returns `length`. */
size_t write_ip_header(uint8_t *out, const struct probe *probe, const struct answer *answer, int protocol,
                       size_t length);

/* Write the answer to a probe; returns its length. */
size_t answer_build(uint8_t *out, const struct probe *probe, const struct answer *answer);

#endif
