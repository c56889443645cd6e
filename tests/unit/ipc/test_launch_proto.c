/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/launch_proto.h"

static LaunchMessage start_message(void) {
        LaunchMessage msg;

        memset(&msg, 0, sizeof(msg));
        msg.start.header.type = LAUNCH_START;
        msg.start.number = 1;
        msg.start.release = 3;
        msg.start.web_port = 5000;
        msg.start.cpu_weight = 100;
        msg.start.process_limit = 256;
        msg.start.memory_quota = 512 << 20;
        msg.start.memory_kill = 1024 << 20;
        msg.start.app_number = 7;
        field_set(msg.start.id, sizeof(msg.start.id), "web.1-7f3a9c");
        field_set(msg.start.app, sizeof(msg.start.app), "shop");
        field_set(msg.start.type, sizeof(msg.start.type), "web");
        field_set(msg.start.size, sizeof(msg.start.size), "Standard-1X");
        return msg;
}

static int check_start(const LaunchMessage *msg) {
        return launch_message_check(msg, sizeof(msg->start), 1, LAUNCH_FROM_SUPERVISOR);
}

static void test_good_start_passes(void **state) {
        LaunchMessage msg = start_message();

        assert_int_equal(check_start(&msg), 0);
        msg.start.memory_quota = msg.start.memory_kill = DYNO_MEMORY_MIN;
        assert_int_equal(check_start(&msg), 0);
        msg.start.flags = LAUNCH_FLAG_ATTACHED;
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.start), 2, LAUNCH_FROM_SUPERVISOR), 0);
}

/* One change each that makes a good message a bad one. False: there is no such change. */
static bool break_start_names(LaunchStart *s, int change) {
        static const char dirty[APP_NAME_SIZE] = "shop\0x";

        switch (change) {
        case 0:
                s->id[0] = '.';
                return true;
        case 1:
                memset(s->id, 'a', sizeof(s->id));
                return true;
        case 2:
                field_set(s->id, sizeof(s->id), "web.2-7f3a9c");
                return true;
        case 3:
                field_set(s->id, sizeof(s->id), "wes.1-7f3a9c");
                return true;
        case 4:
                memcpy(s->app, dirty, sizeof(s->app));
                return true;
        case 5:
                field_set(s->app, sizeof(s->app), "../x");
                return true;
        case 6:
                field_set(s->type, sizeof(s->type), "");
                return true;
        case 7:
                s->flags = 1U << 31;
                return true;
        case 8:
                s->number = 0;
                return true;
        case 9:
                s->release = 0;
                return true;
        default:
                return false;
        }
}

/* The same for the numbers. */
static bool break_start_numbers(LaunchStart *s, int change) {
        switch (change) {
        case 0:
                s->web_port = 65536;
                return true;
        case 1:
                s->cpu_weight = 0;
                return true;
        case 2:
                s->cpu_weight = 10001;
                return true;
        case 3:
                s->process_limit = 0;
                return true;
        case 4:
                s->memory_quota = DYNO_MEMORY_MIN - 1;
                return true;
        case 5:
                s->memory_kill = s->memory_quota - 1;
                return true;
        case 6:
                s->memory_kill = UINT64_MAX;
                return true;
        case 7:
                s->size[0] = '\0';
                return true;
        case 8:
                s->flags = LAUNCH_FLAG_ATTACHED;
                return true; /* without its descriptor */
        case 9:
                s->process_limit = UINT32_MAX;
                return true;
        case 10:
                s->app_number = 0;
                return true;
        case 11:
                s->reserved = 1;
                return true;
        case 12:
                s->disk = UINT64_MAX;
                return true;
        case 13:
                s->bandwidth = UINT64_MAX;
                return true;
        case 14:
                s->disk_files = UINT64_MAX;
                return true;
        case 15:
                memset(s->size, 'a', sizeof(s->size));
                return true;
        default:
                return false;
        }
}

static void test_every_field_of_a_start_is_checked(void **state) {
        LaunchMessage msg;

        for (int i = 0; msg = start_message(), break_start_names(&msg.start, i); i++)
                if (check_start(&msg) != -EBADMSG)
                        fail_msg("change %d of the names passed", i);
        for (int i = 0; msg = start_message(), break_start_numbers(&msg.start, i); i++)
                if (check_start(&msg) != -EBADMSG)
                        fail_msg("change %d of the numbers passed", i);
}

static LaunchMessage policy_message(void) {
        LaunchMessage msg;

        memset(&msg, 0, sizeof(msg));
        msg.policy.header.type = LAUNCH_POLICY;
        msg.policy.serial = 3;
        msg.policy.app_number = 7;
        msg.policy.egress_closed = 1;
        msg.policy.n_rules = 1;
        msg.policy.rules[0] = (NetworkRule){
                .network = htonl(0x0a000000),
                .prefix = 8,
                .protocol = IPPROTO_TCP,
                .allow = 1,
                .port_first = 5432,
                .port_last = 5433,
        };
        msg.policy.n_trusted = 1;
        msg.policy.trusted[0] = (NetworkRange){.network = htonl(0xc6336400), .prefix = 24};
        msg.policy.n_services = 1;
        msg.policy.services[0] = (NetworkPort){.port = 53, .protocol = IPPROTO_UDP};
        msg.policy.n_published = 1;
        msg.policy.published[0] = (NetworkPort){.port = 8080, .protocol = IPPROTO_TCP};
        return msg;
}

static int check_policy(const LaunchMessage *msg) {
        return launch_message_check(msg, sizeof(msg->policy), 0, LAUNCH_FROM_SUPERVISOR);
}

static void empty_lists(LaunchPolicy *p) {
        memset(p->rules, 0, sizeof(*p) - offsetof(LaunchPolicy, rules));
        p->n_rules = p->n_trusted = p->n_services = p->n_published = 0;
}

/* One change each that makes a good policy a bad one. False: there is no such change. */
static bool break_policy_fields(LaunchPolicy *p, int change) {
        switch (change) {
        case 0:
                p->app_number = 0;
                return true;
        case 1:
                p->egress_closed = 2;
                return true;
        case 2:
                empty_lists(p);
                p->n_rules = NETWORK_RULES_MAX + 1; /* what is behind them is a rule, too */
                return true;
        case 3:
                empty_lists(p);
                p->n_trusted = NETWORK_TRUSTED_MAX + 1;
                return true;
        case 4:
                p->n_services = NETWORK_SERVICES_MAX + 1;
                for (size_t i = 0; i < NETWORK_SERVICES_MAX; i++)
                        p->services[i] = p->services[0];
                return true;
        case 5:
                p->n_published = NETWORK_PUBLISHED_MAX + 1;
                for (size_t i = 0; i < NETWORK_PUBLISHED_MAX; i++)
                        p->published[i] = p->published[0];
                return true;
        case 6:
                p->serial = 0;
                return true; /* none, and yet full */
        case 7:
                p->reserved = 1;
                return true;
        case 8:
                p->ingress_closed = 1;
                return true; /* and yet somebody is trusted */
        case 9:
                p->ingress_closed = 2;
                p->n_trusted = 0;
                memset(p->trusted, 0, sizeof(p->trusted));
                return true;
        case 10:
                p->asked = 2;
                return true;
        default:
                return false;
        }
}

/* The same for the lists. */
static bool break_policy_lists(LaunchPolicy *p, int change) {
        switch (change) {
        case 0:
                p->rules[0].prefix = 33;
                return true;
        case 1:
                p->rules[0].prefix = 6;
                return true; /* 10.0.0.0 has bits beyond it */
        case 2:
                p->rules[0].protocol = IPPROTO_SCTP;
                return true;
        case 3:
                p->rules[0].protocol = IPPROTO_ICMP;
                return true; /* with ports */
        case 4:
                p->rules[0].port_last = 5431;
                return true;
        case 5:
                p->rules[0].port_first = 0;
                return true;
        case 6:
                p->rules[0].allow = 2;
                return true;
        case 7:
                p->rules[0].reserved = 1;
                return true;
        case 8:
                p->rules[1].allow = 1;
                return true; /* beyond the count */
        case 9:
                p->trusted[0].prefix = 33;
                return true;
        case 10:
                p->trusted[0].prefix = 8;
                return true;
        case 11:
                p->services[0].port = 0;
                return true;
        case 12:
                p->services[0].protocol = IPPROTO_ICMP;
                return true;
        case 13:
                p->published[0].protocol = IPPROTO_UDP;
                return true;
        case 14:
                p->published[15].port = 1;
                return true;
        case 15:
                p->rules[0].network = 0; /* so that no bit is beyond it */
                p->rules[0].prefix = 33;
                return true;
        case 16:
                p->trusted[0].network = 0;
                p->trusted[0].prefix = 33;
                return true;
        default:
                return false;
        }
}

static void test_every_field_of_a_policy_is_checked(void **state) {
        LaunchMessage msg = policy_message();

        assert_int_equal(check_policy(&msg), 0);
        for (int i = 0; msg = policy_message(), break_policy_fields(&msg.policy, i); i++)
                if (check_policy(&msg) != -EBADMSG)
                        fail_msg("change %d of the fields passed", i);
        for (int i = 0; msg = policy_message(), break_policy_lists(&msg.policy, i); i++)
                if (check_policy(&msg) != -EBADMSG)
                        fail_msg("change %d of the lists passed", i);
}

/* A good message of each other type, where zeroes are not good. */
static LaunchMessage small_message(LaunchType type) {
        const LaunchMessage start = start_message();
        const LaunchDynoFacts facts = {.start = start.start, .pid = 2};
        LaunchMessage msg;

        memset(&msg, 0, sizeof(msg));
        switch ((int)type) {
        case LAUNCH_SIGNAL:
                msg.signal.signo = 15;
                field_set(msg.signal.id, sizeof(msg.signal.id), "web.1-7f3a9c");
                break;
        case LAUNCH_KILL:
        case LAUNCH_EXEC:
        case LAUNCH_INSPECT:
        case LAUNCH_BOUND:
                field_set(msg.dyno.id, sizeof(msg.dyno.id), "web.1-7f3a9c");
                break;
        case LAUNCH_EXITED:
                field_set(msg.exited.id, sizeof(msg.exited.id), "web.1-7f3a9c");
                break;
        case LAUNCH_FETCH:
                msg.fetch.import = 1;
                break;
        case LAUNCH_FETCHED:
                msg.fetched.import = 1;
                break;
        case LAUNCH_SOURCE:
                msg.source.app_number = 1;
                break;
        case LAUNCH_EXTRACT:
                msg.extract.max_entries = msg.extract.max_bytes = msg.extract.max_ratio = 1;
                break;
        case LAUNCH_COMMIT:
        case LAUNCH_ABANDON:
                msg.import.import = 1;
                break;
        case LAUNCH_HELLO:
                field_set(msg.hello.instance, sizeof(msg.hello.instance), "dynod");
                break;
        case LAUNCH_DYNO:
                msg.facts = facts;
                break;
        case LAUNCH_STARTED:
                msg.started.facts = facts;
                break;
        default:
                break;
        }
        msg.header = (LaunchHeader){.type = type};
        return msg;
}

#define BAD(type, fds, member, value)                                                              \
        { type, fds, offsetof(LaunchMessage, member), value }

/* What no field of theirs may be. */
static void test_every_field_of_the_others_is_checked(void **state) {
        const uint32_t positive = 1;
        const struct {
                LaunchType type;
                size_t n_fds, offset;
                uint32_t value;
        } bad[] = {
                BAD(LAUNCH_SIGNAL, 0, signal.signo, 0),
                BAD(LAUNCH_SIGNAL, 0, signal.signo, 32),
                BAD(LAUNCH_SIGNAL, 0, signal.target, _SIGNAL_TARGET_MAX),
                BAD(LAUNCH_SIGNAL, 0, signal.id, '/'),
                BAD(LAUNCH_KILL, 0, dyno.id, '/'),
                BAD(LAUNCH_EXEC, 2, dyno.id, '/'),
                BAD(LAUNCH_INSPECT, 0, dyno.id, '/'),
                BAD(LAUNCH_FETCH, 1, fetch.import, 0),
                BAD(LAUNCH_FETCH, 1, fetch.reserved, 1),
                BAD(LAUNCH_EXTRACT, 1, extract.kind, _OBJECT_KIND_MAX),
                BAD(LAUNCH_EXTRACT, 1, extract.max_entries, 0),
                BAD(LAUNCH_EXTRACT, 1, extract.max_bytes, 0),
                BAD(LAUNCH_EXTRACT, 1, extract.max_ratio, 0),
                BAD(LAUNCH_COMMIT, 0, import.import, 0),
                BAD(LAUNCH_COMMIT, 0, import.reserved, 1),
                BAD(LAUNCH_ABANDON, 0, import.import, 0),
                BAD(LAUNCH_REMOVE, 0, object.kind, _OBJECT_KIND_MAX),
                BAD(LAUNCH_REMOVE, 0, object.reserved, 1),
                BAD(LAUNCH_HELLO, 4, hello.instance, '/'),
                BAD(LAUNCH_DYNO, 0, facts.pid, 1),
                BAD(LAUNCH_DYNO, 0, facts.bound, 2),
                BAD(LAUNCH_DYNO, 0, facts.start.number, 0),
                BAD(LAUNCH_REPLY, 0, reply.result, positive),
                BAD(LAUNCH_REPLY, 0, reply.layer, _LAYER_ANY_MAX + 1),
                BAD(LAUNCH_STARTED, 0, started.result, positive),
                BAD(LAUNCH_STARTED, 0, started.layer, _LAYER_ANY_MAX + 1),
                BAD(LAUNCH_STARTED, 0, started.detail, '\n'),
                BAD(LAUNCH_STARTED, 0, started.facts.pid, 1),
                BAD(LAUNCH_INSPECTED, 0, inspected.result, positive),
                BAD(LAUNCH_INSPECTED, 0, inspected.layers[0].verdict, _VERDICT_MAX),
                BAD(LAUNCH_HOSTED, 0, inspected.n_blockers, BLOCKERS_MAX + 1),
                BAD(LAUNCH_HOSTED, 0, inspected.n_blockers, 1), /* whose table has no name */
                BAD(LAUNCH_HOSTED, 0, inspected.n_blockers, (SHADOWED_MAX + 1) << 8),
                BAD(LAUNCH_BOUND, 0, dyno.id, '/'),
                BAD(LAUNCH_EXITED, 0, exited.status, 256),
                BAD(LAUNCH_EXITED, 0, exited.flags, UINT32_C(1) << 3),
                BAD(LAUNCH_EXITED, 0, exited.id, '/'),
                BAD(LAUNCH_FETCHED, 0, fetched.import, 0),
                BAD(LAUNCH_FETCHED, 0, fetched.result, positive),
                BAD(LAUNCH_EXTRACTED, 0, extracted.result, positive),
                BAD(LAUNCH_EXTRACTED, 0, extracted.layer, _LAYER_ANY_MAX + 1),
                BAD(LAUNCH_SOURCE, 0, source.app_number, 0),
                BAD(LAUNCH_SOURCE, 0, source.gone, 2),
        };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                LaunchMessage msg = small_message(bad[i].type);
                size_t size = launch_message_size(bad[i].type);
                LaunchSide from =
                        bad[i].type < LAUNCH_HELLO ? LAUNCH_FROM_SUPERVISOR : LAUNCH_FROM_LAUNCHER;

                if (launch_message_check(&msg, size, bad[i].n_fds, from) != 0)
                        fail_msg("message %zu was refused as it should be", i);
                memcpy((char *)&msg + bad[i].offset, &bad[i].value, sizeof(bad[i].value));
                if (launch_message_check(&msg, size, bad[i].n_fds, from) != -EBADMSG)
                        fail_msg("message %zu passed with a wrong field", i);
        }
}

static void test_blockers_have_names_that_people_can_type(void **state) {
        static const char *const bad[] = {"", "a b", "a;b", "$x"};
        LaunchMessage msg = small_message(LAUNCH_HOSTED);
        LaunchBlocker *blocker = &msg.inspected.blockers[0];
        size_t size = sizeof(msg.inspected);

        msg.inspected.n_blockers = 1;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                field_set(blocker->table, sizeof(blocker->table), "filter");
                field_set(blocker->chain, sizeof(blocker->chain), "FORWARD");
                assert_int_equal(launch_message_check(&msg, size, 0, LAUNCH_FROM_LAUNCHER), 0);
                field_set(blocker->table, sizeof(blocker->table), bad[i]);
                assert_int_equal(
                        launch_message_check(&msg, size, 0, LAUNCH_FROM_LAUNCHER), -EBADMSG);
                field_set(blocker->table, sizeof(blocker->table), "filter");
                field_set(blocker->chain, sizeof(blocker->chain), bad[i]);
                assert_int_equal(
                        launch_message_check(&msg, size, 0, LAUNCH_FROM_LAUNCHER), -EBADMSG);
        }
}

static void test_length_sender_and_descriptors_must_fit(void **state) {
        LaunchMessage msg = start_message();

        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.start) - 1, 1, LAUNCH_FROM_SUPERVISOR),
                -EBADMSG);
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.start) + 1, 1, LAUNCH_FROM_SUPERVISOR),
                -EBADMSG);
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.start), 0, LAUNCH_FROM_SUPERVISOR), -EBADMSG);
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.start), 3, LAUNCH_FROM_SUPERVISOR), -EBADMSG);
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.start), 1, LAUNCH_FROM_LAUNCHER), -EBADMSG);
        assert_int_equal(launch_message_check(&msg, 3, 0, LAUNCH_FROM_SUPERVISOR), -EBADMSG);
}

static void test_unknown_types_are_refused(void **state) {
        LaunchMessage msg;

        memset(&msg, 0, sizeof(msg));
        for (size_t size = 1; size <= sizeof(msg); size++)
                assert_int_equal(
                        launch_message_check(&msg, size, 0, LAUNCH_FROM_SUPERVISOR), -EBADMSG);
        msg.header.type = _LAUNCH_TYPE_MAX;
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.header), 0, LAUNCH_FROM_SUPERVISOR),
                -EBADMSG);
        msg.header.type = UINT32_MAX;
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.header), 0, LAUNCH_FROM_LAUNCHER), -EBADMSG);
}

/* A type that was added to the enum and not to the table would be refused, silently. */
static void test_every_type_has_a_size(void **state) {
        for (LaunchType type = _LAUNCH_INVALID + 1; type < _LAUNCH_TYPE_MAX; type++)
                assert_true(launch_message_size(type) >= sizeof(LaunchHeader));
        assert_int_equal(launch_message_size(_LAUNCH_TYPE_MAX), 0);
}

static void test_details_are_one_printable_line(void **state) {
        LaunchMessage msg;

        memset(&msg, 0, sizeof(msg));
        msg.inspected.header.type = LAUNCH_INSPECTED;
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.inspected), 0, LAUNCH_FROM_LAUNCHER), 0);
        field_set(
                msg.inspected.layers[3].detail, sizeof(msg.inspected.layers[3].detail), "a\033[2J");
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.inspected), 0, LAUNCH_FROM_LAUNCHER),
                -EBADMSG);
}

static void test_reply_names_a_port_or_none(void **state) {
        LaunchMessage msg;

        memset(&msg, 0, sizeof(msg));
        msg.reply.header.type = LAUNCH_REPLY;
        msg.reply.port = UINT16_MAX;
        assert_int_equal(launch_message_check(&msg, sizeof(msg.reply), 0, LAUNCH_FROM_LAUNCHER), 0);
        msg.reply.port++;
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.reply), 0, LAUNCH_FROM_LAUNCHER), -EBADMSG);
        msg.reply.port = 0;
        msg.reply.reserved = 1;
        assert_int_equal(
                launch_message_check(&msg, sizeof(msg.reply), 0, LAUNCH_FROM_LAUNCHER), -EBADMSG);
}

/* The supervisor has a text for each. */
static void test_state_of_a_guard_is_one_of_those_there_are(void **state) {
        LaunchMessage msg;

        for (size_t i = 0; i < _GUARD_MAX; i++) {
                memset(&msg, 0, sizeof(msg));
                msg.inspected.header.type = LAUNCH_HOSTED;
                msg.inspected.guards[i] = _GUARD_STATE_MAX - 1;
                assert_int_equal(
                        launch_message_check(&msg, sizeof(msg.inspected), 0, LAUNCH_FROM_LAUNCHER),
                        0);
                msg.inspected.guards[i] = _GUARD_STATE_MAX;
                assert_int_equal(
                        launch_message_check(&msg, sizeof(msg.inspected), 0, LAUNCH_FROM_LAUNCHER),
                        -EBADMSG);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good_start_passes),
                cmocka_unit_test(test_every_field_of_a_start_is_checked),
                cmocka_unit_test(test_every_field_of_a_policy_is_checked),
                cmocka_unit_test(test_every_field_of_the_others_is_checked),
                cmocka_unit_test(test_blockers_have_names_that_people_can_type),
                cmocka_unit_test(test_length_sender_and_descriptors_must_fit),
                cmocka_unit_test(test_unknown_types_are_refused),
                cmocka_unit_test(test_every_type_has_a_size),
                cmocka_unit_test(test_details_are_one_printable_line),
                cmocka_unit_test(test_reply_names_a_port_or_none),
                cmocka_unit_test(test_state_of_a_guard_is_one_of_those_there_are),
        };

        return cmocka_run_group_tests_name("ipc/launch_proto", tests, NULL, NULL);
}
