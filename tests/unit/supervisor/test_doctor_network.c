/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/doctor_network.h"
#include "supervisor/dyno.h"

typedef struct Case {
        LaunchBlocker blocker;
        const char *detail, *fix;
} Case;

static const Case cases[] = {
        {{HOOK_FORWARD, FILTER_NFT_INET, OWNER_UNKNOWN, "fw", "forward"},
         "inet fw forward drops what none of its rules lets through: dynos may reach nothing "
         "outside, nor be reached",
         "sudo nft 'insert rule inet fw forward iifname \"t-*\" accept' && "
         "sudo nft 'insert rule inet fw forward oifname \"t-*\" accept'"},
        {{HOOK_OUTPUT, FILTER_NFT_IP, OWNER_UNKNOWN, "filter", "OUTPUT"},
         "ip filter OUTPUT drops what none of its rules lets through: programs of this host may "
         "not reach web dynos",
         "sudo nft 'insert rule ip filter OUTPUT oifname \"t-*\" accept'"},
        {{HOOK_FORWARD, FILTER_LEGACY, OWNER_UNKNOWN, "filter", "FORWARD"},
         "iptables-legacy filter FORWARD drops what none of its rules lets through: dynos may "
         "reach nothing outside, nor be reached",
         "sudo iptables-legacy -t filter -I FORWARD -i t-+ -j ACCEPT && "
         "sudo iptables-legacy -t filter -I FORWARD -o t-+ -j ACCEPT"},
        {{HOOK_FORWARD, FILTER_LEGACY, OWNER_DOCKER, "filter", "FORWARD"},
         NULL,
         "sudo iptables-legacy -I DOCKER-USER -i t-+ -j ACCEPT && "
         "sudo iptables-legacy -I DOCKER-USER -o t-+ -j ACCEPT"},
        {{HOOK_FORWARD, FILTER_NFT_IP, OWNER_DOCKER, "filter", "FORWARD"},
         NULL,
         "sudo iptables -I DOCKER-USER -i t-+ -j ACCEPT && "
         "sudo iptables -I DOCKER-USER -o t-+ -j ACCEPT"},
        {{HOOK_FORWARD, FILTER_NFT_IP, OWNER_UFW, "filter", "FORWARD"},
         NULL,
         "sudo ufw route allow in on t-+ && sudo ufw route allow out on t-+"},
        {{HOOK_INPUT, FILTER_NFT_IP, OWNER_UFW, "filter", "INPUT"},
         "ip filter INPUT drops what none of its rules lets through: dynos may not reach services "
         "and public_ports",
         "sudo ufw allow in on t-+"},
        {{HOOK_FORWARD, FILTER_NFT_INET, OWNER_FIREWALLD, "firewalld", "filter_FORWARD"},
         NULL,
         "sudo firewall-cmd --permanent --zone=trusted --add-interface=t-+ && "
         "sudo firewall-cmd --reload"},
};

static Config config;
static Manager manager = {.config = &config};

static void setup(LaunchInspected *hosted, DoctorInfo *info, DoctorNetwork *lines) {
        config = (Config){.instance = "t"};
        manager.apps = NULL;
        *hosted = (LaunchInspected){.result = 0};
        *info = (DoctorInfo){.n_checks = 0};
        *lines = (DoctorNetwork){.n = 0};
}

static void test_each_firewall_has_its_line(void **state) {
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                LaunchInspected hosted;
                DoctorNetwork lines;
                DoctorInfo info;

                setup(&hosted, &info, &lines);
                config.n_public_ports = 1;
                hosted.blockers[0] = cases[i].blocker;
                hosted.n_blockers = 1;
                doctor_check_network(&manager, &hosted, &info, &lines);
                assert_int_equal(info.n_checks, 1);
                assert_string_equal(info.checks[0].check, "firewall");
                assert_string_equal(info.checks[0].verdict, "warning");
                if (cases[i].detail)
                        assert_string_equal(info.checks[0].detail, cases[i].detail);
                assert_string_equal(info.checks[0].fix, cases[i].fix);
        }
}

static void test_input_matters_where_the_host_is_open(void **state) {
        LaunchInspected hosted;
        DoctorNetwork lines;
        DoctorInfo info;
        App app = {.network.policy.n_services = 0};

        setup(&hosted, &info, &lines);
        hosted.blockers[0] = (LaunchBlocker){.hook = HOOK_INPUT, .table = "f", .chain = "i"};
        hosted.n_blockers = 1;
        manager.apps = &app;
        doctor_check_network(&manager, &hosted, &info, &lines);
        assert_int_equal(info.n_checks, 1);
        assert_string_equal(info.checks[0].verdict, "ok");

        app.network.policy.n_services = 1;
        info.n_checks = 0;
        doctor_check_network(&manager, &hosted, &info, &lines);
        assert_int_equal(info.n_checks, 1);
        assert_string_equal(info.checks[0].verdict, "warning");
}

static void test_a_port_that_is_taken_twice_names_app_and_way_out(void **state) {
        LaunchInspected hosted;
        DoctorNetwork lines;
        DoctorInfo info;
        App app = {.row.name = "shop", .network.policy = {.n_published = 1, .published = {8080}}};

        setup(&hosted, &info, &lines);
        manager.apps = &app;
        hosted.n_shadowed = 2;
        hosted.shadowed[0] = 8080;
        hosted.shadowed[1] = 9; /* unpublished meanwhile */
        doctor_check_network(&manager, &hosted, &info, &lines);
        assert_int_equal(info.n_checks, 2);
        assert_string_equal(info.checks[0].verdict, "ok");
        assert_string_equal(
                info.checks[1].detail,
                "8080 is published for shop, and a program of this host listens there, too: from "
                "outside only shop is reached");
        assert_string_equal(
                info.checks[1].fix,
                "herokuctl ps:unpublish 8080 -a shop, or give the program another port");
}

static void test_dynos_without_a_share_of_published_ports_are_counted(void **state) {
        static Dyno dynos[NETWORK_SHARES + 2];
        LaunchInspected hosted;
        DoctorNetwork lines;
        DoctorInfo info;
        App app = {.row.name = "shop", .network.policy = {.n_published = 1, .published = {8080}}};

        setup(&hosted, &info, &lines);
        manager.apps = &app;
        manager.dynos = &dynos[0];
        for (size_t i = 0; i < ARRAY_SIZE(dynos); i++)
                dynos[i] = (Dyno){
                        .app = &app,
                        .state = DYNO_UP,
                        .web_port = i == 0 ? 0 : 5000, /* a worker is none */
                        .next = i + 1 < ARRAY_SIZE(dynos) ? &dynos[i + 1] : NULL,
                };
        doctor_check_network(&manager, &hosted, &info, &lines);
        assert_int_equal(info.n_checks, 2);
        assert_string_equal(
                info.checks[1].detail,
                "the published ports of shop lead to 64 of its 65 web dynos; the others get no "
                "connection by them");

        dynos[1].state = DYNO_STARTING;
        info.n_checks = lines.n = 0;
        doctor_check_network(&manager, &hosted, &info, &lines);
        assert_int_equal(info.n_checks, 1);

        dynos[1].state = DYNO_UP;
        app.network.policy.n_published = 0;
        info.n_checks = lines.n = 0;
        doctor_check_network(&manager, &hosted, &info, &lines);
        assert_int_equal(info.n_checks, 1);
        manager.dynos = NULL;
}

static void test_all_of_them_fit(void **state) {
        LaunchInspected hosted;
        DoctorNetwork lines;
        DoctorInfo info;

        setup(&hosted, &info, &lines);
        memset(hosted.blockers, 'x', sizeof(hosted.blockers));
        hosted.n_blockers = BLOCKERS_MAX;
        for (size_t i = 0; i < BLOCKERS_MAX; i++) {
                LaunchBlocker *b = &hosted.blockers[i];

                b->hook = HOOK_FORWARD;
                b->kind = FILTER_NFT_INET;
                b->owner = OWNER_UNKNOWN;
                b->table[FILTER_NAME_SIZE - 1] = b->chain[FILTER_NAME_SIZE - 1] = '\0';
        }
        doctor_check_network(&manager, &hosted, &info, &lines);
        assert_int_equal(info.n_checks, BLOCKERS_MAX);
        for (size_t i = 0; i < BLOCKERS_MAX; i++)
                assert_string_equal(
                        info.checks[i].fix + strlen(info.checks[i].fix) - strlen("accept'"),
                        "accept'");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_firewall_has_its_line),
                cmocka_unit_test(test_input_matters_where_the_host_is_open),
                cmocka_unit_test(test_a_port_that_is_taken_twice_names_app_and_way_out),
                cmocka_unit_test(test_dynos_without_a_share_of_published_ports_are_counted),
                cmocka_unit_test(test_all_of_them_fit),
        };

        return cmocka_run_group_tests_name("supervisor/doctor_network", tests, NULL, NULL);
}
